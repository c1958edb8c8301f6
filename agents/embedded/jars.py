"""The jars of the embedded services: which they are, where they lie, that they are the right ones.

`jars.lock` names every artifact of Kafka with its exact version and SHA-256 (a resolver's own
choice picked an old kafka-clients), `registry.lock` the schema registry's archive. They are fetched
once per user, with the Maven resolver jgo, into a cache folder; from then on no network is needed.
What has other bytes is refused.
`python -m tocsin.agents.embedded.jars lock` writes the lock files anew for the versions they name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Final

import requests
from jgo.maven import MavenContext

from tocsin.agents.settings.errors import ConfigurationError, UnavailableError

LOCK_NAME: Final = "jars.lock"
REGISTRY_LOCK_NAME: Final = "registry.lock"
JAR: Final = ("", "jar")
FETCH_TIMEOUT_S: Final = 30
FETCHES_AT_ONCE: Final = 4
MEND_FETCH: Final = (
    "the first start needs the network once; behind a firewall set TOCSIN_MAVEN to your Maven "
    "mirror, or copy the folder from a machine that has it and point TOCSIN_CACHE to its parent"
)

Progress = Callable[[int, int, str], None]  # how many are there, of how many, the one just fetched
Fetch = Callable[["Jar", Path], Path]  # puts a jar somewhere in a folder of its own, tells where


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact, by its Maven coordinates, and what its bytes must hash to."""

    group: str
    artifact: str
    version: str
    sha256: str
    classifier: str = ""
    packaging: str = "jar"

    @property
    def name(self) -> str:
        """Its file's name in the cache; the group is in it, since names repeat across groups."""
        kind = f"-{self.classifier}" if self.classifier else ""
        return f"{self.group}.{self.artifact}-{self.version}{kind}.{self.packaging}"

    def __str__(self) -> str:
        told = f"{self.group}:{self.artifact}:{self.version}"
        own = (self.classifier, self.packaging)
        return told if own == JAR else f"{told}:{self.classifier}:{self.packaging}"


def parse_lock(text: str) -> list[Jar]:
    """Read a lock file: `sha256 group:artifact:version` a line, `#` starts a comment.

    What is not a plain jar has `:classifier:packaging` after its version.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        parts = words[-1].split(":")
        is_hash = len(words[0]) == 64 and set(words[0]) <= set("0123456789abcdef")
        if len(words) != 2 or len(parts) not in (3, 5) or not all(parts) or not is_hash:
            raise ConfigurationError(
                f"{LOCK_NAME}, line {number}: not `sha256 group:artifact:version`",
                mend="install tocsin again",
            )
        group, artifact, version, *kind = parts
        classifier, packaging = kind or JAR
        jars.append(Jar(group, artifact, version, words[0], classifier, packaging))
    return jars


def format_lock(jars: Sequence[Jar]) -> str:
    """The text that `parse_lock` reads."""
    head = (
        "# Jars of an embedded service. Written by `python -m tocsin.agents.embedded.jars lock`.\n"
    )
    return head + "".join(f"{jar.sha256}  {jar}\n" for jar in sorted(jars, key=str))


def locked_jars(name: str = LOCK_NAME) -> list[Jar]:
    """A packaged lock file's jars."""
    return parse_lock(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where this user's fetched files lie: TOCSIN_CACHE, else the XDG cache folder."""
    chosen = environ.get("TOCSIN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tocsin"


def maven_fetch(mirror: str = "") -> Fetch:
    """Fetching through jgo, from `mirror` or from where jgo fetches by default."""

    def fetch(jar: Jar, folder: Path) -> Path:
        remotes = {"mirror": mirror.rstrip("/")} if mirror else None
        context = MavenContext(repo_cache=folder, remote_repos=remotes, timeout=FETCH_TIMEOUT_S)
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            return Path(component.artifact(jar.classifier, jar.packaging).resolve())
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise UnavailableError(
                f"{jar} could not be fetched ({_cause(error)})", mend=MEND_FETCH
            ) from error

    return fetch


def ensure_jars(
    jars: Sequence[Jar], cache: Path, fetch: Fetch, progress: Progress | None = None
) -> list[Path]:
    """Paths of all jars, each verified; the missing and the corrupt ones are fetched, once.

    Two processes may do so at once: one waits for the other. Raises UnavailableError.
    """
    folder = cache / "jars"
    paths = [folder / jar.name for jar in jars]
    if all(_is_right(jar, path) for jar, path in zip(jars, paths, strict=True)):
        return paths
    with _locked(folder):
        missing = [jar for jar in jars if not _is_right(jar, folder / jar.name)]
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            fetched = pool.map(lambda jar: _fetch_one(jar, folder, fetch), missing)
            for count, name in enumerate(fetched, len(jars) - len(missing) + 1):
                if progress is not None:
                    progress(count, len(jars), name)
    return paths


def show_progress(count: int, total: int, name: str) -> None:
    """Tell on standard error how far the fetching is: one changing line on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if count == total else ""
        sys.stderr.write(f"\r\x1b[Kfetching services: {count} of {total} files, {name}{end}")
        sys.stderr.flush()
    elif count in (1, total):
        sys.stderr.write(f"fetching services: {count} of {total} files\n")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_one(jar: Jar, folder: Path, fetch: Fetch) -> str:
    """Fetch beside its place, verify, then rename: no reader ever sees half a jar."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as temporary:
        found = fetch(jar, Path(temporary))
        actual = sha256_of(found)
        if actual != jar.sha256:
            raise UnavailableError(
                f"{jar} is not the pinned file: its SHA-256 is {actual}, expected {jar.sha256}",
                mend="something between here and the Maven repository changes files; "
                "fetch through another network or mirror (TOCSIN_MAVEN)",
            )
        found.replace(folder / jar.name)
    return jar.artifact


def _is_right(jar: Jar, path: Path) -> bool:
    return path.is_file() and sha256_of(path) == jar.sha256


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise UnavailableError(
            f"cache folder {folder} cannot be written: {error.strerror}",
            mend="give another with TOCSIN_CACHE",
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel frees it when the process ends, however
        yield


def _cause(error: Exception) -> str:
    """What failed, without the addresses that library messages are full of."""
    return "no connection" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _main(arguments: Sequence[str]) -> int:
    if list(arguments) != ["lock"]:
        sys.stderr.write("usage: python -m tocsin.agents.embedded.jars lock\n")
        return 2
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    for name in (LOCK_NAME, REGISTRY_LOCK_NAME):
        path = Path(str(files(__package__).joinpath(name)))
        hashed = []
        for jar in parse_lock(path.read_text(encoding="utf-8")):
            with tempfile.TemporaryDirectory() as temporary:
                hashed.append(replace(jar, sha256=sha256_of(fetch(jar, Path(temporary)))))
        path.write_text(format_lock(hashed), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
