"""Holds: a storm of refusals on a source topic stops judging by it, until an operator releases it.

A hold is part of the partition's state, so it survives restarts. While it lasts, and until the
backlog after its release is read, rules that read the topic neither raise nor clear anything.
"""

from __future__ import annotations

from tocsin.streams.facts.sources import HOLDABLE
from tocsin.streams.ledger.state_records import Hold, PartitionState, SourceCount

HOLD_REFUSALS = 50
"""Refusals among the last records of a source topic that put it on hold."""

HOLD_RECORDS = 100
"""How many last records are looked at."""


def count_record(state: PartitionState, topic_id: int, offset: int) -> None:
    """Count a record of a source topic that was read."""
    counter = state.counters.get(topic_id)
    if counter is None:
        counter = state.counters[topic_id] = SourceCount()
    counter.seen += 1
    counter.next_offset = offset + 1


def count_refusal(state: PartitionState, topic_id: int, offset: int, code: str) -> bool:
    """Count a refused record; True if its topic goes on hold with it."""
    count_record(state, topic_id, offset)
    hold = state.holds.get(topic_id)
    if topic_id not in HOLDABLE or (hold and (hold.until_offset < 0 or hold.is_draining)):
        return False
    counter = state.counters[topic_id]
    first = counter.seen - HOLD_RECORDS
    counter.refused = [number for number in counter.refused if number > first]
    counter.refused.append(counter.seen)
    if len(counter.refused) < HOLD_REFUSALS:
        return False
    state.holds[topic_id] = Hold(code)
    counter.refused = []
    return True


def release(state: PartitionState, topic_id: int, until_offset: int, is_draining: bool) -> None:
    """End a hold: the topic is read again, and judged by from `until_offset` on."""
    hold = state.holds.get(topic_id)
    if hold is None:
        return
    hold.until_offset = max(until_offset, 0)
    hold.is_draining = is_draining


def end_backlog(state: PartitionState, topic_id: int) -> bool:
    """Whether a released topic's backlog is read; then rules over it are judged again."""
    hold = state.holds.get(topic_id)
    if hold is None or hold.until_offset < 0:
        return False
    counter = state.counters.get(topic_id)
    if (0 if counter is None else counter.next_offset) < hold.until_offset:
        return False
    del state.holds[topic_id]
    return True


def held(state: PartitionState) -> list[int]:
    """Topics that are not to be read now."""
    return sorted(topic for topic, hold in state.holds.items() if hold.until_offset < 0)


def suspended(state: PartitionState) -> frozenset[int]:
    """Topics that nothing is judged by now: on hold, or reading their backlog."""
    return frozenset(state.holds)
