"""What `tocsin doctor` sees in ClickHouse: the server, its tables, and how the audit stands."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from tocsin.agents.audit.progress import read_progress, resume_at
from tocsin.agents.audit.reconcile import count_gaps
from tocsin.agents.clickhouse.client import INSERT_SETTINGS, ClickHouse
from tocsin.agents.clickhouse.migrate import packaged_migrations, require_release
from tocsin.agents.clickhouse.views import VERSION, compare_views
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.doctor.findings import Finding, caution, failed, fine, skew, space, wrong
from tocsin.agents.doctor.kafka import Clock, Spans
from tocsin.agents.kafka.readers import overtaken
from tocsin.agents.settings.errors import (
    ClickHouseLoginError,
    ClickHouseRefusedError,
    ConfigurationError,
    TocsinError,
)
from tocsin.agents.settings.formats import duration
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import APPEND_ONLY

SINK_OLD_S = 60
NOW = "SELECT toUnixTimestamp64Milli(now64(3))"
DISKS = "SELECT name, unreserved_space FROM system.disks ORDER BY name"
FIXED = (
    "SELECT name, value FROM system.settings WHERE readonly != 0 AND name IN {names:Array(String)}"
)
MIGRATIONS = "SELECT number FROM migrations FINAL"
SINK_AGE = "SELECT dateDiff('second', max(inserted_at), now64(3)) FROM sink_progress"
WAITING_LETTERS = "SELECT count() FROM dead_letters FINAL"
CLOCKS = (
    "SELECT source, toUnixTimestamp64Milli(min(timestamp)), toUnixTimestamp64Milli(max(timestamp)) "
    "FROM clock FINAL WHERE event_type = 'DayClosed' "
    "AND toUnixTimestamp64Milli(timestamp) > 0 "  # what comes before any event only names the clock
    "GROUP BY source ORDER BY source"
)


def look_at_history(settings: Settings, spans: Spans | None, now_ms: Clock) -> list[Finding]:
    """All findings; `spans` are the offsets of the append-only topics, None if they are unknown."""
    try:
        client = open_clickhouse(settings, is_reader=True)
    except TocsinError as error:
        return [failed("ClickHouse", error)]
    try:
        findings = [
            _version(client),
            _clock(client, now_ms),
            *_disks(client),
            *_fixed(client, settings),
        ]
        return [*findings, *_content(client, settings, spans)]
    except TocsinError as error:
        return [failed("ClickHouse", error)]
    finally:
        client.close()


def _version(client: ClickHouse) -> Finding:
    try:
        require_release(client.version)
    except ConfigurationError as error:
        return failed("ClickHouse", error)
    return fine("ClickHouse", f"version {client.version} answers")


def _clock(client: ClickHouse, now_ms: Clock) -> Finding:
    asked_ms = now_ms()
    ((theirs_ms,),) = client.rows(NOW)
    return skew("ClickHouse's clock", theirs_ms, asked_ms, now_ms())


def _disks(client: ClickHouse) -> list[Finding]:
    mend = "make room there"
    try:
        found = client.rows(DISKS)
    except ClickHouseRefusedError:
        return [fine("ClickHouse's disk", "is not told to this login")]
    return [
        space("ClickHouse's disk", f"ClickHouse's disk {name}", free_bytes, mend)
        for name, free_bytes in found
    ]


def _fixed(client: ClickHouse, settings: Settings) -> Iterable[Finding]:
    """Settings that inserts need and that the login's profile does not let them have."""
    if "embedded services" in settings.origins.get("clickhouse_user", ""):
        return []  # its writer's login is not ours to use
    found = client.rows(FIXED, {"names": list(INSERT_SETTINGS)})
    differing = [f"{name}={value}" for name, value in found if str(INSERT_SETTINGS[name]) != value]
    if not differing:
        return [fine("ClickHouse's settings", "the audit may set what its inserts need")]
    what = f"the login {settings.clickhouse_user or 'default'} is bound to {', '.join(differing)}"
    wanted = ", ".join(f"{name}={INSERT_SETTINGS[name]}" for name, _value in found)
    mend = f"for the audit's login, do not fix these in its profile (it sets {wanted})"
    return [caution("ClickHouse's settings", what, mend)]


def _content(client: ClickHouse, settings: Settings, spans: Spans | None) -> list[Finding]:
    try:
        return [
            _tables(client),
            _views(client),
            *_sink(client, settings, spans),
            _reconciliation(client, settings),
            _letters(client),
            *_clocks(client),
        ]
    except ClickHouseLoginError:
        raise
    except ClickHouseRefusedError as error:
        what = f"its tables are not as they should be: {error}"
        return [wrong("tables", what, "start `tocsin audit`, which sets the tables up")]


def _tables(client: ClickHouse) -> Finding:
    applied = {number for (number,) in client.rows(MIGRATIONS)}
    missing = [step for step in packaged_migrations() if step.number not in applied]
    if missing:
        what = f"{len(missing)} migration(s) are missing, the first is {missing[0].name}"
        return wrong("tables", what, "tocsin migrate, or restart `tocsin audit`")
    return fine("tables", f"{len(applied)} migrations applied")


def _views(client: ClickHouse) -> Finding:
    found = compare_views(client)
    if found.is_newer:
        what = f"a newer tocsin made them (version {found.newest}, this one has {VERSION})"
        return caution("views", what, "use that version, or ask only what both have")
    if found.stale:
        count, first = len(found.stale), found.stale[0].name
        what = f"missing or older than this program: {count}, the first is {first}"
        return wrong("views", what, "tocsin migrate, or restart `tocsin audit`")
    return fine("views", "as this version has them")


def _sink(client: ClickHouse, settings: Settings, spans: Spans | None) -> list[Finding]:
    if not spans:
        return []
    progress = read_progress(client)
    lag = 0
    for topic in APPEND_ONLY:
        for partition in range(settings.partitions):
            place = settings.topic(topic), partition
            first, end = spans.get(place, (0, 0))
            reached = resume_at(progress.get((topic.topic_id, partition), ()))
            if not first <= reached <= end:
                return [failed("audit", overtaken(*place, reached, first, end))]
            lag += end - reached
    ((age_s,),) = client.rows(SINK_AGE)
    what = f"{lag:,} offsets behind, last written {duration(age_s)} ago"
    if lag and age_s > SINK_OLD_S:
        return [wrong("audit", what, "start it: tocsin audit")]
    return [fine("audit", what)]


def _reconciliation(client: ClickHouse, settings: Settings) -> Finding:
    difference = sum(count_gaps(client, settings).values())
    if difference:
        what = f"journal and history differ by {difference:,} records"
        mend = "while the audit catches up this is normal; else `tocsin verify` tells which"
        return caution("reconciliation", what, mend)
    return fine("reconciliation", "journal and history agree; `tocsin verify` compares all bytes")


def _letters(client: ClickHouse) -> Finding:
    ((count,),) = client.rows(WAITING_LETTERS)
    if count:
        return caution("refused records", f"{count:,} so far", "see `tocsin dead-letters list`")
    return fine("refused records", "none")


def _clocks(client: ClickHouse) -> list[Finding]:
    """Who closes days: one after another is a load and then the present, two at once are one."""
    spans = sorted((first, last, source) for source, first, last in client.rows(CLOCKS))
    for (_, last, source), (first, _, other) in pairwise(spans):
        if first < last:
            mend = "let only one close days: setting clock, or who writes to topic clock"
            return [wrong("clock", f"{source} and {other} both close days", mend)]
    return []
