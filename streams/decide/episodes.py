"""Episodes: the life of a rule over a subject of a customer, from RAISED to CLEARED.

`advance` turns a finding into the next step, or none; every step is a warning with its reason.
Ids are derived: a replay makes the same ones.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from tocsin.streams.decide.assess import Finding
from tocsin.streams.decide.evidence import EVIDENCE_MAX, ValueEvidence, collect_evidence
from tocsin.streams.decide.exposure import exposures_of, tell_exposures
from tocsin.streams.decide.risk_warning import Evidence, Exposure, RiskWarning
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.money import format_minor
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.collection_texts import fill_step_name
from tocsin.streams.ledger.documents import Episode
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.names import name_of
from tocsin.streams.measures.scorecard import GRADES, fill_score_words, score_values
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.policy import PLACEHOLDERS, Policy, Rule, Variant
from tocsin.streams.policy.raise_conditions import measured

NO_PROOF = ValueEvidence((), 0, hashlib.blake2b(digest_size=16).hexdigest())


class DecisionContext(Struct, frozen=True):
    """Under which circumstances a decision is made.

    `clear_reason` is the reason of an episode that ends now; `cause` the record that changed the
    ledger, None in a sweep; `is_policy_change` makes POLICY_CHANGED the reason of every step.
    """

    as_of: int
    occurred_at: int
    phase: str
    policy: Policy
    clear_reason: str = "FELL_BELOW_CLEAR_AT"
    cause: Evidence | None = None
    is_policy_change: bool = False


def advance(ledger: Ledger, finding: Finding, moment: DecisionContext) -> RiskWarning:
    """Take an episode one step on, and warn of it."""
    current = 0 if finding.episode is None else finding.episode.severity
    transition, reason = _transition(current, finding.level, finding, moment)
    episode = move(ledger, finding, moment.as_of)
    return _warn(ledger, finding, episode, current, transition, reason, moment)


def move(ledger: Ledger, finding: Finding, as_of: int) -> Episode:
    """Take the episode of a finding one step on; it is made where there was none."""
    rule, level, episode = finding.rule, finding.level, finding.episode
    if episode is None:
        episode = ledger.summary.episodes[f"{rule.name}:{finding.subject}"] = Episode()
    _step(ledger, episode, episode.severity, level, as_of)
    if level:
        ledger.schedule_repeat(as_of + rule.repeat_days)
    return episode


def end_without(ledger: Ledger, episode: Episode, rule: Rule | None, as_of: int) -> bool:
    """End what the rule as it now is does not ask for; True if it was an open episode.

    `rule` is None where there is none any more.
    """
    if episode.crossed and (rule is None or not rule.dwell_days):
        episode.crossed = None
        ledger.is_touched = True
    if not episode.severity or rule is not None:
        return False
    _step(ledger, episode, episode.severity, 0, as_of)
    return True


def transition_of(current: int, level: int) -> str:
    """What the step of an episode from one severity to another is called; 0: it is not open."""
    if level == current:
        return "REPEATED"
    if current == 0:
        return "RAISED"
    if level == 0:
        return "CLEARED"
    return "ESCALATED" if level > current else "EASED"


def clear_withdrawn(ledger: Ledger, variant: Variant, moment: DecisionContext) -> list[RiskWarning]:
    """End the episodes of rules that the policy no longer has, or not for this customer."""
    summary, rules = ledger.summary, {rule.name: rule for rule in variant.rules}
    warnings = []
    for key in sorted(summary.episodes):
        rule_name, _, subject = key.partition(":")
        episode, rule = summary.episodes[key], rules.get(rule_name)
        current = episode.severity
        if end_without(ledger, episode, rule, moment.as_of):
            texts = {"rule": rule_name, "customer": ledger.customer_id, "subject": subject}
            said = fill_placeholders(moment.policy.withdrawn, empty_values(texts))
            warnings.append(
                build_warning(
                    ledger,
                    moment,
                    rule=rule_name,
                    subject=subject,
                    episode=episode,
                    transition="CLEARED",
                    reason="OVERRIDDEN" if rule_name in variant.off else "POLICY_CHANGED",
                    severity=current,
                    previous=current,
                    measured_as=(0, 0, Unit.COUNT),
                    proof=_with_cause(NO_PROOF, moment.cause),
                    action="NONE",
                    texts=(said, said, Text("", "")),
                )
            )
    ledger.note_open_rules()
    return warnings


_REASONS = {
    "REPEATED": "REPEAT_INTERVAL_ELAPSED",
    "RAISED": "FIRST_CROSSING",
    "ESCALATED": "SEVERITY_ROSE",
    "EASED": "SEVERITY_FELL",
}


def _transition(
    current: int, level: int, finding: Finding, moment: DecisionContext
) -> tuple[str, str]:
    transition = transition_of(current, level)
    reason = _REASONS.get(transition, moment.clear_reason)
    if transition == "CLEARED":
        if finding.value is None:
            reason = "INSUFFICIENT_EVIDENCE"
        elif finding.unmet is not None:
            reason = "CONDITION_ENDED"
    is_repeated = transition == "REPEATED"
    return transition, "POLICY_CHANGED" if moment.is_policy_change and not is_repeated else reason


def _step(ledger: Ledger, episode: Episode, current: int, level: int, as_of: int) -> None:
    if current == 0:
        episode.ordinal += 1
        episode.steps = 0
        episode.raised_on = as_of
        ledger.summary.open_episodes += 1
    elif level == 0:
        ledger.summary.open_episodes -= 1
        episode.ended_at = current
    if level > current or not level:
        episode.is_acknowledged = False
    episode.steps += 1
    episode.severity = level
    episode.warned_on = as_of
    ledger.note_open_rules()
    ledger.is_touched = True


def _warn(
    ledger: Ledger,
    finding: Finding,
    episode: Episode,
    current: int,
    transition: str,
    reason: str,
    moment: DecisionContext,
) -> RiskWarning:
    rule, ladder, subject = finding.rule, finding.ladder, finding.subject
    value, threshold, clear_at = finding.value or 0, 0, 0
    if ladder is not None:
        clear_at = ladder.clear_at
        threshold = ladder.reached_at(finding.level, value) if finding.level else clear_at
    conditions = list(measured(ledger, rule, subject, moment.as_of)) if rule.conditions else []
    parts = [(rule.measure, subject, rule.parameters)]
    parts += [
        (condition.measure, inner, condition.parameters)
        for condition, bounds, inner, _ in conditions
        if bounds.at_least is not None
    ]
    proof = collect_evidence(ledger, moment.as_of, parts)
    severity = finding.level or current
    unit = rule.measure.unit
    told = [
        (
            name_of(condition.measure, condition.parameters),
            _say(found, condition.measure.unit, inner),
        )
        for condition, _, inner, found in conditions
        if found is not None
    ]
    values = {
        "customer": ledger.customer_id,
        "subject": subject,
        "value": _say(value, unit, subject),
        "threshold": _say(threshold, unit, subject),
        "clear_at": _say(clear_at, unit, subject),
        "to_clear": _say(max(value - clear_at + 1, 0), unit, subject),
        "exposure": tell_exposures(exposures_of(ledger, subject, moment.policy)),
        "count": str(proof.count),
        "items": ", ".join(evidence.id for evidence in proof.evidence),
        "severity": SEVERITY_NAMES[severity],
        "rule": rule.name,
        "as_of": epoch_day_text(moment.as_of),
        **score_values(ledger.summary),
    }
    card, summary = moment.policy.scorecard, ledger.summary
    wanted = moment.policy.cleared if finding.level == 0 else rule.text
    wanted = _fill_conditions(wanted, told)
    clears_when = _fill_conditions(rule.clears_when, told)
    action_text = _fill_conditions(rule.action_text, told)
    step = "" if summary.collecting is None else summary.collecting.step
    said = fill_placeholders(fill_score_words(fill_step_name(wanted, step), card, summary), values)
    return build_warning(
        ledger,
        moment,
        rule=rule.name,
        subject=subject,
        episode=episode,
        transition=transition,
        reason=reason,
        severity=severity,
        previous=current or None,
        measured_as=(value, threshold, unit),
        proof=_with_cause(proof, moment.cause) if finding.level == 0 else proof,
        missing=rule.measure.needs if finding.value is None else None,
        action="NONE" if finding.level == 0 else rule.action,
        texts=(
            said,
            fill_placeholders(fill_step_name(clears_when, step), values)
            if finding.level
            else Text("", ""),
            fill_placeholders(
                fill_score_words(fill_step_name(action_text, step), card, summary), values
            )
            if finding.level
            else Text("", ""),
        ),
    )


def _fill_conditions(text: Text, told: list[tuple[Text, str]]) -> Text:
    """A text with `{conditions}` replaced by what each of them measured."""
    if "{conditions}" not in text.en + text.zh:
        return text
    return Text(
        text.en.replace("{conditions}", ", ".join(f"{name.en} {found}" for name, found in told)),
        text.zh.replace("{conditions}", "，".join(f"{name.zh}{found}" for name, found in told)),
    )


def _with_cause(proof: ValueEvidence, cause: Evidence | None) -> ValueEvidence:
    """A clearing names the record that brought it, before what is left of the evidence."""
    if cause is None:
        return proof
    others = tuple(entry for entry in proof.evidence if entry != cause)
    return ValueEvidence((cause, *others)[:EVIDENCE_MAX], proof.count, proof.digest)


def build_warning(
    ledger: Ledger | None,
    moment: DecisionContext,
    *,
    rule: str,
    subject: str,
    episode: Episode,
    transition: str,
    reason: str,
    severity: int,
    previous: int | None,
    measured_as: tuple[int, int, Unit],
    proof: ValueEvidence,
    action: str,
    texts: tuple[Text, Text, Text],
    missing: str | None = None,
) -> RiskWarning:
    """A warning of one step of an episode, whose `steps` count it; without a ledger, of sources."""
    said, clears_when, advised = texts
    value, threshold, unit = measured_as
    policy = moment.policy
    customer_id = "" if ledger is None else ledger.customer_id
    owed, *others = [Exposure("", 0)] if ledger is None else exposures_of(ledger, subject, policy)
    episode_id = derived_id(customer_id, rule, subject, episode.ordinal)
    return RiskWarning(
        warning_id=derived_id(episode_id, episode.steps),
        episode_id=episode_id,
        customer_id=customer_id,
        rule=rule,
        subject=subject,
        transition=transition,
        reason=reason,
        severity=SEVERITY_NAMES[severity],
        previous_severity=None if previous is None else SEVERITY_NAMES[previous],
        phase=moment.phase,
        as_of=moment.as_of,
        occurred_at=moment.occurred_at,
        value=value,
        threshold=threshold,
        unit=unit.value,
        currency=owed.currency or None,
        exposure_minor=owed.exposure_minor,
        evidence=proof.evidence,
        evidence_count=proof.count,
        evidence_digest=proof.digest,
        clears_when_en=clears_when.en,
        clears_when_zh=clears_when.zh,
        action=action,
        text_en=said.en,
        text_zh=said.zh,
        action_en=advised.en,
        action_zh=advised.zh,
        policy_name=policy.name,
        policy_version=policy.version,
        policy_hash=policy.hash,
        score=None if ledger is None else ledger.summary.score,
        grade=None if ledger is None else ledger.summary.grade or None,
        flaps=1 if ledger is None else episode.ordinal,
        missing=missing,
        other_exposures=tuple(others),
    )


def _say(value: int, unit: Unit, subject: str) -> str:
    if unit is Unit.MINOR:
        return format_minor(value, subject)
    if unit is Unit.BASIS_POINTS:
        decimals = f"{value % 100:02d}".rstrip("0")
        return f"{value // 100}.{decimals}%" if decimals else f"{value // 100}%"
    return GRADES[value] if unit is Unit.GRADE else str(value)


def empty_values(values: dict[str, str]) -> dict[str, str]:
    """Values for every placeholder, empty where none is given."""
    return {**dict.fromkeys(PLACEHOLDERS, ""), **values}


def fill_placeholders(text: Text, values: dict[str, str]) -> Text:
    """Put values in the place of the braces."""
    return Text(text.en.format_map(values), text.zh.format_map(values))
