"""Every program on every Kafka and registry that tocsin is told to work with, and the table of it.

`make matrix` writes docs/compatibility.md anew; with ARGS="--only kafka-3.9.1" it only tells.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.matrix.brokers import RELEASES, WITH_ZOOKEEPER, running
from tests.matrix.programs import PROGRAMS, tried
from tests.services.conftest import new_registry
from tocsin.agents.embedded.jars import REGISTRY_LOCK_NAME, locked_jars
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.data_folder import Files

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
REGISTRY = f"apicurio-{locked_jars(REGISTRY_LOCK_NAME)[0].version}"
ROWS = (*(f"kafka-{release}" for release in RELEASES), REGISTRY)
BEGIN, END = "<!-- begin: make matrix -->\n", "<!-- end -->\n"
Results = Mapping[str, Mapping[str, str]]


@click.command()
@click.option("--only", default="", help=f"Of {', '.join(ROWS)}, comma separated.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(only: str, as_json: bool) -> None:
    """Try all programs on each."""
    chosen = only.split(",") if only else list(ROWS)
    unknown = sorted(set(chosen) - set(ROWS))
    if unknown:
        raise click.UsageError(f"--only knows {', '.join(ROWS)}, not {', '.join(unknown)}")
    results: dict[str, Mapping[str, str]] = {}
    for row in chosen:
        results[row] = asyncio.run(try_one(row))
        for program, wrong in results[row].items():
            click.echo(f"{row}: {program}: {wrong or 'right'}")
    if not only:
        write(results)
    if as_json:
        click.echo(json.dumps(results))
    sys.exit(1 if any(wrong for found in results.values() for wrong in found.values()) else 0)


async def try_one(row: str) -> Mapping[str, str]:
    """All programs on one broker, or on the newest with a registry."""
    with TemporaryDirectory(prefix="tocsin-matrix-") as name:
        folder = Path(name)
        engine = EmbeddedEngine(Files(folder / "engine"))
        await engine.start()
        try:
            if row == REGISTRY:
                return await _with_registry(engine, folder)
            async with running(row.removeprefix("kafka-"), folder) as broker:
                return await tried(broker, engine, folder, "matrix")
        finally:
            await engine.stop()


async def _with_registry(engine: EmbeddedEngine, folder: Path) -> Mapping[str, str]:
    registry = new_registry(folder)
    await registry.start()
    try:
        async with running(RELEASES[-1], folder) as broker:
            return await tried(broker, engine, folder, "matrix", registry_url=registry.url)
    finally:
        await registry.stop()


def write(results: Results) -> None:
    """Put the table into the document."""
    text = DOCUMENT.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}{table(results)}{END}{tail}", "utf-8")


def table(results: Results) -> str:
    """A line for each broker and registry, a column for each program."""
    lines = [f"| with | {' | '.join(PROGRAMS)} |", "| --- |" + " --- |" * len(PROGRAMS)]
    for row, found in results.items():
        told = ["wrong" if found[program] else "right" for program in PROGRAMS]
        lines.append(f"| {title(row)} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def title(row: str) -> str:
    """How a row is told."""
    name, _, release = row.partition("-")
    beside = " with ZooKeeper" if release in WITH_ZOOKEEPER else ""
    return f"{name.capitalize()} {release}{beside}"


if __name__ == "__main__":
    main()
