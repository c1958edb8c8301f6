"""Who uses the console: tokens in a file, sessions of browsers, and who fails to log in too often.

The file holds one token a line: `SHA-256 role name`. A token is 256 random bits, so its plain hash
gives nothing away. Removing a line revokes the token at once, and ends the sessions made with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from tocsin.agents.settings.errors import InputError
from tocsin.schemas.files.text_files import read_text

Role = Literal["reader", "operator"]
READER: Final = "reader"
OPERATOR: Final = "operator"
TOKEN_PREFIX: Final = "tocsin_"  # noqa: S105  # what a token begins with, so that scanners find leaks
SESSION_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 1_000
TOKENS_BYTES_MAX: Final = 1_000_000  # of the file with the tokens
FAILURES_MAX: Final = 10
FAILURES_WITHIN_S: Final = 60.0
ADDRESSES_MAX: Final = 10_000
NOTES_MAX: Final = 5
_LINE = re.compile(r"([0-9a-f]{64}) (reader|operator) ([A-Za-z0-9._@-]{1,64})")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


class User(Struct, frozen=True):
    """Somebody who may read, or act as well."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        """Whether the user may enter events."""
        return self.role == OPERATOR


class TokenFile:
    """The tokens of a file, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._users: dict[str, User] = {}

    def user_of(self, digest: str) -> User | None:
        """Whose token has this digest; None for nobody's. Raises InputError."""
        self._refresh()
        return self._users.get(digest)

    def add(self, name: str, role: Role) -> str:
        """Make a token, keep its hash, return it: it cannot be shown again."""
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name!r} is no name for a token", mend="use letters, digits and . _ @ -"
            )
        if self._path.exists():
            self._refresh()
        if any(user.name == name for user in self._users.values()):
            raise InputError(
                f"{name} has a token in {self._path}", mend="remove its line to revoke it"
            )
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as file:
                file.write(f"{digest_of(token)} {role} {name}\n")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return token

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            version = (found.st_mtime_ns, found.st_size)
            if version == self._version:
                return
            lines = read_text(self._path, TOKENS_BYTES_MAX).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(self._path, error) from error
        users: dict[str, User] = {}
        for number, line in enumerate(lines, 1):
            match = _LINE.fullmatch(line.strip())
            if match:
                role: Role = OPERATOR if match[2] == OPERATOR else READER
                users[match[1]] = User(match[3], role)
            elif line.strip() and not line.startswith("#"):
                raise InputError(
                    f"{self._path}:{number} is no token",
                    mend="`tocsin web --new-token NAME` writes such lines",
                )
        self._users, self._version = users, version


def digest_of(token: str) -> str:
    """How a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Session(Struct):
    """A browser's visit: whose, until when, the secret of its forms, and what it is to be told.

    `digest` is that of the token it was opened with; empty where the user needs none.
    """

    user: User
    digest: str
    csrf: str
    expires_at: float
    notes: deque[Any]


class Sessions:
    """Sessions in memory, the oldest forgotten first; a restart ends them all."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_key: OrderedDict[str, Session] = OrderedDict()

    def open(self, user: User, digest: str = "") -> tuple[str, Session]:
        """Begin a session; returns the key that the browser keeps."""
        key = secrets.token_urlsafe(32)
        session = Session(
            user,
            digest,
            secrets.token_urlsafe(32),
            self._now() + SESSION_S,
            deque(maxlen=NOTES_MAX),
        )
        self._by_key[key] = session
        while len(self._by_key) > SESSIONS_MAX:
            self._by_key.popitem(last=False)
        return key, session

    def find(self, key: str) -> Session | None:
        """The session of a key, if it has not expired."""
        session = self._by_key.get(key)
        if session is not None and session.expires_at <= self._now():
            del self._by_key[key]
            return None
        return session

    def end(self, key: str) -> None:
        """Forget a session."""
        self._by_key.pop(key, None)


class Failures:
    """Failed log-ins by address: after ten within a minute the next ones are not looked at."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """For how many whole seconds an address must wait; 0 if not at all."""
        failures = self._by_address.get(address)
        if failures is None or len(failures) < FAILURES_MAX:
            return 0
        left = failures[0] + FAILURES_WITHIN_S - self._now()
        return max(0, int(left) + 1) if left > 0 else 0

    def add(self, address: str) -> None:
        """Count one more."""
        self._by_address.setdefault(address, deque(maxlen=FAILURES_MAX)).append(self._now())
        self._by_address.move_to_end(address)
        while len(self._by_address) > ADDRESSES_MAX:
            self._by_address.popitem(last=False)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
    return InputError(
        f"web_tokens_file {path} cannot be used: {reason}",
        mend="`tocsin web --new-token NAME` makes it",
    )
