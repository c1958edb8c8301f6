"""Files that hold secrets, and who else on this machine may read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from tocsin.agents.settings.settings import SECRET_FILES, Settings

# Beside the files in which passwords and tokens are given.
KEY_FILES: Final = ("ssl_keyfile", "master_key_file", "anchor_key_file")
PRIVATE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# Of a file of another owner, as a container's secret is: the group is how it is read there.
_NOT_OURS: Final = _OTHERS & ~stat.S_IRGRP


def create_private(path: Path, content: bytes) -> None:
    """Write a new file, and its folder, for its owner's eyes only. Raises FileExistsError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether more than its owner may touch a file; of one that is not ours, its group may read."""
    return bool(found.st_mode & (_OTHERS if found.st_uid == os.geteuid() else _NOT_OURS))


def readable_by_others(settings: Settings) -> list[str]:
    """A sentence for each file with a secret in it that every user of the machine may read.

    A group may read it: that is how containers get theirs.
    """
    told = []
    for name in (*SECRET_FILES.values(), *KEY_FILES):
        given = getattr(settings, name, "")
        if not given:
            continue
        path = Path(given).expanduser()
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # who needs it says that it cannot be read
        if mode & stat.S_IROTH:
            told.append(f"{name}: every user of this machine may read {path}; chmod o-rwx {path}")
    return told
