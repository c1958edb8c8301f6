"""A customer of the demo that leaves on its own wish, too early once, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tocsin.streams import events

CLERK: Final = "J. Weber"
_STEPS: Final = (
    (14, "PROPOSED", "buys through its group from now on"),
    (16, "EVALUATED", "a fair wish; nothing went wrong on our side"),
    (18, "NOTICE_GIVEN", "its notice confirmed, with what is left to settle"),
    (24, "SETTLED", "final statement sent"),
    (25, "DATA_HANDLED", "contacts barred, invoices kept as the law says"),
    (28, "COMPLETED", "tried too early: a dispute is open, and money"),
    (35, "COMPLETED", "all is settled; confirmed to the customer"),
    (49, "REINSTATED", "the group contract fell through; a new limit was agreed"),
)


def reinstate(say: Callable[..., None], first: int) -> None:
    """Its facts; `say` takes days after the epoch day `first`, an event's type and its fields."""
    eur = {"currency": "EUR"}
    say(
        0,
        events.CustomerUpdated,
        name="Harbour Tools BV",
        segment="MEDIUM",
        country="NL",
        credit_limit_minor=3_000_000,
        credit_limit_currency="EUR",
        payment_terms_days=15,
    )
    for number, (after, paid) in enumerate(((1, 16), (8, 32), (44, 59)), 1):
        invoice_id = f"H-{number}"
        say(
            after,
            events.InvoiceIssued,
            invoice_id=invoice_id,
            due_date=first + after + 15,
            amount_minor=600_000,
            **eur,
        )
        say(
            paid,
            events.PaymentReceived,
            payment_id=f"{invoice_id}-payment",
            amount_minor=600_000,
            invoice_ids=(invoice_id,),
            **eur,
        )
    say(
        22,
        events.DisputeOpened,
        dispute_id="H-dispute",
        invoice_id="H-2",
        amount_minor=120_000,
        reason="QUALITY",
        is_own_fault=False,
        **eur,
    )
    say(
        31,
        events.DisputeResolved,
        dispute_id="H-dispute",
        outcome="REJECTED",
        is_own_fault=False,
    )
    for after, step, reason in _STEPS:
        say(
            after,
            events.RetirementAdvanced,
            minute=30,
            retirement_id="H-retirement",
            step=step,
            initiative="CUSTOMER",
            author=CLERK,
            reason=reason,
        )
