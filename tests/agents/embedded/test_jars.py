"""The jars of the embedded Kafka: exact, verified, fetched once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.agents.embedded.jars import (
    REGISTRY_LOCK_NAME,
    Jar,
    cache_folder,
    ensure_jars,
    format_lock,
    locked_jars,
    parse_lock,
)
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError

RIGHT = b"the right bytes"
SHA256 = hashlib.sha256(RIGHT).hexdigest()
JAR = Jar("org.example", "thing", "1.2.3", SHA256)


class Remote:
    """A Maven repository that hands out given bytes and counts how often it is asked."""

    def __init__(self, content: bytes = RIGHT) -> None:
        self.content = content
        self.asked = 0

    def __call__(self, jar: Jar, folder: Path) -> Path:
        self.asked += 1
        path = folder / f"{jar.artifact}.jar"
        path.write_bytes(self.content)
        return path


def unreachable(jar: Jar, folder: Path) -> Path:
    """A Maven repository without network."""
    raise UnavailableError(f"{jar} could not be fetched")


def test_the_packaged_lock_names_kafka_4_3_exactly_and_no_host() -> None:
    jars = {jar.artifact: jar for jar in locked_jars()}

    assert jars["kafka_2.13"].version == jars["kafka-clients"].version
    assert jars["kafka-clients"].version.startswith("4.3.")
    assert "slf4j-simple" in jars
    assert "/" not in format_lock(list(jars.values()))


def test_the_schema_registry_is_pinned_as_one_archive() -> None:
    (archive,) = locked_jars(REGISTRY_LOCK_NAME)

    assert (archive.classifier, archive.packaging) == ("all", "tar.gz")
    assert archive.name.endswith("-all.tar.gz")
    assert parse_lock(format_lock([archive])) == [archive]


def test_a_lock_file_reads_as_it_was_written() -> None:
    jars = locked_jars()

    assert parse_lock(format_lock(jars)) == sorted(jars, key=str)


@pytest.mark.parametrize(
    "line", ["abc org.example:thing:1", f"{SHA256} org.example:thing", f"{SHA256} a:b:1 more"]
)
def test_a_lock_line_that_is_not_hash_and_coordinates_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError, match="line 2"):
        parse_lock(f"# a comment\n{line}\n")


def test_a_missing_jar_is_fetched_once_and_then_needs_no_network(tmp_path: Path) -> None:
    remote, told = Remote(), list[tuple[int, int, str]]()

    (path,) = ensure_jars([JAR], tmp_path, remote, lambda *step: told.append(step))

    assert path.read_bytes() == RIGHT
    assert told == [(1, 1, "thing")]
    assert ensure_jars([JAR], tmp_path, unreachable) == [path]
    assert remote.asked == 1


def test_a_jar_with_other_bytes_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not the pinned file"):
        ensure_jars([JAR], tmp_path, Remote(b"other bytes"))

    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["lock"]


def test_a_corrupt_cached_jar_is_fetched_again_once(tmp_path: Path) -> None:
    (path,) = ensure_jars([JAR], tmp_path, Remote())
    path.write_bytes(b"corrupt")
    remote = Remote()

    ensure_jars([JAR], tmp_path, remote)

    assert path.read_bytes() == RIGHT
    assert remote.asked == 1


def test_a_corrupt_cached_jar_without_network_is_an_error(tmp_path: Path) -> None:
    (path,) = ensure_jars([JAR], tmp_path, Remote())
    path.write_bytes(b"corrupt")

    with pytest.raises(UnavailableError, match=r"org\.example:thing:1\.2\.3"):
        ensure_jars([JAR], tmp_path, unreachable)


def test_two_processes_fetch_at_once_without_harm(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from tocsin.agents.embedded.jars import Jar, ensure_jars\n"
        "cache = pathlib.Path(sys.argv[1])\n"
        "def fetch(jar, folder):\n"
        "    with (cache / 'asked').open('a') as asked: asked.write('x')\n"
        "    time.sleep(0.2)\n"  # long enough for the other to find the jar missing too
        "    (folder / 'jar').write_bytes(b'the right bytes')\n"
        "    return folder / 'jar'\n"
        "ensure_jars([Jar('org.example', 'thing', '1.2.3', sys.argv[2])], cache, fetch)\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), SHA256]
    processes = [subprocess.Popen(argv) for _ in "ab"]

    assert [process.wait(60) for process in processes] == [0, 0]
    assert (tmp_path / "asked").read_text() == "x"
    assert ensure_jars([JAR], tmp_path, unreachable)[0].read_bytes() == RIGHT


def test_the_cache_lies_where_the_user_says_else_in_the_xdg_folder() -> None:
    assert cache_folder({"TOCSIN_CACHE": "/mine", "XDG_CACHE_HOME": "/xdg"}) == Path("/mine")
    assert cache_folder({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/tocsin")
    assert cache_folder({}) == Path.home() / ".cache" / "tocsin"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UnavailableError, match="TOCSIN_CACHE"):
        ensure_jars([JAR], tmp_path / "file", Remote())
