"""Files that hold secrets, and who else on this machine may read them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from tocsin.agents.settings.settings import SECRET_FILES, Settings

# Beside the files in which passwords and tokens are given.
KEY_FILES: Final = ("ssl_keyfile", "master_key_file", "anchor_key_file")


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
