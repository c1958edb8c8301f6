"""Warnings about the sources themselves: a day closed without one, one on hold, one with a gap.

They are episodes of the partition, not of a customer: `customer_id` is empty and the subject names
the topic. What is missing is missing everywhere, so partition 0 alone says it; a hold concerns one
partition, which its subject names too (payments/3), and so does a gap: records that were deleted
before they were read, which somebody accepted knowingly. It is said once, until the day closes.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tocsin.streams.decide.episodes import (
    NO_PROOF,
    DecisionContext,
    build_warning,
    empty_values,
    fill_placeholders,
)
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.sources import NAMES
from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.ledger.documents import Episode
from tocsin.streams.ledger.state_records import PartitionState
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.severity import HIGH, SEVERITY_NAMES
from tocsin.streams.policy.policy import (
    SOURCE_GAP,
    SOURCE_HELD,
    SOURCE_INCOMPLETE,
    SourceWords,
)

_BEGINS = {
    SOURCE_INCOMPLETE: "DAY_CLOSED_WITHOUT_MARK",
    SOURCE_HELD: "REFUSAL_STORM",
    SOURCE_GAP: "RECORDS_LOST",
}
_ENDS = {
    SOURCE_INCOMPLETE: "MARK_CAME",
    SOURCE_HELD: "BACKLOG_READ",
    SOURCE_GAP: "DAY_CLOSED",
}
# A policy need not have words for what its author hopes never to see.
_GAP_WORDS = SourceWords(
    action="FETCH_SOURCE",
    text=Text(
        "{subject}: {value} offsets ({items}) were deleted before they were read; what they "
        "held is missing in what is decided.",
        "数据源{subject}有{value}个位移（{items}）在读取前已被删除；其内容未计入判断。",
    ),
    clears_when=Text(
        "Ends when the business day closes; the gap itself stays.",
        "当个营业日关账时解除；缺口本身仍然存在。",
    ),
    action_text=Text(
        "Let the source send again what was lost, as new records.",
        "请数据源将丢失的内容作为新记录重新发送。",
    ),
    over=Text(
        "The day in which the gap of {subject} was accepted is closed.",
        "接受数据源{subject}缺口的营业日已关账。",
    ),
)


class Gap(Struct, frozen=True):
    """Offsets of a source topic, from `first` to before `until`, that were never read."""

    topic_id: int
    first: int
    until: int


class _Trouble(Struct, frozen=True):
    """A source that cannot be relied on: how long or how often, and what is known of it."""

    value: int
    unit: Unit
    known: str


def tell_gap(
    state: PartitionState, partition: int, moment: DecisionContext, gap: Gap
) -> list[RiskWarning]:
    """Say that a gap in a source was accepted."""
    key = f"{SOURCE_GAP}:{NAMES[gap.topic_id]}/{partition}"
    episode = state.episodes.setdefault(key, Episode())
    lost = _Trouble(gap.until - gap.first, Unit.COUNT, f"{gap.first}-{gap.until - 1}")
    transition, previous = "REPEATED", HIGH if episode.severity else None
    if previous is None:
        episode.ordinal += 1
        episode.steps = 0
        episode.raised_on = moment.as_of
        transition, episode.severity = "RAISED", HIGH
    episode.steps += 1
    episode.warned_on = moment.as_of
    return [_warn(key, episode, lost, transition, previous, moment)]


def advance_source_episodes(
    state: PartitionState, partition: int, moment: DecisionContext, *, is_new_day: bool = False
) -> list[RiskWarning]:
    """Begin, repeat (once a day) and end the episodes of a partition's sources."""
    troubles = dict(_troubles(state, partition, moment.as_of))
    said = []
    for key in sorted(troubles.keys() | state.episodes.keys()):
        episode = state.episodes.setdefault(key, Episode())
        trouble = troubles.get(key)
        if trouble is not None and not episode.severity:
            episode.ordinal += 1
            episode.steps = 0
            episode.raised_on = moment.as_of
            transition, previous, episode.severity = "RAISED", None, HIGH
        elif trouble is None and episode.severity and (is_new_day or not _is_gap(key)):
            transition, previous, episode.severity = "CLEARED", HIGH, 0
        elif trouble is not None and is_new_day:
            transition, previous = "REPEATED", HIGH
        else:
            continue
        episode.steps += 1
        episode.warned_on = moment.as_of
        said.append(_warn(key, episode, trouble, transition, previous, moment))
    return said


def _is_gap(key: str) -> bool:
    return key.startswith(f"{SOURCE_GAP}:")


def _troubles(state: PartitionState, partition: int, as_of: int) -> Iterator[tuple[str, _Trouble]]:
    for topic_id, since in sorted(state.missing.items()) if partition == 0 else ():
        mark = state.marks.get(topic_id)
        known = "-" if mark is None else epoch_day_text(mark.date)
        yield f"{SOURCE_INCOMPLETE}:{NAMES[topic_id]}", _Trouble(as_of - since, Unit.DAYS, known)
    for topic_id, hold in sorted(state.holds.items()):
        yield f"{SOURCE_HELD}:{NAMES[topic_id]}/{partition}", _Trouble(1, Unit.COUNT, hold.code)


def _warn(
    key: str,
    episode: Episode,
    trouble: _Trouble | None,
    transition: str,
    previous: int | None,
    moment: DecisionContext,
) -> RiskWarning:
    rule, _, subject = key.partition(":")
    words = _GAP_WORDS if rule == SOURCE_GAP else moment.policy.sources[rule]
    is_over = trouble is None
    if trouble is None:
        trouble = _Trouble(0, Unit.DAYS if rule == SOURCE_INCOMPLETE else Unit.COUNT, "")
    if transition == "REPEATED" and rule != SOURCE_GAP:
        reason = "REPEAT_INTERVAL_ELAPSED"
    else:
        reason = _ENDS[rule] if is_over else _BEGINS[rule]
    values = empty_values(
        {
            "subject": subject,
            "value": str(trouble.value),
            "threshold": "1",
            "items": trouble.known,
            "severity": SEVERITY_NAMES[HIGH],
            "rule": rule,
            "as_of": epoch_day_text(moment.as_of),
        }
    )
    return build_warning(
        None,
        moment,
        rule=rule,
        subject=subject,
        episode=episode,
        transition=transition,
        reason=reason,
        severity=HIGH,
        previous=previous,
        measured_as=(trouble.value, 1, trouble.unit),
        proof=NO_PROOF,
        action="NONE" if is_over else words.action,
        texts=(
            fill_placeholders(words.over if is_over else words.text, values),
            NO_TEXT if is_over else fill_placeholders(words.clears_when, values),
            NO_TEXT if is_over else fill_placeholders(words.action_text, values),
        ),
    )


def mark_incomplete(
    warning: RiskWarning, topics: frozenset[int], missing: frozenset[int]
) -> RiskWarning:
    """Say in a warning which of the topics that its rule reads were missing."""
    names = ", ".join(NAMES[topic_id] for topic_id in sorted(topics & missing))
    return replace(warning, incomplete=names) if names else warning
