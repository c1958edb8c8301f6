"""What `tocsin doctor` sees at the brokers: their release and clock, rights, topics, the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from aiokafka.errors import GroupAuthorizationFailedError

from tocsin.agents.deployment.clock_keeper import with_clock
from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.topics import check
from tocsin.agents.doctor.findings import Finding, caution, failed, fine, looked, skew, wrong
from tocsin.agents.kafka import codecs
from tocsin.agents.kafka.acls import ROLES
from tocsin.agents.kafka.broker_facts import ANCIENT, LEAST_RELEASE, TRIED_FROM, clock_ms, release
from tocsin.agents.kafka.brokers import Brokers, connect
from tocsin.agents.kafka.changelog import read_last
from tocsin.agents.kafka.readers import overtaken
from tocsin.agents.kafka.rights import NAMES_MAX, lacking
from tocsin.agents.kafka.trouble import RIGHTS_MEND, login
from tocsin.agents.observe.lags import Place
from tocsin.agents.settings.errors import ConfigurationError, TocsinError
from tocsin.agents.settings.formats import day
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.places import intake_places
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import APPEND_ONLY, BY_ID, JOURNAL, SOURCES

LAG_HIGH_RECORDS = 100_000
# Whose place the offsets of its consumer group tell, and what that is called after the app_id.
READERS = {"intake": "intake", "notifier": "notify"}
Spans = Mapping[Place, tuple[int, int]]
Clock = Callable[[], int]


def wall_ms() -> int:
    """This machine's clock, epoch ms."""
    return time.time_ns() // 1_000_000


async def look_at_kafka(
    settings: Settings, role: str, now_ms: Clock
) -> tuple[list[Finding], Spans | None]:
    """Findings, and the offsets of the append-only topics; None if no broker could be asked."""
    findings: list[Finding] = []
    try:
        async with connect(settings) as brokers:
            findings.append(await _brokers(brokers, settings))
            settings, found = await _keeper(settings)
            findings += found
            findings.append(compression(settings))
            findings += await looked("Kafka's clock", lambda: _clock(settings, now_ms))
            findings += await looked("rights", lambda: _rights(settings, role))
            findings += await looked("topics", lambda: _topics(settings))
            spans = await brokers.spans([settings.topic(topic) for topic in APPEND_ONLY])
            findings += await looked("worker", lambda: _worker(brokers, settings, spans))
            findings += await looked("readers", lambda: _readers(brokers, settings))
    except TocsinError as error:
        return [*findings, failed("Kafka", error)], None
    findings += await looked("journal", lambda: _journal(settings, spans, now_ms))
    return findings, spans


async def _brokers(brokers: Brokers, settings: Settings) -> Finding:
    found = await release(settings)
    least = ".".join(map(str, LEAST_RELEASE))
    if found == ANCIENT:
        return wrong("Kafka", f"a broker is older than Kafka {least}", "upgrade the brokers")
    what = f"{await brokers.nodes()} broker(s) answer, Kafka {'.'.join(map(str, found))} or newer"
    if found < TRIED_FROM:
        tried = ".".join(map(str, TRIED_FROM))
        mend = f"upgrade the brokers: docs/compatibility.md has what was tried, from {tried} on"
        return caution("Kafka", what, mend)
    return fine("Kafka", what)


def compression(settings: Settings) -> Finding:
    """Which batches can be read here, and how they are written."""
    lacks = codecs.lacking()
    if lacks:
        what = f"records compressed by {' or '.join(lacks)} can't be read or written here"
        return wrong("compression", what, codecs.MEND)
    read = ", ".join(codecs.readable())
    return fine("compression", f"every program reads {read}; written is {settings.compression}")


async def _clock(settings: Settings, now_ms: Clock) -> list[Finding]:
    asked_ms = now_ms()
    theirs_ms = await clock_ms(settings)
    if theirs_ms is None:
        return [fine("Kafka's clock", "is not told to this login")]
    return [skew("Kafka's clock", theirs_ms, asked_ms, now_ms())]


async def _keeper(settings: Settings) -> tuple[Settings, list[Finding]]:
    """The settings with the clock that the topics have, and what is wrong with ours."""
    try:
        return await with_clock(settings), []
    except ConfigurationError as error:
        return settings, [failed("clock", error)]


async def _rights(settings: Settings, role: str) -> list[Finding]:
    """What this login may do: all that a role needs, or as which roles it may work."""
    missing = {name: await lacking(settings, name) for name in ([role] if role else ROLES)}
    able = [name for name, rights in missing.items() if not rights]
    if role or not able:
        asked = role or "operator"
        rights = missing[asked]
        if rights:
            more = f" and {len(rights) - NAMES_MAX} more" if len(rights) > NAMES_MAX else ""
            what = f"{login(settings)} lacks, to work as {asked}: {', '.join(rights[:NAMES_MAX])}"
            return [wrong("rights", what + more, RIGHTS_MEND)]
    return [fine("rights", f"{login(settings)} may work as {', '.join(able)}")]


async def _topics(settings: Settings) -> list[Finding]:
    """Topics and policies; the registry's subjects are looked at by themselves."""
    problems = await check(replace(settings, registry_url=""))
    if not problems:
        return [fine("topics", f"all there, {settings.partitions} partitions, a policy in each")]
    same: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        same.setdefault((problem.what, problem.mend), []).append(problem.topic)
    return [
        wrong("topics", f"{', '.join(names)}: {what}", mend) for (what, mend), names in same.items()
    ]


async def _worker(brokers: Brokers, settings: Settings, spans: Spans) -> list[Finding]:
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
        return [wrong("worker", what, "start one: tocsin worker")]
    what = f"{len(group.members)} run(s), group {group.state.lower()}, {lag:,} records wait"
    if group.state != "Stable":
        return [caution("worker", what, "partitions are being shared out; look again")]
    if lag > LAG_HIGH_RECORDS:
        return [caution("worker", what, "wait, or start more workers, up to one per partition")]
    return [fine("worker", what)]


async def _readers(brokers: Brokers, settings: Settings) -> list[Finding]:
    """Programs whose next record is not there any more: they stop, or will."""
    found: list[Finding] = []
    for about, name in READERS.items():
        try:
            places = await brokers.committed(f"{settings.app_id}-{name}")
        except GroupAuthorizationFailedError:
            found.append(fine(about, "where it reads is not told to this login"))
            continue
        if name == "intake":  # whose own places count: brokers forget those of a group
            places |= await intake_places(brokers, settings, open_codec(settings))
        spans = await brokers.spans({topic for topic, _ in places})
        found += _overtaken(about, places, spans)
    return found


def _overtaken(about: str, places: Mapping[Place, int], spans: Spans) -> Iterator[Finding]:
    for place, wanted in sorted(places.items()):
        first, end = spans.get(place, (wanted, wanted))
        if not first <= wanted <= end:
            yield failed(about, overtaken(*place, wanted, first, end))


async def _journal(settings: Settings, spans: Spans, now_ms: Clock) -> list[Finding]:
    """What the last journal record of each partition says."""
    name, codec = settings.topic(JOURNAL), open_codec(settings)
    journals: dict[int, JournalRecord] = {}
    for topic, partition in spans:
        if topic == name:
            value = await read_last(name, partition, settings.client_options())
            if value is not None:
                journals[partition] = codec.decode_journal(value)
    if not journals:
        return [caution("journal", "nothing was decided yet", "send some events")]
    places = {
        (settings.topic(BY_ID[read.topic_id]), partition): read.next
        for partition, journal in journals.items()
        for read in journal.ranges
    }
    return [
        *_overtaken("worker", places, spans),
        *_conventions(settings, journals),
        *_holds(journals),
        _business_date(settings, journals, now_ms),
    ]


def _conventions(settings: Settings, journals: Mapping[int, JournalRecord]) -> list[Finding]:
    """Whether what was fixed when the first record was decided is still what the settings say."""
    ours = convention_of(settings).reference_hash
    other = sorted(number for number, found in journals.items() if found.reference_hash != ours)
    if not other:
        return []
    listed = ", ".join(map(str, other))
    what = (
        f"partition {listed} was decided under another convention than zone {settings.zone}, "
        f"close_after {settings.close_after}, horizon_days {settings.horizon_days}, "
        f"required_marks {settings.required_marks or '(none)'}, or other rules of the zone"
    )
    mend = "set them as they were, or decide again by the new ones: tocsin reset"
    return [wrong("convention", what, mend)]


def _holds(journals: Mapping[int, JournalRecord]) -> list[Finding]:
    return [
        wrong(
            "holds",
            f"{BY_ID[topic_id].name} is held in partition {partition}: too much was refused",
            f"see `tocsin dead-letters list`, mend the source, then `tocsin dead-letters release "
            f"{BY_ID[topic_id].name} --partition {partition} --reason ...`",
        )
        for partition, journal in sorted(journals.items())
        for topic_id in journal.held
    ]


def _business_date(
    settings: Settings, journals: Mapping[int, JournalRecord], now_ms: Clock
) -> Finding:
    dates = [journal.business_date for journal in journals.values() if journal.business_date]
    if not dates:
        return caution("business date", "no day has begun", "send some events")
    what = f"{day(min(dates))} is open"
    if min(dates) != max(dates):
        what = f"{what} in the slowest partition, {day(max(dates))} in the fastest"
    if settings.clock not in (None, "system"):
        return fine("business date", f"{what}; the clock is {settings.clock}")
    behind = convention_of(settings).business_date(now_ms()) - min(dates)
    if behind > 0:
        mend = "the worker of partition 0 closes days: see that it runs, and that no topic is held"
        return caution("business date", f"{what}, {behind} day(s) behind", mend)
    return fine("business date", what)
