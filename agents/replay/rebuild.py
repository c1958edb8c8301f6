"""The state anew, where the changelog is lost: decided again in the journal's order, and compared.

Nothing is written unless every journal record comes out byte for byte. It holds a digest of the
lines that its transaction wrote to the changelog: so what is written are the workers' own lines,
the latest of each key. The partition's own line, which names the journal record it belongs to,
comes last: a worker that meets half of it stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from aiokafka.errors import ProducerFenced
from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.deployment.topics import topic_settings
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.replay.cores import Found, over_cores, sizes_in_topics
from tocsin.agents.replay.replay import Replay, Report
from tocsin.agents.replay.standstill import forget_history, require_no_workers
from tocsin.agents.replay.whole_log import open_whole_log
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.batches import key_of, line_batches
from tocsin.agents.transactions.transaction import Producers
from tocsin.agents.worker.main import calm_collector
from tocsin.schemas.contracts.catalog import JOURNAL, LEDGERS

LINES_MAX: Final = 50_000  # of one transaction


class Changelog:
    """The lines of a partition's changelog as compaction would leave them, and its journal's end.

    Lines are in the order of their last change.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, bytes] = {}
        self.journal_end: bytes | None = None

    def take(self, lines: Sequence[bytes], record: bytes) -> None:
        """Take a transaction's lines and journal record."""
        latest = self._lines
        for line in lines:
            key, has_value = key_of(line)
            latest.pop(key, None)
            if has_value:
                latest[key] = line
        self.journal_end = record

    @property
    def lines(self) -> list[bytes]:
        """Every key's line; the partition's own, which all transactions write, is the last."""
        return list(self._lines.values())


class Lines(Struct, frozen=True):
    """What one partition's changelog is to hold; `instant` (epoch ms) is its records' timestamp."""

    partition: int
    instant: int
    lines: list[bytes]


class Rebuilt(Struct, frozen=True):
    """What a rebuild found and wrote: no records, if anything differed."""

    report: Report
    records: int


async def rebuild(
    settings: Settings,
    *,
    replace: bool = False,
    progress: Callable[[int], None] = lambda records: None,
) -> Rebuilt:
    """Decide all again, and if it comes out the same write the state to an empty changelog.

    What topics no longer hold is read from ClickHouse. `replace` deletes the changelog that there
    is, once the new one is known. Raises ConfigurationError, UnavailableError.
    """
    await _require_ground(settings, replace=replace)
    settings.data_path.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings.data_path, prefix="rebuild-") as folder:
        work = partial(_decide, folder=Path(folder))
        sizes = await sizes_in_topics(settings)
        report = await over_cores(settings, work, sizes, progress)
        if report.exit_code is not Exit.OK:
            return Rebuilt(report, 0)
        await _make_anew(settings)
        records = 0
        for path in sorted(Path(folder).iterdir()):  # noqa: ASYNC240 - nothing else runs here
            found = msgspec.msgpack.decode(path.read_bytes(), type=Lines)
            await _write(settings, found)
            records += len(found.lines)
    return Rebuilt(report, records)


async def _require_ground(settings: Settings, *, replace: bool) -> None:
    name = settings.topic(LEDGERS)
    async with connect(settings) as brokers:
        await require_no_workers(brokers, settings)
        spans = await brokers.spans([name])
    if not replace and any(first < end for first, end in spans.values()):
        raise ConfigurationError(
            f"{name} holds records",
            mend="if they are of no use, say so: `tocsin rebuild --replace`",
        )


def _decide(settings: Settings, partition: int, *, folder: Path) -> Found:
    """Decide one partition again, in a process of its own; leave its lines in the folder."""
    calm_collector()
    return asyncio.run(_partition(settings, partition, folder))


async def _partition(settings: Settings, partition: int, folder: Path) -> Found:
    client = open_clickhouse(settings, is_reader=True) if settings.clickhouse_url else None
    changelog = Changelog()
    try:
        work = Replay(
            settings.app_id,
            settings.partitions,
            open_codec(settings),
            convention_of(settings),
            await open_whole_log(settings, client),
            changelog.take,
        )
        async with translating_failures(settings):
            await work.partition(partition)
            last = await last_record(settings.topic(JOURNAL), partition, settings.client_options())
    finally:
        if client is not None:
            client.close()
    if changelog.journal_end is not None:
        if last is None or last.value != changelog.journal_end:
            raise ConfigurationError(
                f"the journal of partition {partition} has lost its end in Kafka: no worker could "
                "go on from it",
                mend="see docs/recovery.md for topics that are lost",
            )
        found = Lines(partition, last.timestamp, changelog.lines)
        (folder / f"{partition:06}").write_bytes(msgspec.msgpack.encode(found))
    return work.report, work.decisions


async def _make_anew(settings: Settings) -> None:
    """Replace the changelog by an empty one, and have ClickHouse forget what it mirrored of it."""
    name, copies = settings.topic(LEDGERS), settings.replication_factor
    async with connect(settings) as brokers:
        await require_no_workers(brokers, settings)
        await brokers.delete([name])
        await brokers.create(name, settings.partitions, copies, topic_settings(LEDGERS, copies))
        await brokers.until_known([name])
    if settings.clickhouse_url:
        await asyncio.to_thread(forget_history, settings, (LEDGERS,))


async def _write(settings: Settings, found: Lines) -> None:
    """Write a partition's lines under its worker's transactional id, which ends an older worker."""
    name, number = settings.topic(LEDGERS), found.partition
    producers = Producers(settings.app_id, settings.producer_options())
    try:
        async with translating_failures(settings):
            await producers.start(number)
            for begin in range(0, len(found.lines), LINES_MAX):
                part = found.lines[begin : begin + LINES_MAX]
                async with producers[number].transaction():
                    for batch in line_batches(part, found.instant, settings.compression):
                        await (await producers[number].send_batch(batch, name, partition=number))
    except UnavailableError as error:
        if isinstance(error.__cause__, ProducerFenced):
            raise UnavailableError(
                f"a worker took partition {number} over while its state was written",
                mend="stop it, then run `tocsin rebuild --replace`",
            ) from error
        raise
    finally:
        await producers.stop_all()
