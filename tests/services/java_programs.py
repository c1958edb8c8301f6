"""Java programs of the tests and examples, compiled by Eclipse's compiler: a JRE will do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.builds import built
from tocsin.agents.embedded.broker import QUICK_START, find_java
from tocsin.agents.embedded.jars import (
    cache_folder,
    ensure_jars,
    maven_fetch,
    parse_lock,
    show_progress,
)

JAVA = Path(__file__).parent / "java"
EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "Subscriber.java"
RELEASE = "17"


def jdbc_program(kafka_jars: list[Path]) -> list[str]:
    """The argv, but its arguments, of what asks as a BI tool does, by ClickHouse's JDBC driver."""
    java = str(find_java(os.environ))
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    lock = parse_lock((JAVA / "jdbc.lock").read_text())
    driver, compiler = ensure_jars(lock, cache_folder(os.environ), fetch, show_progress)
    source = JAVA / "Metadata.java"

    def compile_(folder: Path) -> None:
        argv = [java, "-jar", str(compiler), "-source", RELEASE, "-target", RELEASE, "-nowarn"]
        subprocess.run([*argv, "-d", str(folder), str(source)], check=True)

    classes = built("jdbc-metadata", [source], str(compiler), compile_)
    logs = [str(jar) for jar in kafka_jars if "slf4j" in jar.name]
    path = os.pathsep.join([str(classes), str(driver), *logs])
    return [java, *QUICK_START, "-cp", path, "Metadata"]


def compiled(folder: Path, kafka_jars: list[Path]) -> list[str]:
    """Compile the example and its test; the argv that runs a class of theirs, but its name."""
    java = str(find_java(os.environ))
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    lock = parse_lock((JAVA / "avro.lock").read_text())
    avro, compiler = ensure_jars(lock, cache_folder(os.environ), fetch, show_progress)
    classes = folder / "classes"
    path = os.pathsep.join(map(str, [avro, *kafka_jars]))
    subprocess.run(
        [
            *(java, "-jar", str(compiler), "-source", RELEASE, "-target", RELEASE, "-nowarn"),
            *("-cp", path, "-d", str(classes), str(EXAMPLE), str(JAVA / "ReadTopics.java")),
        ],
        check=True,
    )
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [java, *QUICK_START, quiet, "-cp", f"{classes}{os.pathsep}{path}"]
