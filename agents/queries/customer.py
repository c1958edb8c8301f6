"""A customer's credit file: what is owed and since when, what warns of it, what happened last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tocsin.agents.queries.commitments import Commitments, commitments_json, read_commitments
from tocsin.agents.queries.credit_decisions import CustomerCredit, credit_json, read_credit
from tocsin.agents.queries.events import event_json
from tocsin.agents.queries.lookup import Lookup, StoredEvent, WarningFilter
from tocsin.agents.queries.score import Score, score_json, score_of
from tocsin.agents.queries.warnings import warning_json
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.formats import day, instant
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import load_policy

BUCKETS = ((0, "not due"), (30, "1-30 days"), (60, "31-60 days"), (90, "61-90 days"))
LAST_BUCKET = "over 90 days"
AGES = (*(name for _, name in BUCKETS), LAST_BUCKET)
Due = Sequence[tuple[str, int, int, int]]  # currency, due day, open minor units, items


class CreditFile(Struct, frozen=True):
    """What is known of a customer: the row of standings, what is due when, warnings, events.

    `credit` says what is to be done next and what was decided about the customer's credit.
    """

    standing: Mapping[str, Any]
    due: Due
    warnings: Sequence[RiskWarning]
    events: Sequence[StoredEvent]
    score: Score | None
    credit: CustomerCredit
    commitments: Commitments


def aging(due: Due, as_of: int) -> dict[str, list[tuple[str, int, int]]]:
    """Per currency the buckets with open minor units and items; due today is not past due."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for currency, due_day, open_minor, items in due:
        late = as_of - due_day
        bucket = next((name for most, name in BUCKETS if late <= most), LAST_BUCKET)
        buckets = found.setdefault(currency, dict.fromkeys(AGES, (0, 0)))
        amount, count = buckets[bucket]
        buckets[bucket] = amount + open_minor, count + items
    return {
        currency: [(name, amount, count) for name, (amount, count) in buckets.items()]
        for currency, buckets in sorted(found.items())
    }


def read_file(lookup: Lookup, customer_id: str, event_limit: int, horizon_days: int) -> CreditFile:
    """Gather a customer's credit file. Raises InputError for a stranger."""
    customer_id = lookup.customer(customer_id)
    standing = lookup.standing(customer_id)
    if standing is None:
        raise lookup.unknown_customer(customer_id)
    wanted = WarningFilter(is_open=True, customer_id=customer_id, limit=100)
    document = lookup.policy_in_force()
    policy, _ = load_policy(document, horizon_days) if document else (None, [])
    return CreditFile(
        standing,
        lookup.due(customer_id),
        [placed.warning for placed in lookup.warnings(wanted)],
        lookup.events(customer_id, event_limit) if event_limit else [],
        _score(lookup, customer_id, standing["as_of"], policy),
        read_credit(lookup, standing, policy),
        read_commitments(lookup, customer_id),
    )


def _score(
    lookup: Lookup, customer_id: str, as_of: int | None, policy: Policy | None
) -> Score | None:
    """The customer's score; None where the policy in force has none."""
    row = lookup.score(customer_id)
    if row is None or policy is None or policy.scorecard is None:
        return None
    return score_of(row, policy.scorecard, as_of)


def file_json(file: CreditFile, view: WarningView) -> dict[str, Any]:
    """A credit file as programs get it; dates and instants in ISO 8601."""
    standing = dict(file.standing)
    standing["as_of"] = day(standing["as_of"])
    standing["oldest_due_date"] = day(standing["oldest_due_date"])
    standing["last_payment_at"] = instant(standing["last_payment_at"]).replace(" ", "T")
    return {
        **standing,
        **credit_json(file.credit),
        **commitments_json(file.commitments),
        "due": [
            {"currency": currency, "due_date": day(due), "open_minor": amount, "items": items}
            for currency, due, amount, items in file.due
        ],
        "score": None if file.score is None else score_json(file.score),
        "open_warnings": [warning_json(warning, view) for warning in file.warnings],
        "events": [event_json(seen) for seen in file.events],
    }
