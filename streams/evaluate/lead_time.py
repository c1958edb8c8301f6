"""How long before a harm its first warning came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from tocsin.streams.evaluate.observations import Case
from tocsin.streams.measures.severity import LOW

ANY_RULE = ""

Leads: TypeAlias = dict[tuple[str, int], dict[str, list[int]]]
"""Days of lead by customer, under rule (ANY_RULE: of whatever rule) and least severity."""

_Harm: TypeAlias = tuple[str, str, int]


def lead_days(cases: Iterable[Case], track: int) -> Leads:
    """Days of lead of the harms for which an episode was open when they were observed.

    From the earliest such episode. A harm seen at several months' ends is one harm.
    """
    leads: dict[tuple[str, int], dict[_Harm, int]] = {}
    for case in cases:
        if case.harm_on is None:
            continue
        harm = harm_of(case)
        for one in case.observation.stands[track].episodes:
            lead = case.harm_on - one.since
            for rule in (ANY_RULE, one.rule):
                for severity in range(LOW, one.severity + 1):
                    found = leads.setdefault((rule, severity), {})
                    found[harm] = max(lead, found.get(harm, lead))
    return {key: by_customer(found.items()) for key, found in leads.items()}


def harm_of(case: Case) -> _Harm:
    """What makes two observed harms the same: customer, invoice and day."""
    observed = case.observation
    return observed.customer_id, observed.invoice_id, case.harm_on or 0


def by_customer(leads: Iterable[tuple[_Harm, int]]) -> dict[str, list[int]]:
    """Days of lead by customer."""
    found: dict[str, list[int]] = {}
    for (customer_id, _, _), days in leads:
        found.setdefault(customer_id, []).append(days)
    return found


def all_days(leads: dict[str, list[int]]) -> Sequence[int]:
    """Days of lead of all customers, sorted."""
    return sorted(days for found in leads.values() for days in found)
