"""What can be entered by hand: by name the event that it makes, and what is fixed in it.

A table, so that every engagement is entered the same way, by command or in the console.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tocsin.streams.facts import events


class Kind(Struct, frozen=True, kw_only=True):
    """What can be entered: the event's type, what it says of itself, fixed fields."""

    make: type[events.CustomerEvent]
    about: str
    fixed: Mapping[str, Any] = {}
    names_another: bool = False  # its id is that of what was logged before: it must be given
    begins_with: tuple[str, str] | None = None  # field and word with which it is a new one instead
    names_warning: bool = False  # it is about a warning, which also tells the customer

    @property
    def own_id(self) -> str:
        """The field that holds the id of what is logged; empty if the customer is all."""
        own = self.make.__struct_fields__[1]
        return own if own.endswith("_id") and not self.names_warning else ""

    @property
    def has_author(self) -> bool:
        """Whether the event says who speaks."""
        return "author" in self.make.__struct_fields__


KINDS: Final[Mapping[str, Kind]] = {
    "contact": Kind(
        make=events.ContactLogged,
        about="A contact with the customer, or an attempt at one.",
    ),
    "dispute": Kind(
        make=events.DisputeOpened,
        about="The customer disputes a part of an invoice.",
    ),
    "dispute-resolved": Kind(
        make=events.DisputeResolved,
        about="A dispute is settled.",
        names_another=True,
    ),
    "promise": Kind(
        make=events.PromiseMade,
        about="The customer promises to pay by a day; with the --id of a promise: revises it.",
    ),
    "promise-withdrawn": Kind(
        make=events.PromiseWithdrawn,
        about="A promise no longer holds, by agreement: neither kept nor broken.",
        names_another=True,
    ),
    "plan": Kind(
        make=events.PlanAgreed,
        about="Instalments are agreed; with the --id of a plan: revises it.",
    ),
    "plan-ended": Kind(
        make=events.PlanEnded,
        about="A plan holds no longer.",
        names_another=True,
    ),
    "hold": Kind(
        make=events.CreditDecided,
        about="Deliver no more on credit.",
        fixed={"kind": "HOLD"},
    ),
    "release": Kind(
        make=events.CreditDecided,
        about="Lift the hold; with --until only for days of grace, then it is back.",
        fixed={"kind": "RELEASE"},
    ),
    "limit": Kind(
        make=events.CreditDecided,
        about="Set the credit limit; without --amount there is none, which is not 0.",
        fixed={"kind": "LIMIT"},
    ),
    "prepayment": Kind(
        make=events.CreditDecided,
        about="Demand a share of each order in advance.",
        fixed={"kind": "PREPAYMENT"},
    ),
    "review": Kind(
        make=events.CreditDecided,
        about="Review the customer's credit: without --outcome it begins.",
        fixed={"kind": "REVIEW"},
    ),
    "screening": Kind(
        make=events.CreditDecided,
        about="Screen a new customer or partner: without --outcome it begins.",
        fixed={"kind": "SCREENING"},
    ),
    "retire": Kind(
        make=events.RetirementAdvanced,
        about="Take a step towards ending the business with the customer, or back.",
        begins_with=("step", "PROPOSED"),
    ),
    "breach": Kind(
        make=events.ContractBreached,
        about="The customer did not perform what the contract says.",
    ),
    "satisfaction": Kind(
        make=events.SatisfactionReported,
        about="How content the customer says it is.",
    ),
    "alert": Kind(
        make=events.AlertRaised,
        about="A court, a registry or the market says something about the customer.",
    ),
    "alert-lifted": Kind(
        make=events.AlertLifted, about="An alert holds no longer.", names_another=True
    ),
    "order-change": Kind(
        make=events.OrderChanged,
        about="The customer changed an order or a requirement.",
    ),
    "service": Kind(
        make=events.ServiceRecorded,
        about="Work done for the customer beside its orders.",
    ),
    "refund": Kind(
        make=events.PaymentRefunded,
        about="Money was paid back to the customer.",
    ),
    "reversal": Kind(
        make=events.PaymentReversed,
        about="The payment of --id, or a part of it, is undone.",
        names_another=True,
    ),
    "write-off": Kind(
        make=events.CreditNoteIssued,
        about="Give a debt up: it is remembered as a loss.",
        fixed={"reason": "WRITE_OFF"},
    ),
    "withheld-tax": Kind(
        make=events.CreditNoteIssued,
        about="Tax that the customer withheld from an invoice and paid to its state.",
        fixed={"reason": "WITHHOLDING_TAX"},
    ),
    "bank-fee": Kind(
        make=events.CreditNoteIssued,
        about="What a bank kept of a payment.",
        fixed={"reason": "BANK_FEE"},
    ),
    "credit-note-cancelled": Kind(
        make=events.CreditNoteCancelled,
        about="A credit note is void, a write-off too: what it had settled is open again.",
        names_another=True,
    ),
    "silence": Kind(
        make=events.SilenceBegan,
        about="Mute the customer's warnings, of one rule or all, until a day.",
    ),
    "silence-ended": Kind(
        make=events.SilenceEnded,
        about="Lift a silence before its day.",
        names_another=True,
    ),
    "acknowledge": Kind(
        make=events.WarningAcknowledged,
        about="Someone has taken a warning in hand: it is not repeated until it escalates.",
        names_warning=True,
    ),
    "verdict": Kind(
        make=events.VerdictGiven,
        about="Say whether a warning turned out to be right.",
        names_warning=True,
    ),
}


class Amount(Struct, frozen=True):
    """Minor units of a currency."""

    minor: int
    currency: str


class Part(Struct, frozen=True):
    """One instalment: when it is due (epoch day) and how much."""

    due_date: int
    amount: Amount


def as_option(word: str) -> str:
    """A word of an event as the command line writes it."""
    return word.lower().replace("_", "-")
