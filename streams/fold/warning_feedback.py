"""The fold of what people do about warnings: silences, acknowledgements, verdicts.

None of it changes what is measured. A silence mutes (see `muting`); an acknowledged episode is not
repeated; a verdict is counted by rule. What is said of an episode that this customer never had, or
of an acknowledged one that is over, changes nothing: another policy may have had other episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.fold.shared import UNCHANGED, FoldContext, fold_in_aggregate
from tocsin.streams.ledger.documents import Entry, Silence
from tocsin.streams.ledger.ledger import Ledger

SILENCES_MAX = 200
"""Silences kept of one customer: those that hold, and those of the horizon."""

_FIGURES = {"TRUE_ALARM": "true_alarms:", "FALSE_ALARM": "false_alarms:"}


def begin_silence(
    ledger: Ledger, event: events.SilenceBegan, offset: int, today: FoldContext
) -> str | Refusal:
    """Mute a rule, or all, until the day `expires_on`."""
    silences, name = ledger.summary.silences, event.silence_id
    known = silences.get(name)
    silence = Silence(event.rule or "", event.occurred_at, event.expires_on, offset)
    if known is None:
        refusal = _make_room(ledger, today)
        if refusal is not None:
            return refusal
    else:
        content = (known.rule, known.began_at, known.expires_on)
        if content == (silence.rule, silence.began_at, silence.expires_on):
            return UNCHANGED
        silence.is_over = known.is_over
    silences[name] = silence
    if is_in_force(silence, today.date):
        ledger.schedule_repeat(silence.expires_on)
    return "SILENCE_BEGAN"


def end_silence(
    ledger: Ledger, event: events.SilenceEnded, offset: int, today: FoldContext
) -> str | Refusal:
    """End a silence before its day; the end of one that is yet to come is kept for it."""
    silences, name = ledger.summary.silences, event.silence_id
    known = silences.get(name)
    if known is None:
        refusal = _make_room(ledger, today)
        if refusal is not None:
            return refusal
        known = silences[name] = Silence(expires_on=today.date, offset=offset)
    elif known.is_over:
        return UNCHANGED
    known.is_over = True
    return "SILENCE_ENDED"


def acknowledge(
    ledger: Ledger, event: events.WarningAcknowledged, offset: int, today: FoldContext
) -> str | Refusal:
    """Do not repeat an open episode until it escalates or ends."""
    for key, episode in ledger.summary.episodes.items():
        if episode.severity and not episode.is_acknowledged:
            rule, _, subject = key.partition(":")
            if event.episode_id == derived_id(ledger.customer_id, rule, subject, episode.ordinal):
                episode.is_acknowledged = True
                return "ACKNOWLEDGED"
    return UNCHANGED


def count_verdict(
    ledger: Ledger, event: events.VerdictGiven, offset: int, today: FoldContext
) -> str | Refusal:
    """Count whether an episode was right, by its rule; a later verdict replaces the one before."""
    key, summary = "v" + event.episode_id, ledger.summary
    known = ledger.entries.get(key)
    rule = known.content if known is not None else rule_of(ledger, event.episode_id)
    if not rule:
        return UNCHANGED
    if known is None:
        if summary.document_count >= today.documents_max:
            _count(ledger, event.verdict, rule, 1)
            return fold_in_aggregate(ledger)
        known = ledger.entries[key] = Entry(content=rule)
        ledger.remember(key, known, today.date, today.horizon_days)
    elif known.kind == event.verdict:
        return UNCHANGED
    else:
        _count(ledger, known.kind, rule, -1)
        ledger.dirty[key] = known
    known.occurred_at = event.occurred_at
    known.on = known.closed_on = today.date
    known.kind = event.verdict
    known.offset = offset
    _count(ledger, event.verdict, rule, 1)
    return "VERDICT_GIVEN"


def is_in_force(silence: Silence, as_of: int) -> bool:
    """Whether a silence holds on an epoch day."""
    return not silence.is_over and as_of < silence.expires_on


def schedule_silence_ends(ledger: Ledger, today: int) -> None:
    """Have the ledger look at its silences on the days on which they expire."""
    for silence in ledger.summary.silences.values():
        if is_in_force(silence, today):
            ledger.schedule_repeat(silence.expires_on)


def _make_room(ledger: Ledger, today: FoldContext) -> Refusal | None:
    """Forget silences that ended before the horizon; refuse where too many are left."""
    silences, last = ledger.summary.silences, today.date - today.horizon_days
    for name in [name for name, silence in silences.items() if silence.expires_on < last]:
        del silences[name]
    if len(silences) < SILENCES_MAX:
        return None
    return Refusal(
        Code.BEYOND_LIMIT,
        f"the customer has {SILENCES_MAX} silences already: one without a rule mutes all rules",
    )


def rule_of(ledger: Ledger, episode_id: str) -> str:
    """The rule of one of the customer's episodes, past ones included; empty if it is of none."""
    for key, episode in ledger.summary.episodes.items():
        rule, _, subject = key.partition(":")
        for ordinal in range(episode.ordinal, 0, -1):
            if episode_id == derived_id(ledger.customer_id, rule, subject, ordinal):
                return rule
    return ""


def _count(ledger: Ledger, verdict: str, rule: str, change: int) -> None:
    figures, name = ledger.summary.figures, _FIGURES[verdict] + rule
    figures[name] = figures.get(name, 0) + change
    if not figures[name]:
        del figures[name]


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.SilenceBegan: begin_silence,
    events.SilenceEnded: end_silence,
    events.WarningAcknowledged: acknowledge,
    events.VerdictGiven: count_verdict,
}
