"""The keys of a deployment: one per customer, each in a file of its own, wrapped by a master key.

A folder, because a key must be destroyed for certain: its file is overwritten and replaced by the
record of its end, and nothing else holds it. What a folder's backup holds is opened by no one once
the master key has been rotated. Programs on one machine, or over one shared folder, use it
together: changes are made under a lock, and each look at a key sees whether its file has changed.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.privacy.master_key import Wrapper, overwrite
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.secret_files import PRIVATE_MODE
from tocsin.agents.settings.whole_files import replace_file

DATA_KEY_BYTES: Final = 64  # AES-256 in SIV mode takes two keys
TOKENS: Final = "tokens"  # its key makes the tokens; it stays the same for ever
DEPLOYMENT: Final = "deployment"  # what concerns no customer
QUARANTINE: Final = "quarantine"  # refused records of which nobody knows whose they are
SHARED: Final = (TOKENS, DEPLOYMENT, QUARANTINE)
TOKEN_PREFIX: Final = "c_"  # noqa: S105 - no secret
TOKEN_CHARS: Final = 26  # of base 32: 130 bits
CACHE_MAX: Final = 50_000
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[a-z2-7]{{{TOKEN_CHARS}}}")


class Erasure(Struct, frozen=True):
    """That a key was destroyed: when (ISO 8601), by whom, why."""

    at: str
    author: str
    reason: str


class Entry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The file of one owner: its wrapped keys by version, and how they ended.

    `version` is the newest that there ever was. `customer` is the customer's own id, encrypted by
    its key: with the key goes the way back from the token.
    """

    owner: str
    version: int = 0
    keys: dict[str, str] = {}
    customer: str = ""
    erasures: tuple[Erasure, ...] = ()

    @property
    def is_erased(self) -> bool:
        """Whether the keys were destroyed and none has come since."""
        return not self.keys and bool(self.erasures)


class _Known(Struct):
    """A file as it was read, and the ciphers made of it."""

    stamp: tuple[int, int]
    entry: Entry
    ciphers: dict[int, AESSIV]


class Keyring:
    """Finds, makes and destroys keys."""

    def __init__(self, folder: Path, wrapper: Wrapper) -> None:
        """Open a folder that `create` has made. Raises ConfigurationError, UnavailableError."""
        self._folder = folder
        self._wrapper = wrapper
        self._cache: dict[str, _Known] = {}
        known = self._known(TOKENS)
        if known is None:
            raise ConfigurationError(
                f"there are no keys in {folder}",
                mend="make them with `tocsin keys init`, or set keys_dir to their folder",
            )
        self._token_key = self._unwrapped(known.entry, known.entry.version)

    @classmethod
    def create(cls, folder: Path, wrapper: Wrapper) -> Keyring:
        """Make the folder and the keys that all share. Raises ConfigurationError if it has some."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (folder / f"{TOKENS}.json").exists():
            raise ConfigurationError(
                f"there are keys in {folder}", mend="`tocsin keys list` shows them"
            )
        for owner in reversed(SHARED):  # tokens last: with it the folder counts as made
            wrapped = wrapper.wrap(secrets.token_bytes(DATA_KEY_BYTES), f"{owner}.1")
            entry = Entry(owner, 1, {"1": wrapped})
            replace_file(folder / f"{owner}.json", msgspec.json.encode(entry), PRIVATE_MODE)
        return cls(folder, wrapper)

    def token(self, customer_id: str) -> str:
        """The name under which a customer is known in records: the same always, and one-way."""
        digest = hmac.digest(self._token_key, customer_id.encode(), "sha256")
        return TOKEN_PREFIX + base64.b32encode(digest).decode().lower()[:TOKEN_CHARS]

    def entry(self, owner: str) -> Entry | None:
        """What there is of an owner."""
        known = self._known(owner)
        return None if known is None else known.entry

    def entries(self) -> Iterator[Entry]:
        """Every owner's, the shared first."""
        for owner in (*SHARED, *sorted(path.stem for path in self._folder.glob("c/*/*.json"))):
            known = self._known(owner)
            if known is not None:
                yield known.entry

    def newest(self, owner: str) -> tuple[int, AESSIV] | None:
        """The key to encrypt with and its version, made if there was none; None if erased."""
        known = self._known(owner)
        if known is None or not known.entry.keys:
            self._ensure(owner)
            known = self._known(owner)
        if known is None or not known.entry.keys:
            return None
        return known.entry.version, self._cipher(known, known.entry.version)

    def cipher(self, owner: str, version: int) -> AESSIV | None:
        """The key of a version; None if it was destroyed. Raises ConfigurationError if unknown."""
        known = self._known(owner)
        if known is None:
            raise ConfigurationError(f"there is no key of {owner} in {self._folder}")
        if str(version) not in known.entry.keys:
            return None
        return self._cipher(known, version)

    def renew(self, owner: str) -> Entry:
        """Give an owner a new version of its key; those before stay for what they encrypted.

        An erased customer gets none.
        """
        with self._locked():
            return self._renewed(self._read(owner) or Entry(owner))

    def _ensure(self, owner: str) -> None:
        with self._locked():
            before = self._read(owner) or Entry(owner)
            if not before.keys:
                self._renewed(before)

    def _renewed(self, before: Entry) -> Entry:
        owner, version = before.owner, before.version + 1
        if before.is_erased and owner not in SHARED:
            return before
        key = secrets.token_bytes(DATA_KEY_BYTES)
        wrapped = self._wrapper.wrap(key, f"{owner}.{version}")
        entry = replace(before, version=version, keys={**before.keys, str(version): wrapped})
        self._write(entry)
        return entry

    def name(self, owner: str, customer: str) -> None:
        """Keep a customer's id, encrypted, beside its key."""
        with self._locked():
            entry = self._read(owner)
            if entry is not None and entry.keys:
                self._write(replace(entry, customer=customer))

    def erase(self, owner: str, erasure: Erasure) -> int:
        """Destroy all keys of an owner; return how many. None is ever made again for a customer."""
        with self._locked():
            before = self._read(owner) or Entry(owner)
            path = self._path(owner)
            if path.exists():
                overwrite(path)
            erasures = (*before.erasures, erasure)
            self._write(Entry(owner, before.version, erasures=erasures))
        return len(before.keys)

    def rotate(self) -> int:
        """Wrap every key by a new master key and destroy the old; return how many keys there are.

        No record changes. Cut short, it is to be done again.
        """
        count = 0
        with self._locked():
            self._wrapper.begin_rotation()
            for entry in list(self.entries()):
                keys = {
                    version: self._wrapper.wrap(
                        self._unwrapped(entry, int(version)), f"{entry.owner}.{version}"
                    )
                    for version in entry.keys
                }
                if keys:
                    self._write(replace(entry, keys=keys))
                count += len(keys)
            self._wrapper.end_rotation()
        return count

    def _cipher(self, known: _Known, version: int) -> AESSIV:
        if version not in known.ciphers:
            known.ciphers[version] = AESSIV(self._unwrapped(known.entry, version))
        return known.ciphers[version]

    def _unwrapped(self, entry: Entry, version: int) -> bytes:
        return self._wrapper.unwrap(entry.keys[str(version)], f"{entry.owner}.{version}")

    def _known(self, owner: str) -> _Known | None:
        """What the owner's file says now; read again only where it has changed."""
        try:
            found = self._path(owner).stat()
        except FileNotFoundError:
            self._cache.pop(owner, None)
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        stamp = (found.st_mtime_ns, found.st_ino)
        known = self._cache.get(owner)
        if known is None or known.stamp != stamp:
            entry = self._read(owner)
            if entry is None:
                return None
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            known = self._cache[owner] = _Known(stamp, entry, {})
        return known

    def _read(self, owner: str) -> Entry | None:
        path = self._path(owner)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        if not content.strip(b"\0"):  # overwritten, and cut short before the record of it
            return Entry(owner, erasures=(Erasure("", "", ""),))
        try:
            entry = msgspec.json.decode(content, type=Entry)
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{path} is damaged: {error}", mend="restore it from the folder's backup"
            ) from error
        if entry.owner != owner:
            raise ConfigurationError(f"{path} belongs to {entry.owner}", mend="put it back")
        return entry

    def _unreadable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the keys in {self._folder} cannot be read: {error.strerror}",
            mend="give this user the right to them, or leave keys_dir out",
        )

    def _write(self, entry: Entry) -> None:
        path = self._path(entry.owner)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, msgspec.json.encode(entry), PRIVATE_MODE)
        self._cache.pop(entry.owner, None)

    def _path(self, owner: str) -> Path:
        if owner in SHARED:
            return self._folder / f"{owner}.json"
        shelf = owner.removeprefix(TOKEN_PREFIX)[:2]
        return self._folder / "c" / shelf / f"{owner}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def is_owner(text: str) -> bool:
    """Whether a text names whose key it may be."""
    return text in SHARED or is_token(text)


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None
