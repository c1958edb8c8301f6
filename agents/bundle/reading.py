"""Gathers what a bundle holds from the history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tocsin.agents.audit.progress import read_progress, resume_at
from tocsin.agents.bundle import contents as bundle
from tocsin.agents.bundle.contents import Contents
from tocsin.agents.bundle.topics import is_readable
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import OFFSET_LAST, HistoryRecord, of_customer, read_range
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.queries.lookup import EVENT_SOURCES
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import BY_ID, JOURNAL, POLICIES, SOURCES, WARNINGS, Topic
from tocsin.streams.decide.risk_warning import RiskWarning

# The last record of a journal whose whole input and output the history has.
_LAST: Final = """
SELECT offset, warned FROM
(
    SELECT
        offset,
        `ranges.topic_id` AS topics,
        `ranges.next` AS nexts,
        sum(output_count - length(`refusals.offset`)) OVER (ORDER BY sequence) AS warned
    FROM journal FINAL
    WHERE partition = {partition:Int32} AND is_decoded
)
WHERE warned <= {warned:Int64} AND arrayAll(
    (topic, next) -> next <= transform(topic, {topics:Array(Int32)}, {ends:Array(Int64)}, 0),
    topics, nexts
)
ORDER BY offset DESC LIMIT 1
"""
_COUNT: Final = """
SELECT count() FROM warnings FINAL WHERE partition = {partition:Int32} AND offset < {reached:Int64}
"""
_END: Final = """
SELECT offset + 1 FROM warnings FINAL WHERE partition = {partition:Int32}
ORDER BY offset LIMIT 1 OFFSET {before:UInt64}
"""
# Where older rows need not be kept, the others cannot be counted: they are told by their time.
_END_BY_TIME: Final = """
SELECT max(offset) + 1 FROM warnings FINAL
WHERE partition = {partition:Int32} AND offset < {reached:Int64}
    AND toUnixTimestamp64Milli(timestamp) <= {instant:Int64}
"""
_REFUSED: Final = """
SELECT refused_topic_id, refused_offset, code
FROM (SELECT * FROM journal FINAL WHERE partition = {partition:Int32} AND offset <= {last:Int64})
ARRAY JOIN
    `refusals.topic_id` AS refused_topic_id,
    `refusals.offset` AS refused_offset,
    `refusals.code` AS code
"""


class Cut(Struct, frozen=True):
    """Up to where a bundle goes: a record of the journal, and ends of the topics, by id."""

    journal: HistoryRecord
    ends: dict[int, int]

    def before(self, topic: Topic, records: list[HistoryRecord]) -> list[HistoryRecord]:
        """Those records of a topic that lie before its end, in the journal's partition."""
        end = self.ends.get(topic.topic_id, 0)
        return [r for r in records if r.partition == self.journal.partition and r.offset < end]


def gather(
    settings: Settings, client: ClickHouse, codec: Codec, customer_id: str, episode: str
) -> Contents:
    """Everything that the history has of a customer, or what concerns one episode of it.

    It ends with a record of the journal, whose input and output the history has whole. `episode` is
    the id of an episode or of one of its warnings, or the beginning of either. Raises
    InputError if there is nothing.
    """
    partition = partition_of(customer_id.encode(), settings.partitions)
    cut = _cut(settings, client, codec, partition)
    records = [
        record
        for topic in EVENT_SOURCES
        for record in cut.before(topic, of_customer(client, topic, customer_id))
    ]
    if not records:
        raise InputError(
            f"no record of a customer {customer_id!r} in the history",
            mend="`tocsin customer ID` tells which are near",
        )
    warnings = cut.before(WARNINGS, of_customer(client, WARNINGS, customer_id))
    episode_id = ""
    if episode:
        told = {record: codec.decode_warning(record.value) for record in warnings}
        episode_id = _only_episode(customer_id, episode, told.values())
        warnings = [record for record in warnings if told[record].episode_id == episode_id]
        records = bundle.chosen(records, [told[record] for record in warnings])
    versions = list(read_range(client, POLICIES.topic_id, partition))
    policies = [r for r in cut.before(POLICIES, versions) if is_readable(r, codec)]
    places = {bundle.record_place(record) for record in (*records, *policies)}
    return Contents(
        customer_id,
        episode_id,
        bundle.in_order(records),
        bundle.in_order(warnings),
        bundle.in_order(policies),
        cut.journal,
        {name: code for name, code in _refused(client, cut).items() if name in places},
    )


def _cut(settings: Settings, client: ClickHouse, codec: Codec, partition: int) -> Cut:
    """Where the history is whole. Raises ConfigurationError if it is nowhere yet."""
    progress = read_progress(client)
    reached = {
        topic.topic_id: resume_at(progress.get((topic.topic_id, partition), ()))
        for topic in (*SOURCES, WARNINGS)
    }
    told = {"partition": partition, "reached": reached[WARNINGS.topic_id]}
    is_counted = WARNINGS.table not in settings.kept_days
    warned = client.rows(_COUNT, told)[0][0] if is_counted else OFFSET_LAST
    topics = {"topics": list(reached), "ends": list(reached.values())}
    found = client.rows(_LAST, {"partition": partition, "warned": warned, **topics})
    if not found:
        raise ConfigurationError(
            f"the history has no journal of partition {partition} yet",
            mend="start `tocsin worker` and `tocsin audit`, and wait until they have caught up",
        )
    ((offset, before),) = found
    (journal,) = read_range(client, JOURNAL.topic_id, partition, offset, offset + 1)
    ends = {read.topic_id: read.next for read in codec.decode_journal(journal.value).ranges}
    statement, values = _END, {"partition": partition, "before": before - 1}
    if not is_counted:
        statement, values = _END_BY_TIME, {**told, "instant": journal.timestamp}
    if before:
        ((ends[WARNINGS.topic_id],),) = client.rows(statement, values)
    return Cut(journal, ends)


def _only_episode(customer_id: str, begun: str, warnings: Iterable[RiskWarning]) -> str:
    """The episode that is meant by the beginning of an id. Raises InputError."""
    ids = {
        warning.episode_id
        for warning in warnings
        if warning.episode_id.startswith(begun) or warning.warning_id.startswith(begun)
    }
    if len(ids) != 1:
        what = "several episodes begin" if ids else "no episode begins"
        raise InputError(
            f"{what} with {begun!r} of {customer_id}",
            mend=f"`tocsin warnings --customer {customer_id}` lists their warnings",
        )
    return ids.pop()


def _refused(client: ClickHouse, cut: Cut) -> dict[str, str]:
    """Codes of what the partition's journal says was refused, by place."""
    journal = cut.journal
    rows = client.rows(_REFUSED, {"partition": journal.partition, "last": journal.offset})
    return {
        f"{BY_ID[topic_id].name}/{journal.partition}/{offset}": code
        for topic_id, offset, code in rows
    }
