"""Documents of money that are entered by hand become the events that a system would send."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tocsin.agents.commands.log import log
from tocsin.agents.entry.engagement import make_event
from tocsin.agents.entry.engagement_kinds import KINDS, Amount
from tocsin.streams.facts import events

AT = 1_736_000_000_000
MONEY = Amount(120_050, "EUR")
OF_INVOICE = {"invoice_id": "R-1", "amount_minor": MONEY}


def entered(name: str, values: dict[str, Any]) -> events.CustomerEvent:
    """The event of an entry."""
    return make_event(KINDS[name], name, "C1", values, AT, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("write-off", "WRITE_OFF"), ("withheld-tax", "WITHHOLDING_TAX"), ("bank-fee", "BANK_FEE")],
)
def test_what_settles_without_money_is_a_credit_note_with_its_reason(
    name: str, reason: str
) -> None:
    event = entered(name, OF_INVOICE | {"note": "insolvent"})
    assert isinstance(event, events.CreditNoteIssued)
    assert (event.reason, event.invoice_id, event.note) == (reason, "R-1", "insolvent")
    assert (event.amount_minor, event.currency) == (120_050, "EUR")
    assert event.credit_note_id.startswith(f"{name}-")


def test_a_refund_names_the_payment_that_it_gives_back() -> None:
    event = entered("refund", {"amount_minor": MONEY, "payment_id": "P-1"})
    assert isinstance(event, events.PaymentRefunded)
    assert (event.payment_id, event.amount_minor) == ("P-1", 120_050)


@pytest.mark.parametrize("amount", [None, MONEY], ids=["whole", "part"])
def test_a_reversal_undoes_the_whole_or_a_part(amount: Amount | None) -> None:
    values = {"payment_id": "P-1", "kind": "CHARGED_BACK", "amount_minor": amount}
    event = entered("reversal", values)
    assert isinstance(event, events.PaymentReversed)
    assert (event.payment_id, event.kind) == ("P-1", "CHARGED_BACK")
    assert event.amount_minor == (amount and amount.minor)


def test_a_credit_note_is_undone_by_its_id() -> None:
    event = entered("credit-note-cancelled", {"credit_note_id": "write-off-1"})
    assert isinstance(event, events.CreditNoteCancelled)


@pytest.mark.parametrize(
    "name",
    ["refund", "reversal", "write-off", "withheld-tax", "bank-fee", "credit-note-cancelled"],
)
def test_each_says_what_it_is_for(name: str) -> None:
    shown = CliRunner().invoke(log, [name, "--help"])
    assert shown.exit_code == 0
    assert KINDS[name].about.split(":")[0][:30] in shown.output
