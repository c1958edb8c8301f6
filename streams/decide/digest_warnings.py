"""Digests: one warning that lists a customer's open episodes, where many would be a flood.

At go-live it lists all of them; when what muted warnings is over, those that nobody was told of.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.streams.decide.episodes import (
    NO_PROOF,
    DecisionContext,
    build_warning,
    empty_values,
    fill_placeholders,
)
from tocsin.streams.decide.evidence import EVIDENCE_MAX, ValueEvidence
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.ledger.documents import Episode
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.policy import OPENING_DIGEST, RESUMPTION_DIGEST


def opening_digest(ledger: Ledger, moment: DecisionContext) -> RiskWarning | None:
    """At go-live: one warning that lists a customer's open episodes; None if there are none.

    Only what the policy would tell readers of credit is listed.
    """
    episodes, telling = ledger.summary.episodes, moment.policy.telling
    still_open = [
        key
        for key in sorted(episodes)
        if episodes[key].severity >= telling.told_from(rule := key.partition(":")[0])
        and rule not in telling.audiences
    ]
    if not still_open:
        return None
    episode = Episode(ordinal=1, steps=1)
    return _digest(ledger, moment, OPENING_DIGEST, episode, "OPENING_DIGEST", still_open)


def resumption_digest(
    ledger: Ledger,
    moment: DecisionContext,
    reason: str,
    keys: Sequence[str],
    causes: Sequence[str],
    evidence: tuple[Evidence, ...],
) -> RiskWarning:
    """When `causes` mute no longer: one warning that lists the open episodes that they muted."""
    key = f"{RESUMPTION_DIGEST}:"
    episode = ledger.summary.episodes.setdefault(key, Episode())
    episode.ordinal += 1
    episode.steps = 1
    episode.warned_on = moment.as_of
    ledger.is_touched = True
    return _digest(ledger, moment, RESUMPTION_DIGEST, episode, reason, keys, causes, evidence)


def _digest(
    ledger: Ledger,
    moment: DecisionContext,
    rule: str,
    episode: Episode,
    reason: str,
    keys: Sequence[str],
    causes: Sequence[str] = (),
    evidence: tuple[Evidence, ...] = (),
) -> RiskWarning:
    episodes, policy = ledger.summary.episodes, moment.policy
    gravest = max(episodes[key].severity for key in keys)
    items = ", ".join(f"{key.rstrip(':')} {SEVERITY_NAMES[episodes[key].severity]}" for key in keys)
    values = empty_values(
        {
            "customer": ledger.customer_id,
            "count": str(len(keys)),
            "items": items,
            "cause": ", ".join(causes),
            "as_of": epoch_day_text(moment.as_of),
            "severity": SEVERITY_NAMES[gravest],
        }
    )
    wanted: Text = policy.resumed if causes else policy.digest
    return build_warning(
        ledger,
        moment,
        rule=rule,
        subject="",
        episode=episode,
        transition="DIGEST",
        reason=reason,
        severity=gravest,
        previous=None,
        measured_as=(len(keys), 1, Unit.COUNT),
        proof=ValueEvidence(evidence[:EVIDENCE_MAX], len(evidence), NO_PROOF.digest),
        action=policy.digest_action,
        texts=(
            fill_placeholders(wanted, values),
            NO_TEXT,
            fill_placeholders(policy.digest_action_text, values),
        ),
    )
