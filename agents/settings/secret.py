"""Texts that nothing shows: passwords and tokens between a file and the client that sends them."""

from __future__ import annotations

from pathlib import Path

MASK = "***"


class Secret:
    """A text that no repr, str, format or log shows. `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the client that must send it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK if self._text else "(none)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


NO_SECRET = Secret("")


def read_secret(path: str | Path) -> Secret:
    """The secret that a file holds, without the line end. Raises OSError, UnicodeDecodeError."""
    return Secret(Path(path).expanduser().read_text("utf-8").rstrip("\r\n"))
