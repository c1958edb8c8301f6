"""The master key: it wraps the key of each customer and never touches a record.

`Wrapper` is the port. `MasterFile` keeps the master key in a file of this machine; a key service
(`tocsin.agents.privacy.vault`) keeps it where no program can read it. A rotation ends the old
master key, and with it every old copy of a wrapped key.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.secret_files import PRIVATE_MODE, create_private, is_open_to_others
from tocsin.agents.settings.whole_files import replace_file

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
FORM: Final = "file"


class Wrapper(Protocol):
    """Wraps keys. `context` is what a key belongs to: a wrapped key opens under no other."""

    def wrap(self, key: bytes, context: str) -> str:
        """Encrypt a key. Raises ConfigurationError, UnavailableError."""

    def unwrap(self, wrapped: str, context: str) -> bytes:
        """Return the key that was wrapped. Raises ConfigurationError, UnavailableError."""

    def begin_rotation(self) -> None:
        """Wrap with a new master key from now on; the ones before still unwrap."""

    def end_rotation(self) -> None:
        """Destroy every master key but the newest."""


class MasterFile:
    """A master key in a file: one a line in base 64, the newest first. Only its owner may read it.

    If that is another user, who gives a container its secrets, the group may.
    The file is read again when it has changed: another program may have rotated the key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int] = (0, 0)
        self._keys: dict[str, bytes] = {}

    @classmethod
    def create(cls, path: Path) -> MasterFile:
        """Make a file with a new key. Raises ConfigurationError if there is one."""
        try:
            create_private(path, _lines([secrets.token_bytes(KEY_BYTES)]))
        except FileExistsError as error:
            raise ConfigurationError(
                f"there is a master key in {path}", mend="`tocsin keys rotate` makes a new one"
            ) from error
        return cls(path)

    def wrap(self, key: bytes, context: str) -> str:
        """Encrypt a key under the newest master key."""
        name, master = next(iter(self._known().items()))
        nonce = secrets.token_bytes(NONCE_BYTES)
        body = nonce + AESGCM(master).encrypt(nonce, key, context.encode())
        return f"{FORM}:{name}:{base64.b64encode(body).decode()}"

    def unwrap(self, wrapped: str, context: str) -> bytes:
        """Decrypt a key under the master key that wrapped it."""
        form, _, rest = wrapped.partition(":")
        name, _, text = rest.partition(":")
        master = self._known().get(name)
        if form != FORM or master is None:
            raise ConfigurationError(
                f"a key was wrapped by another master key than that of {self._path}",
                mend="give the right master_key_file, or the key service that wrapped it",
            )
        try:
            body = base64.b64decode(text, validate=True)
            return AESGCM(master).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"the wrapped key of {context} was changed", mend="restore the keys' folder"
            ) from error

    def begin_rotation(self) -> None:
        """Put a new key before those there are."""
        self._write([secrets.token_bytes(KEY_BYTES), *self._known().values()])

    def end_rotation(self) -> None:
        """Keep the first key only; the file with the others is overwritten."""
        newest = next(iter(self._known().values()))
        overwrite(self._path)
        self._write([newest])

    def _known(self) -> dict[str, bytes]:
        try:
            found = self._path.stat()
            if is_open_to_others(found):
                raise ConfigurationError(
                    f"others may read the master key in {self._path}", mend="chmod 600 it"
                )
            if (found.st_mtime_ns, found.st_ino) != self._read:
                self._keys = _parsed(self._path)
                self._read = (found.st_mtime_ns, found.st_ino)
        except OSError as error:
            raise InputError(
                f"the master key in {self._path} cannot be read: {error.strerror}",
                mend="set master_key_file to its file, or make it with `tocsin keys init`",
            ) from error
        return self._keys

    def _write(self, keys: list[bytes]) -> None:
        replace_file(self._path, _lines(keys), PRIVATE_MODE)


def overwrite(path: Path) -> None:
    """Write zeros over a file's content, down to the disk as far as its file system lets us."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())


def _lines(keys: list[bytes]) -> bytes:
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)


def _parsed(path: Path) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(path.read_bytes().split(), 1):
        try:
            key = base64.b64decode(line, validate=True)
        except binascii.Error as error:
            raise ConfigurationError(f"{path}: line {number} is not base 64") from error
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"{path}: line {number} is no key of {KEY_BYTES} bytes")
        keys[sha256(key).hexdigest()[:8]] = key
    if not keys:
        raise ConfigurationError(f"{path} holds no master key", mend="restore it from its backup")
    return keys
