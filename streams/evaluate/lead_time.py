"""How long before a harm its first warning came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from tocsin.streams.evaluate.comparison import quantile
from tocsin.streams.evaluate.observations import Case
from tocsin.streams.measures.severity import LOW

ANY_RULE = ""

Leads: TypeAlias = dict[tuple[str, int], list[int]]


class LeadTime(Struct, frozen=True):
    """Days from the first warning of an episode to the harm, over `harms` that were foreseen."""

    harms: int
    median: float | None
    p10: float | None


def lead_days(cases: Iterable[Case], track: int) -> Leads:
    """Days of lead of the harms for which an episode was open when they were observed, sorted.

    By rule (ANY_RULE: of whatever rule) and least severity, from the earliest such episode. A harm
    seen at several months' ends is one harm.
    """
    leads: dict[tuple[str, int], dict[tuple[str, str, int], int]] = {}
    for case in cases:
        if case.harm_on is None:
            continue
        observed = case.observation
        harm = (observed.customer_id, observed.invoice_id, case.harm_on)
        for one in observed.stands[track].episodes:
            lead = case.harm_on - one.since
            for rule in (ANY_RULE, one.rule):
                for severity in range(LOW, one.severity + 1):
                    found = leads.setdefault((rule, severity), {})
                    found[harm] = max(lead, found.get(harm, lead))
    return {key: sorted(found.values()) for key, found in leads.items()}


def lead_time(days: list[int]) -> LeadTime:
    """Median and the tenth percentile of sorted days of lead."""
    return LeadTime(len(days), _rounded(quantile(days, 0.5)), _rounded(quantile(days, 0.1)))


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 1)
