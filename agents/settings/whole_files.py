"""Files that a command writes: under their name when they are whole, else not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tocsin.agents.settings.errors import UnavailableError


@contextmanager
def writing_whole(path: Path, *, option: str = "--out") -> Iterator[IO[bytes]]:
    """A file to write to. Raises UnavailableError; what was there stays if it comes to nothing.

    `option` is the one that named it.
    """
    half = path.with_name(f"{path.name}.part")
    try:
        with half.open("wb") as file:
            yield file
        half.replace(path)
    except OSError as error:
        if error.filename not in (None, str(half), half):
            raise  # not ours: of who fills it
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", mend=f"give another {option}"
        ) from error
    finally:
        half.unlink(missing_ok=True)
