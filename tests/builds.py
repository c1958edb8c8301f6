"""What tests build or install once per content: kept in the user's cache folder, not in a clone."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from tocsin.agents.embedded.jars import cache_folder

UNUSED_DAYS = 30  # after which a build of another content is removed
BUILD_WITHIN_S = 900.0


class BuildError(Exception):
    """A program could not be built; what the builder said."""


def built(name: str, sources: Iterable[Path], maker: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled from these sources, filled only if there is none yet.

    `maker` is what else the result depends on: the builder's version and its options. Another
    process that wants the same waits. Paths inside the folder may be kept: it is made in place.
    """
    home = cache_folder(os.environ) / "built"
    home.mkdir(parents=True, exist_ok=True)
    folder = home / f"{name}-{digest(sources, maker)[:16]}"
    ready = folder / ".ready"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
        ready.touch()
        _remove_unused(home, name)
    return folder


def digest(sources: Iterable[Path], maker: str) -> str:
    """SHA-256 over the maker, this machine's kind and the sources' names and bytes."""
    state = sha256(f"{maker} {platform.machine()} {platform.libc_ver()}".encode())
    for path in sorted(sources):
        content = path.read_bytes()
        state.update(f"\0{path.name} {len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()


def go_program(source: Path) -> Path:
    """The program of a folder's Go module, with what its go.sum pins; raises BuildError."""
    name = source.name
    version = _output(["go", "version"], source)
    sources = [*source.glob("*.go"), source / "go.mod", source / "go.sum"]

    def make(folder: Path) -> None:
        _output(["go", "build", "-o", str(folder / name), "."], source)

    return built(f"go-{name}", sources, version, make) / name


def npm_program(source: Path, main: str) -> Path:
    """A folder's program for Node beside what its lock file pins; raises BuildError."""
    version = _output(["node", "--version"], source)
    sources = [source / name for name in ("package.json", "package-lock.json", main)]

    def make(folder: Path) -> None:
        for path in sources:
            shutil.copy(path, folder)
        _output(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return built(f"npm-{source.name}", sources, version, make) / main


def _output(argv: list[str], cwd: Path) -> str:
    environ = {**os.environ, "GOFLAGS": "-mod=readonly -trimpath", "CGO_ENABLED": "0"}
    done = subprocess.run(
        argv, cwd=cwd, env=environ, capture_output=True, text=True, timeout=BUILD_WITHIN_S
    )
    if done.returncode:
        raise BuildError(done.stderr.strip())
    return done.stdout


def _remove_unused(home: Path, name: str) -> None:
    long_ago = time.time() - UNUSED_DAYS * 86_400
    for ready in home.glob(f"{name}-{'?' * 16}/.ready"):
        if ready.stat().st_mtime < long_ago:
            shutil.rmtree(ready.parent, ignore_errors=True)
