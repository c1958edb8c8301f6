"""The embedded engine with leave to write backups: the folder is its first argument.

What `backups.allowed_path` is in a server's configuration is part of chDB's address here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import chdb

from tocsin.agents.embedded.engine import main

_connect = chdb.connect


def connect(path: str) -> Any:
    """Open chDB with leave to write to the folder and to read from it."""
    return _connect(f"{path}?backups.allowed_path={Path(sys.argv[1]).resolve()}")


if __name__ == "__main__":
    chdb.connect = connect
    os._exit(main(sys.argv[2:]))
