"""Gathers what a bundle holds from the history, and compares a bundle with the topics."""

from __future__ import annotations

from tocsin.agents import bundle
from tocsin.agents.bundle import Contents
from tocsin.agents.clickhouse import ClickHouse
from tocsin.agents.errors import InputError
from tocsin.agents.history import HistoryRecord, of_customer, read_range
from tocsin.agents.lookup import EVENT_SOURCES
from tocsin.agents.partitioning import partition_of
from tocsin.agents.reading import read_positions
from tocsin.agents.settings import Settings
from tocsin.schemas.catalog import BY_ID, BY_NAME, POLICIES, WARNINGS
from tocsin.schemas.codec import Codec
from tocsin.schemas.refused import Refused

_REFUSED = """
SELECT refused_topic_id, refused_partition, refused_offset, code FROM dead_letters FINAL
WHERE is_decoded AND refused_topic_id >= 0 AND refused_partition = {partition:Int32}
"""  # below 0: a foreign record that the intake refused


def gather(
    settings: Settings, client: ClickHouse, codec: Codec, customer_id: str, episode: str
) -> Contents:
    """Everything that the history has of a customer, or what concerns one episode of it.

    `episode` is the id of an episode or of one of its warnings, or the beginning of either.
    Raises InputError if there is nothing.
    """
    partition = partition_of(customer_id.encode(), settings.partitions)
    records = [r for topic in EVENT_SOURCES for r in of_customer(client, topic, customer_id)]
    warnings = bundle.in_order(of_customer(client, WARNINGS, customer_id))
    if not records:
        raise InputError(
            f"no record of a customer {customer_id!r} in the history",
            mend="`tocsin customer ID` tells which are near",
        )
    episode_id = ""
    if episode:
        told = {record: codec.decode_warning(record.value) for record in warnings}
        ids = {w.episode_id for w in told.values() if _begins(episode, w.episode_id, w.warning_id)}
        if len(ids) != 1:
            what = "several episodes begin" if ids else "no episode begins"
            raise InputError(
                f"{what} with {episode!r} of {customer_id}",
                mend=f"`tocsin warnings --customer {customer_id}` lists their warnings",
            )
        (episode_id,) = ids
        told = {record: w for record, w in told.items() if w.episode_id == episode_id}
        warnings = list(told)
        records = bundle.chosen(records, list(told.values()))
    versions = read_range(client, POLICIES.topic_id, partition)
    policies = [record for record in versions if _is_readable(codec, record)]
    places = {bundle.place(record) for record in (*records, *policies)}
    refused = {
        name: code
        for topic_id, refused_at, offset, code in client.rows(_REFUSED, {"partition": partition})
        if (name := f"{BY_ID[topic_id].name}/{refused_at}/{offset}") in places
    }
    return Contents(customer_id, episode_id, bundle.in_order(records), warnings, policies, refused)


def _begins(text: str, *ids: str) -> bool:
    return any(known.startswith(text) for known in ids)


def _is_readable(codec: Codec, record: HistoryRecord) -> bool:
    try:
        codec.decode(BY_NAME[record.topic].topic_id, record.value)
    except Refused:
        return False
    return True


async def differences(settings: Settings, contents: Contents) -> list[str]:
    """Where the records of a bundle differ from those of the deployment's topics."""
    every = [*contents.records, *contents.warnings, *contents.policies]
    places = {
        bundle.place(r): (settings.topic(BY_NAME[r.topic]), r.partition, r.offset) for r in every
    }
    found = await read_positions(settings, places.values())
    problems = []
    for record in every:
        name = bundle.place(record)
        kept = found.get(places[name])
        if kept is None:
            problems.append(f"{name} is not in the topic")
        elif (kept.timestamp, kept.key, kept.value) != (
            record.timestamp,
            record.key,
            record.value,
        ):
            problems.append(f"{name} differs from the topic's")
    return problems
