"""What goes wrong first, looked at in the order in which one thing rests on another.

Each look is a `Finding`: fine, a caution or wrong, with what to do about it. A look that cannot be
taken because of an earlier finding is left out, so that the first thing told is the cause.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum, unique

from msgspec import Struct

from tocsin.agents.audit_progress import read_progress, resume_at
from tocsin.agents.brokers import Brokers, connect
from tocsin.agents.changelog import read_last
from tocsin.agents.clickhouse import ClickHouse
from tocsin.agents.errors import ClickHouseRefusedError, TocsinError
from tocsin.agents.formats import day, duration
from tocsin.agents.migrate import packaged_migrations
from tocsin.agents.settings import Settings
from tocsin.agents.topics import check
from tocsin.agents.wire import convention_of, open_clickhouse, open_codec
from tocsin.schemas.catalog import APPEND_ONLY, BY_ID, JOURNAL, SOURCES
from tocsin.schemas.records import JournalRecord

DISK_LOW_BYTES = 5 << 30
DISK_OUT_BYTES = 1 << 30
LAG_HIGH_RECORDS = 100_000
SINK_OLD_S = 60
MIGRATIONS = "SELECT number FROM migrations FINAL"
RECONCILIATION = "SELECT sum(abs(difference)) FROM v_reconciliation"
SINK_AGE = "SELECT dateDiff('second', max(inserted_at), now64(3)) FROM sink_progress"
WAITING_LETTERS = "SELECT count() FROM dead_letters FINAL"
Spans = Mapping[tuple[str, int], tuple[int, int]]


@unique
class Health(StrEnum):
    """How it stands with one thing."""

    FINE = "fine"
    CAUTION = "caution"
    WRONG = "wrong"


class Finding(Struct, frozen=True):
    """One thing looked at, how it stands, and how to mend it."""

    about: str
    health: Health
    what: str
    mend: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything; never raises for what is wrong with the deployment."""
    registry = await asyncio.to_thread(_registry, settings)
    findings = [_folder(settings), _disk(settings), registry]
    journals: dict[int, JournalRecord] = {}
    spans: Spans = {}
    try:
        async with connect(settings) as brokers:
            findings.append(_fine("Kafka", f"{await brokers.nodes()} broker(s) answer"))
            findings += await _topics(settings)
            names = [settings.topic(topic) for topic in APPEND_ONLY]
            spans = await brokers.spans(names)
            findings.append(await _worker(brokers, settings, spans))
        journals = await _journals(settings, spans)
        findings += _partitions(settings, journals)
    except TocsinError as error:
        finding = _wrong("Kafka", error)
        findings += [finding] if finding.what != registry.what else []  # told already
    findings += await asyncio.to_thread(_history, settings, spans)
    return findings


def _folder(settings: Settings) -> Finding:
    """The data folder's note of running services, which a killed run leaves behind."""
    note = settings.data_path / "services.json"
    if not note.exists():
        return _fine("embedded services", f"none run over {settings.data_path}")
    from tocsin.agents.embedded import discover

    if discover(settings.data_path) is not None:
        return _fine("embedded services", f"they run over {settings.data_path}")
    what = f"{note} was left by a run that was killed"
    return Finding("embedded services", Health.CAUTION, what, "`tocsin up` clears it away")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    what = f"{free / (1 << 30):,.1f} GiB free at {folder}"
    mend = "make room, or give another folder with --data-dir"
    if free < DISK_OUT_BYTES:
        return Finding("disk", Health.WRONG, what, mend)
    return (
        Finding("disk", Health.CAUTION, what, mend)
        if free < DISK_LOW_BYTES
        else _fine("disk", what)
    )


def _registry(settings: Settings) -> Finding:
    """The schema registry by itself; what its subjects lack is told with the topics."""
    if not settings.registry_url:
        return _fine("schema registry", "none is used; schemas come from a file")
    from tocsin.agents.registry_client import open_http_registry

    try:
        count = len(open_http_registry(settings).subjects())
    except TocsinError as error:
        return _wrong("schema registry", error)
    return _fine("schema registry", f"{settings.registry_url} answers, with {count} subject(s)")


async def _topics(settings: Settings) -> list[Finding]:
    problems = await check(settings)
    if not problems:
        return [_fine("topics", f"all there, {settings.partitions} partitions, a policy in each")]
    same: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        same.setdefault((problem.what, problem.mend), []).append(problem.topic)
    return [
        Finding("topics", Health.WRONG, f"{', '.join(names)}: {what}", mend)
        for (what, mend), names in same.items()
    ]


async def _worker(brokers: Brokers, settings: Settings, spans: Spans) -> Finding:
    group = await brokers.group(settings.app_id)
    committed = await brokers.committed(settings.app_id)
    names = {settings.topic(topic) for topic in SOURCES}
    lag = sum(
        max(0, end - max(first, committed.get(place, 0)))
        for place, (first, end) in spans.items()
        if place[0] in names
    )
    if not group.members:
        what = f"none runs for {settings.app_id}; {lag:,} records wait"
        return Finding("worker", Health.WRONG, what, "start one: tocsin worker")
    what = f"{len(group.members)} run(s), group {group.state.lower()}, {lag:,} records wait"
    if group.state != "Stable":
        return Finding(
            "worker", Health.CAUTION, what, "partitions are being shared out; look again"
        )
    if lag > LAG_HIGH_RECORDS:
        mend = "wait, or start more workers, up to one per partition"
        return Finding("worker", Health.CAUTION, what, mend)
    return _fine("worker", what)


async def _journals(settings: Settings, spans: Spans) -> dict[int, JournalRecord]:
    """The last journal record of each partition that has one."""
    name, codec = settings.topic(JOURNAL), open_codec(settings)
    found = {}
    for topic, partition in spans:
        if topic == name:
            value = await read_last(name, partition, settings.client_options())
            if value is not None:
                found[partition] = codec.decode_journal(value)
    return found


def _partitions(settings: Settings, journals: Mapping[int, JournalRecord]) -> list[Finding]:
    if not journals:
        return [Finding("journal", Health.CAUTION, "nothing was decided yet", "send some events")]
    holds = [
        Finding(
            "holds",
            Health.WRONG,
            f"{BY_ID[topic_id].name} is held in partition {partition}: too much was refused",
            f"see `tocsin dead-letters list`, mend the source, then `tocsin dead-letters release "
            f"{BY_ID[topic_id].name} --partition {partition} --reason ...`",
        )
        for partition, journal in sorted(journals.items())
        for topic_id in journal.held
    ]
    return [*holds, _business_date(settings, journals)]


def _business_date(settings: Settings, journals: Mapping[int, JournalRecord]) -> Finding:
    dates = [journal.business_date for journal in journals.values() if journal.business_date]
    if not dates:
        return Finding("business date", Health.CAUTION, "no day has begun", "send some events")
    what = f"{day(min(dates))} is open"
    if min(dates) != max(dates):
        what = f"{what} in the slowest partition, {day(max(dates))} in the fastest"
    if settings.clock != "system":
        return _fine("business date", f"{what}; the clock is {settings.clock}")
    behind = convention_of(settings).business_date(time.time_ns() // 1_000_000) - min(dates)
    if behind > 0:
        mend = "the worker of partition 0 closes days: see that it runs, and that no topic is held"
        return Finding("business date", Health.CAUTION, f"{what}, {behind} day(s) behind", mend)
    return _fine("business date", what)


def _history(settings: Settings, spans: Spans) -> list[Finding]:
    try:
        client = open_clickhouse(settings, is_reader=True)
    except TocsinError as error:
        return [_wrong("ClickHouse", error)]
    try:
        return [
            _fine("ClickHouse", f"version {client.version} answers"),
            *_tables(client),
            *_sink(client, settings, spans),
            _reconciliation(client),
            _letters(client),
        ]
    except ClickHouseRefusedError as error:
        mend = "start `tocsin audit`, which sets the tables up"
        return [
            Finding(
                "ClickHouse", Health.WRONG, f"its tables are not as they should be: {error}", mend
            )
        ]
    except TocsinError as error:
        return [_wrong("ClickHouse", error)]
    finally:
        client.close()


def _tables(client: ClickHouse) -> list[Finding]:
    applied = {number for (number,) in client.rows(MIGRATIONS)}
    missing = [step for step in packaged_migrations() if step.number not in applied]
    if missing:
        what = f"{len(missing)} migration(s) are missing, the first is {missing[0].name}"
        return [Finding("tables", Health.WRONG, what, "tocsin migrate, or restart `tocsin audit`")]
    return [_fine("tables", f"{len(applied)} migrations applied")]


def _sink(client: ClickHouse, settings: Settings, spans: Spans) -> list[Finding]:
    if not spans:
        return []
    progress = read_progress(client)
    lag = 0
    for topic in APPEND_ONLY:
        for partition in range(settings.partitions):
            _first, end = spans.get((settings.topic(topic), partition), (0, 0))
            reached = resume_at(progress.get((topic.topic_id, partition), ()))
            if reached > end:
                what = f"{topic.name} ends at {end} in Kafka, at {reached} in ClickHouse"
                mend = "the topic was made anew: give the audit another database"
                return [Finding("audit", Health.WRONG, what, mend)]
            lag += end - reached
    ((age_s,),) = client.rows(SINK_AGE)
    what = f"{lag:,} offsets behind, last written {duration(age_s)} ago"
    if lag and age_s > SINK_OLD_S:
        return [Finding("audit", Health.WRONG, what, "start it: tocsin audit")]
    return [_fine("audit", what)]


def _reconciliation(client: ClickHouse) -> Finding:
    ((difference,),) = client.rows(RECONCILIATION)
    if difference:
        what = f"journal and history differ by {difference:,} records"
        mend = "while the audit catches up this is normal; else `tocsin verify` tells which"
        return Finding("reconciliation", Health.CAUTION, what, mend)
    return _fine("reconciliation", "journal and history agree; `tocsin verify` compares all bytes")


def _letters(client: ClickHouse) -> Finding:
    ((count,),) = client.rows(WAITING_LETTERS)
    if count:
        return Finding(
            "refused records", Health.CAUTION, f"{count:,} so far", "see `tocsin dead-letters list`"
        )
    return _fine("refused records", "none")


def _fine(about: str, what: str) -> Finding:
    return Finding(about, Health.FINE, what)


def _wrong(about: str, error: TocsinError) -> Finding:
    """An error of ours as a finding: its remedy stands apart."""
    text, mend = str(error), error.mend
    what = text.removesuffix(f"; {mend}") if mend else text
    return Finding(about, Health.WRONG, what, mend)


def worst(findings: Sequence[Finding]) -> Health:
    """The gravest of all."""
    order = list(Health)
    return max((finding.health for finding in findings), key=order.index, default=Health.FINE)
