"""Text files that people write, read no further than they may be long."""

from __future__ import annotations

import errno
from pathlib import Path


def read_text(path: Path, bytes_max: int) -> str:
    """Return a file's text. Raises OSError, also for a longer file, and UnicodeDecodeError."""
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise OSError(errno.EFBIG, f"the file exceeds {bytes_max} bytes", str(path))
    return content.decode("utf-8")
