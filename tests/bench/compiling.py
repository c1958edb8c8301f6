"""Compiles the reference job with mypyc, once per text; without a compiler it stays Python."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from services import BUILD, HERE, tell

NAME = "compiled_job"


@lru_cache(maxsize=1)
def compiled_job() -> ModuleType:
    """The module, compiled if that can be done here."""
    source = HERE / f"{NAME}.py"
    told = f"{sys.version}{source.read_text()}"
    folder = BUILD / f"{NAME}-{sha256(told.encode()).hexdigest()[:16]}"
    if not folder.exists() and not _compile(source, folder):
        return importlib.import_module(NAME)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(NAME)
    finally:
        sys.path.remove(str(folder))


def _compile(source: Path, folder: Path) -> bool:
    tell(f"compiling {source.name}")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, ignore_cleanup_errors=True) as made:
        shutil.copy(source, made)
        argv = [sys.executable, "-m", "mypyc", source.name]
        done = subprocess.run(argv, cwd=made, capture_output=True, text=True, check=False)
        if done.returncode:
            tell(f"it stays Python: {(done.stderr or done.stdout).strip()[-300:]}")
            return False
        try:
            Path(made).rename(folder)
        except OSError:
            if not folder.exists():  # else another process was first
                raise
    return True
