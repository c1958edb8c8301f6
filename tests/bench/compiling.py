"""Compiles the reference job with mypyc, once per text; without a compiler it stays Python."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from services import HERE, tell

from tests.builds import BuildError, built

NAME = "compiled_job"


@lru_cache(maxsize=1)
def compiled_job() -> ModuleType:
    """The module, compiled if that can be done here."""
    source = HERE / f"{NAME}.py"
    try:
        folder = built(NAME, [source], sys.version, lambda made: _compile(source, made))
    except BuildError as error:
        tell(f"it stays Python: {error}")
        return importlib.import_module(NAME)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(NAME)
    finally:
        sys.path.remove(str(folder))


def _compile(source: Path, folder: Path) -> None:
    tell(f"compiling {source.name}")
    shutil.copy(source, folder)
    argv = [sys.executable, "-m", "mypyc", source.name]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError((done.stderr or done.stdout).strip()[-300:])
