"""Files that are under their name only when whole: readers see the old content or the new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tocsin.agents.settings.errors import UnavailableError

READABLE = 0o644


def write_atomically(path: Path, text: str, *, mode: int = READABLE) -> None:
    """Write a file of tocsin's own, and the folder it is in; `mode` is who may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode(), mode)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put content in the place of a file, whole or not at all. Raises OSError."""
    with _replacing(path, mode) as file:
        file.write(content)


@contextmanager
def writing_whole(path: Path, *, option: str = "--out") -> Iterator[IO[bytes]]:
    """A file that a user asked for by an option, to write to.

    Raises UnavailableError; what was there stays if it comes to nothing.
    """
    half = _half(path)
    try:
        with _replacing(path, READABLE) as file:
            yield file
    except OSError as error:
        if error.filename not in (None, str(half), half):
            raise  # not ours: of who fills it
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", mend=f"give another {option}"
        ) from error


@contextmanager
def _replacing(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A file beside another, that takes its place once it is written to the disk."""
    half = _half(path)
    try:
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else the file may be back in its old content after a loss of power
    finally:
        os.close(folder)


def _half(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
