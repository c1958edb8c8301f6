"""Muting: which warnings people are not to be troubled with, and by what.

A muted warning is decided, published and recorded like any other, with its cause: a silence of the
customer (SILENCED and its id), another audience (AUDIENCE and its name), an open episode of a rule
that inhibits it (INHIBITED and the rule), or a severity that the policy does not tell (BELOW and
the mildest that it tells). What was muted is remembered on its episode until a graver step is told.
Once nothing mutes it any more, one digest lists the episodes of the customer that are still open;
an end of one that nobody was told of stays muted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from tocsin.streams.decide.digest_warnings import resumption_digest
from tocsin.streams.decide.episodes import DecisionContext
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning
from tocsin.streams.facts.sources import ENGAGEMENTS
from tocsin.streams.fold.warning_feedback import is_in_force
from tocsin.streams.ledger.documents import Episode, Silence
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.policy import Telling

AUDIENCE = "AUDIENCE:"
"""Before the audience that a muted warning is for."""

_SILENCED = "SILENCED:"
_INHIBITED = "INHIBITED:"
_BELOW = "BELOW:"
_NEWS = ("RAISED", "ESCALATED")


def mark_muted(
    ledger: Ledger, warnings: list[RiskWarning], first: int, moment: DecisionContext
) -> None:
    """Mark the customer's warnings from place `first` on; add a digest if muting has ended."""
    summary = ledger.summary
    episodes = summary.episodes
    causes = Causes(summary.silences, moment.policy.telling, episodes, moment.as_of)
    for place in range(first, len(warnings)):
        warning = warnings[place]
        episode = episodes.get(f"{warning.rule}:{warning.subject}")
        if episode is None or warning.transition == "DIGEST":
            continue
        told = mark(episode, warning.transition, causes.of(warning.rule, episode.severity))
        if told:
            warnings[place] = replace(warning, muted_by=told)
    _resume(ledger, warnings, causes, moment)


def mark(episode: Episode, transition: str, cause: str) -> str:
    """What mutes a step of an episode, which keeps it; empty if the step is to be told."""
    told = cause
    if not cause and transition in ("CLEARED", "REPEATED"):
        told = episode.muted_by  # nobody knows of it, or the digest is about to say it
    if transition == "CLEARED" or (not cause and transition in _NEWS):
        episode.muted_by = ""
    elif cause and _is_to_be_told(transition, cause):
        episode.muted_by = cause
    return told


def resumed(episodes: Mapping[str, Episode], causes: Causes) -> dict[str, list[str]]:
    """Bring what mutes episodes up to date; those that nothing mutes any more, by what did."""
    ended: dict[str, list[str]] = {}
    for key in sorted([key for key, episode in episodes.items() if episode.muted_by]):
        episode = episodes[key]
        cause = causes.of(key.partition(":")[0], episode.severity)
        if not cause:
            ended.setdefault(episode.muted_by, []).append(key)
        episode.muted_by = cause
    return ended


def _is_to_be_told(transition: str, cause: str) -> bool:
    """Whether a digest has to make up for a muted step."""
    if transition == "REPEATED":
        return cause.startswith(_SILENCED)
    return transition in _NEWS


def _resume(
    ledger: Ledger, warnings: list[RiskWarning], causes: Causes, moment: DecisionContext
) -> None:
    episodes = ledger.summary.episodes
    if any(episode.muted_by for episode in episodes.values()):
        ledger.is_touched = True
    ended = resumed(episodes, causes)
    keys = sorted(key for muted in ended.values() for key in muted if episodes[key].severity)
    if not keys:
        return
    is_silence = any(cause.startswith(_SILENCED) for cause in ended)
    reason = "SILENCE_ENDED" if is_silence else "INHIBITION_ENDED"
    evidence = tuple(_silence_records(ledger, ended))
    warnings.append(resumption_digest(ledger, moment, reason, keys, sorted(ended), evidence))


def _silence_records(ledger: Ledger, ended: dict[str, list[str]]) -> Iterator[Evidence]:
    summary = ledger.summary
    for cause in sorted(ended):
        silence = summary.silences.get(cause.removeprefix(_SILENCED))
        if cause.startswith(_SILENCED) and silence is not None:
            name = cause.removeprefix(_SILENCED)
            yield Evidence(ENGAGEMENTS, summary.partition, silence.offset, name)


class Causes:
    """What mutes the rules of a customer on a day: silence, audience, inhibition, severity."""

    def __init__(
        self,
        silences: Mapping[str, Silence],
        telling: Telling,
        episodes: Mapping[str, Episode],
        as_of: int,
    ) -> None:
        self._silences = [
            (name, silence)
            for name, silence in sorted(silences.items())
            if is_in_force(silence, as_of)
        ]
        self._telling = telling
        self._open: dict[str, int] = {}
        for key, episode in episodes.items():
            rule = key.partition(":")[0]
            self._open[rule] = max(self._open.get(rule, 0), episode.severity)

    def of(self, rule: str, severity: int) -> str:
        """What mutes a rule at a severity; empty if nothing does. 0: the episode has ended.

        What is not told itself mutes nothing that is graver.
        """
        telling = self._telling
        for name, silence in self._silences:
            if silence.rule in ("", rule):
                return _SILENCED + name
        if rule in telling.audiences:
            return AUDIENCE + telling.audiences[rule]
        for inhibitor in telling.inhibitors.get(rule, ()):
            if (found := self._open.get(inhibitor, 0)) and found >= min(
                severity, telling.told_from(inhibitor)
            ):
                return _INHIBITED + inhibitor
        if 0 < severity < (least := telling.told_from(rule)):
            return _BELOW + SEVERITY_NAMES[least]
        return ""
