"""Files that a user names: whether they are there, what they say, and what is told if not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tocsin.agents.settings.errors import InputError, TocsinError, UnavailableError
from tocsin.schemas.files.text_files import read_text

MEND = "give the path of a file that is there and may be read"


def require_readable(path: str | Path, what: str = "") -> None:
    """Raise UnavailableError unless there is a file or a folder that this user may read."""
    try:
        os.stat(path)  # noqa: PTH116 - the empty path must not become the folder here
    except OSError as error:
        raise _refusal(path, what, error) from error
    if not os.access(path, os.R_OK):
        raise _refusal(path, what, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def read_given(path: Path, bytes_max: int, what: str = "") -> str:
    """The text of a file. Raises UnavailableError if it can't be reached, InputError if no text."""
    try:
        return read_text(path, bytes_max)
    except OSError as error:
        raise _refusal(path, what, error) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{_named(path, what)} is not UTF-8 text: {error}", mend="write it in UTF-8"
        ) from error


def _refusal(path: str | Path, what: str, error: OSError) -> TocsinError:
    message = f"{_named(path, what)}: {error.strerror}"
    if error.errno in (errno.EISDIR, errno.EFBIG):
        return InputError(message, mend="give a file of that kind")
    return UnavailableError(message, mend=MEND)


def _named(path: str | Path, what: str) -> str:
    return f"{what}: {path}" if what else str(path)
