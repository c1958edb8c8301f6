"""Families of events that rules may count: by which name, on which topic, with which records.

A name is a family, such as `complaints`, or a family and a kind of it, such as `complaints:DEMAND`.
The fold tallies under these names; measures over events work for all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from tocsin.streams.facts.engagement_checks import CONTACT_OUTCOME_NAMES
from tocsin.streams.facts.sources import COMPLAINTS, CUSTOMERS, ENGAGEMENTS, INVOICES, PAYMENTS
from tocsin.streams.fold.complaints import kinds_of
from tocsin.streams.fold.conduct import BREACH, CHANGE, CONTACT, SERVICE, SURVEY, tallies_of
from tocsin.streams.fold.disputes import counts_against_customer
from tocsin.streams.fold.money_documents import AGAINST_PAYER, REVERSAL
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.rolling_windows import Window

Record = tuple[int, int, str, int, int]
"""A record that counts: its day, how much it adds, business id, topic id, offset."""
Records = Callable[[Ledger, str], Iterator[Record]]


class EventFamily(Struct, frozen=True):
    """Events of one sort: their topic, what they stir, the kinds that are counted apart."""

    topic: int
    affected_by: int
    records: Records
    kinds: tuple[str, ...] = ()


def _entries(letter: str) -> Records:
    def records(ledger: Ledger, name: str) -> Iterator[Record]:
        for key, entry in ledger.entries.items():
            if key[0] == letter:
                for tallied, amount in tallies_of(letter, entry):
                    if tallied == name:
                        yield entry.on, amount, key[1:], ENGAGEMENTS, entry.offset

    return records


def _complaints(ledger: Ledger, name: str) -> Iterator[Record]:
    kind = name.partition(":")[2]
    for complaint_id, complaint in ledger.complaints.items():
        kinds = kinds_of(complaint)
        if kinds and (not kind or kind in kinds):
            yield complaint.opened_on, 1, complaint_id, COMPLAINTS, complaint.offset


def _disputes(ledger: Ledger, name: str) -> Iterator[Record]:
    reason = name.partition(":")[2]
    for dispute_id, dispute in ledger.disputes.items():
        if counts_against_customer(dispute) and reason in ("", dispute.reason):
            yield dispute.opened_on, 1, dispute_id, ENGAGEMENTS, dispute.offset


def _invoices(ledger: Ledger, name: str) -> Iterator[Record]:
    for invoice_id, invoice in ledger.invoices.items():
        if not invoice.is_cancelled:
            yield invoice.issued_on, 1, invoice_id, INVOICES, invoice.offset


def _returns(ledger: Ledger, name: str) -> Iterator[Record]:
    for key, funds in ledger.funds.items():
        if funds.reason == "RETURN":
            yield funds.valued_on, 1, key[1:], INVOICES, funds.offset


def _bounced(ledger: Ledger, name: str) -> Iterator[Record]:
    for key, entry in ledger.entries.items():
        if key[0] == REVERSAL and entry.kind in AGAINST_PAYER:
            yield entry.on, 1, key[1:], PAYMENTS, entry.offset
    for key, funds in ledger.funds.items():  # reversed by a version that kept no entry of it
        if funds.is_reversed and key[0] == "p" and REVERSAL + key[1:] not in ledger.entries:
            yield funds.closed_on, 1, key[1:], PAYMENTS, funds.offset


def _short_paid(ledger: Ledger, name: str) -> Iterator[Record]:
    for key, funds in ledger.funds.items():
        if funds.is_short:
            yield funds.valued_on, 1, key[1:], PAYMENTS, funds.offset


def _ratings(ledger: Ledger, name: str) -> Iterator[Record]:
    figures = ledger.summary.figures
    for figure, before in figures.items():
        kind, _, agency = figure.partition(":")
        lost = figures[f"rating:{agency}"] - before if kind == "rating_before" else 0
        if lost > 0:
            rated_on, offset = figures[f"rated_on:{agency}"], figures[f"rating_offset:{agency}"]
            yield rated_on, lost, agency, CUSTOMERS, offset


_COMPLAINT_KINDS = ("QUALITY", "DELIVERY", "PRICE", "SERVICE", "BILLING", "DEMAND", "OTHER")

FAMILIES = {
    "invoices": EventFamily(INVOICES, parts.ISSUED, _invoices),
    "returns": EventFamily(INVOICES, parts.RETURNS, _returns),
    "complaints": EventFamily(
        COMPLAINTS,
        parts.COMPLAINTS,
        _complaints,
        (*_COMPLAINT_KINDS, "UPHELD", "REJECTED", "AGAIN"),
    ),
    "order_changes": EventFamily(
        ENGAGEMENTS,
        parts.CONDUCT,
        _entries(CHANGE),
        (
            "QUANTITY",
            "SPECIFICATION",
            "DELIVERY",
            "PRICE",
            "CANCELLATION",
            "REQUIREMENT",
            "OTHER",
        ),
    ),
    "service_minutes": EventFamily(ENGAGEMENTS, parts.CONDUCT, _entries(SERVICE)),
    "contacts": EventFamily(
        ENGAGEMENTS,
        parts.CONDUCT,
        _entries(CONTACT),
        CONTACT_OUTCOME_NAMES,
    ),
    "answers": EventFamily(ENGAGEMENTS, parts.CONDUCT, _entries(CONTACT)),
    "refusals": EventFamily(
        ENGAGEMENTS, parts.CONDUCT, _entries(CONTACT), ("DISPUTE", "DIFFICULTY", "OTHER")
    ),
    "breaches": EventFamily(
        ENGAGEMENTS,
        parts.CONDUCT,
        _entries(BREACH),
        ("SERIOUS", "PAYMENT", "ACCEPTANCE", "CONFIDENTIALITY", "RESALE", "OTHER"),
    ),
    "surveys": EventFamily(ENGAGEMENTS, parts.CONDUCT, _entries(SURVEY), ("POOR",)),
    "disputes": EventFamily(
        ENGAGEMENTS,
        parts.CONDUCT,
        _disputes,
        ("PRICE", "QUANTITY", "QUALITY", "DELIVERY", "DUPLICATE", "OTHER"),
    ),
    "bounced": EventFamily(PAYMENTS, parts.CONDUCT, _bounced),
    "short_paid": EventFamily(PAYMENTS, parts.CONDUCT, _short_paid),
    "ratings_lost": EventFamily(CUSTOMERS, parts.STANDING, _ratings),
}

NAMES = frozenset(FAMILIES) | {
    f"{name}:{kind}" for name, family in FAMILIES.items() for kind in family.kinds
}
"""All names under which events may be counted."""


def event_family(name: str) -> EventFamily:
    """The family of a name."""
    return FAMILIES[name.partition(":")[0]]


def window_of(name: str) -> Callable[[Ledger], Window | None]:
    """How to find a ledger's rolling window of a name; None where nothing was counted yet."""
    match name:
        case "invoices":
            return lambda ledger: ledger.issued
        case "returns":
            return lambda ledger: ledger.returned
        case "complaints":
            return lambda ledger: ledger.complained
        case _:
            return lambda ledger: ledger.tallied(name)
