"""Warnings as a backtest keeps them, and which episodes are open at a moment by them alone."""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.decide.risk_warning import Exposure, RiskWarning
from tocsin.streams.measures.severity import SEVERITIES

TRANSITIONS = ("RAISED", "ESCALATED", "REPEATED", "EASED", "CLEARED")


class Alarm(Struct, frozen=True, gc=False):
    """A warning about a customer: the steps of episodes only. `day` is its business date."""

    customer_id: str
    episode_id: str
    rule: str
    subject: str
    transition: str
    severity: int
    day: int
    is_muted: bool
    exposures: tuple[Exposure, ...]


class Standing(Struct, frozen=True, gc=False):
    """An open episode: its severity now, and the day of its first warning."""

    rule: str
    severity: int
    since: int


def alarm_of(warning: RiskWarning) -> Alarm | None:
    """The step of an episode that a warning tells; None for digests and what is of no customer."""
    if not warning.customer_id or warning.transition not in TRANSITIONS:
        return None
    return Alarm(
        warning.customer_id,
        warning.episode_id,
        warning.rule,
        warning.subject,
        warning.transition,
        SEVERITIES[warning.severity],
        warning.as_of,
        warning.muted_by is not None,
        warning.exposures,
    )


class OpenEpisodes:
    """Open episodes of all customers; muted ones too, since a rule is judged by what it found."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, Standing]] = {}
        self._told: dict[str, tuple[Standing, ...]] = {}

    def take(self, alarm: Alarm) -> None:
        """Go one step on."""
        episodes = self._open.setdefault(alarm.customer_id, {})
        self._told.pop(alarm.customer_id, None)
        if alarm.transition == "CLEARED":
            episodes.pop(alarm.episode_id, None)
            return
        before = episodes.get(alarm.episode_id)
        since = alarm.day if before is None else before.since
        episodes[alarm.episode_id] = Standing(alarm.rule, alarm.severity, since)

    def of(self, customer_id: str) -> tuple[Standing, ...]:
        """The open episodes of a customer."""
        told = self._told.get(customer_id)
        if told is None:
            told = self._told[customer_id] = tuple(self._open.get(customer_id, {}).values())
        return told
