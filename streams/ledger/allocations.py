"""Amounts by invoice of a payment, as the payer said them; in another currency perhaps."""

from __future__ import annotations

import msgspec
from msgspec import Struct

ALLOCATIONS = "w"
"""Letter of the entry that holds a payment's amounts by invoice, by the payment's id."""


class Allocated(Struct, frozen=True, array_like=True, gc=False):
    """How much of a payment goes to an invoice, and what of the invoice that settles."""

    invoice_id: str
    amount_minor: int
    settled_minor: int

    def split(self, unapplied_minor: int, open_minor: int) -> tuple[int, int]:
        """How much of money at hand is taken, and what of an open amount it settles.

        In proportion, where not all is at hand or open: what is settled is rounded down, what is
        taken up.
        """
        money = min(unapplied_minor, self.amount_minor)
        settled = min(open_minor, self.settled_minor * money // self.amount_minor)
        return -(-self.amount_minor * settled // self.settled_minor), settled

    def less(self, taken_minor: int, settled_minor: int) -> Allocated | None:
        """What is left of it after a part was used; None if nothing is."""
        amount, settled = self.amount_minor - taken_minor, self.settled_minor - settled_minor
        return Allocated(self.invoice_id, amount, settled) if amount > 0 and settled > 0 else None


def to_content(allocated: tuple[Allocated, ...]) -> str:
    """Amounts by invoice in the form in which they are kept; empty if there are none."""
    return msgspec.json.encode(allocated).decode() if allocated else ""


def from_content(content: str) -> dict[str, Allocated]:
    """The amounts that were kept, by invoice."""
    found = msgspec.json.decode(content, type=tuple[Allocated, ...])
    return {each.invoice_id: each for each in found}
