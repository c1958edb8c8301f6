"""How a customer's way is written down: what happens on which day after its first.

The same days, ids and hours every time; amounts are minor units of one currency.
"""

from __future__ import annotations

from typing import Any, Final

from tocsin.agents.generate.portfolio import MS_PER_MINUTE
from tocsin.schemas.codec.jsonlines import Fact, topic_of
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import CustomerEvent

CURRENCY: Final = "EUR"
NINE_O_CLOCK: Final = 9 * 60
HALF_PAST: Final = 30
CLERK: Final = "Chen Li"
HEAD: Final = "M. Rossi"


class Script:
    """Facts of one customer as they are said; `first` is the epoch day from which days count."""

    def __init__(
        self, customer_id: str, first: int, terms_days: int, convention: Convention
    ) -> None:
        self.facts: list[Fact] = []
        self._customer_id = customer_id
        self._first = first
        self._terms_days = terms_days
        self._convention = convention

    def day(self, after_days: int) -> int:
        """The epoch day so many days after the first."""
        return self._first + after_days

    def say(self, after_days: int, make: type[Any], *, minute: int = 0, **fields: Any) -> None:
        """An event so many minutes after nine o'clock of a day; `fields` are its own."""
        convention = self._convention
        closing = convention.closes_at(self.day(after_days - 1))
        midnight = closing - convention.close_after_minutes * MS_PER_MINUTE
        at = midnight + (NINE_O_CLOCK + minute) * MS_PER_MINUTE
        event: CustomerEvent = make(customer_id=self._customer_id, occurred_at=at, **fields)
        self.facts.append(Fact(at, topic_of(event), event))

    def joins(
        self, name: str, segment: str, country: str, credit_limit_minor: int | None = None
    ) -> None:
        """The customer is known from the first day on."""
        self.say(
            0,
            events.CustomerUpdated,
            name=name,
            segment=segment,
            country=country,
            credit_limit_minor=credit_limit_minor,
            credit_limit_currency=None if credit_limit_minor is None else CURRENCY,
            payment_terms_days=self._terms_days,
        )

    def invoice(
        self, after_days: int, invoice_id: str, amount_minor: int, cost_minor: int | None = None
    ) -> None:
        """An invoice by the customer's terms."""
        self.say(
            after_days,
            events.InvoiceIssued,
            invoice_id=invoice_id,
            due_date=self.day(after_days + self._terms_days),
            amount_minor=amount_minor,
            currency=CURRENCY,
            cost_minor=cost_minor,
        )

    def pays(self, after_days: int, name: str, amount_minor: int, *invoice_ids: str) -> None:
        """Money comes in, for these invoices or for the oldest."""
        self.say(
            after_days,
            events.PaymentReceived,
            payment_id=f"{name}-payment",
            amount_minor=amount_minor,
            currency=CURRENCY,
            invoice_ids=invoice_ids,
        )

    def contact(
        self, after_days: int, channel: str, outcome: str, step: str | None = None, **more: Any
    ) -> None:
        """A clerk speaks to the customer, or tries to."""
        self.say(
            after_days,
            events.ContactLogged,
            contact_id=f"contact-{after_days}",
            channel=channel,
            outcome=outcome,
            step=step,
            author=CLERK,
            **more,
        )

    def decides(self, after_days: int, name: str, kind: str, reason: str, **more: Any) -> None:
        """Something is decided about the customer's credit."""
        self.say(
            after_days,
            events.CreditDecided,
            minute=5,
            decision_id=name,
            kind=kind,
            author=HEAD,
            reason=reason,
            **more,
        )

    def retires(
        self, after_days: int, step: str, reason: str, initiative: str, **more: Any
    ) -> None:
        """A step towards the end of the business, or back."""
        self.say(
            after_days,
            events.RetirementAdvanced,
            minute=HALF_PAST,
            retirement_id="retirement",
            step=step,
            initiative=initiative,
            author=HEAD,
            reason=reason,
            **more,
        )
