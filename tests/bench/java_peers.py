"""Peers on the JVM: their jars, pinned by version and SHA-256, and their compiled jobs.

Jars are fetched as the broker's are, by the same resolver into the same cache. The jobs in `java/`
are compiled by Eclipse's compiler, itself a jar: so a JRE will do. `python java_peers.py lock`
writes the hashes of the versions that the lock files name anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from services import HERE, tell

from tests.builds import built
from tocsin.agents.embedded_jars import (
    cache_folder,
    ensure_jars,
    format_lock,
    maven_fetch,
    parse_lock,
    sha256_of,
    show_progress,
)
from tocsin.agents.embedded_kafka import find_java

SOURCES = HERE / "java"
LOCKS = ("compiler", "kafka-streams", "flink")
HEAD = "# Jars of a peer. Written by `python java_peers.py lock`.\n"
RELEASE = "17"
HEAP = "-Xmx2g"
# Flink's serializers reach into the library's collections.
OPENED = tuple(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "net"))


def command(peer: str, main_class: str) -> list[str]:
    """The argv that runs a job, compiled beforehand if it has changed."""
    java = str(find_java(os.environ))
    jars = os.pathsep.join(map(str, _jars(peer)))
    sources = [SOURCES / f"{name}.java" for name in ("Job", "Measured", main_class)]

    def compile_(folder: Path) -> None:
        tell(f"compiling {main_class}")
        (compiler,) = _jars("compiler")
        argv = [java, "-jar", str(compiler), "-source", RELEASE, "-target", RELEASE, "-nowarn"]
        subprocess.run([*argv, "-cp", jars, "-d", str(folder), *map(str, sources)], check=True)

    classes = built(f"bench-classes-{peer}", sources, jars, compile_)
    path = os.pathsep.join([str(classes), jars])
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [java, HEAP, *OPENED, quiet, "-cp", path, main_class]


def _jars(name: str) -> list[Path]:
    jars = parse_lock(_lock(name).read_text())
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    return ensure_jars(jars, cache_folder(os.environ), fetch, show_progress)


def _lock(name: str) -> Path:
    return SOURCES / f"{name}.lock"


def lock() -> None:
    """Hash the named versions anew."""
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    for name in LOCKS:
        hashed = []
        for jar in parse_lock(_lock(name).read_text()):
            with tempfile.TemporaryDirectory() as folder:
                hashed.append(replace(jar, sha256=sha256_of(fetch(jar, Path(folder)))))
        _, _, lines = format_lock(hashed).partition("\n")
        _lock(name).write_text(HEAD + lines)


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python java_peers.py lock")
    lock()
