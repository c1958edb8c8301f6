"""The index of a ledger that says which money promises and plans have got; see `fulfilment`."""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.ledger.documents import Case

Place = tuple[int, int, str]
"""The order of money and of claims: day, instant, key."""


class CommitmentClaim(Struct):
    """A promise or plan: since when and until when it takes money, how much it still lacks."""

    key: str
    case: Case
    since: int
    until: int
    left_minor: int
    taken: list[tuple[int, int, str]]
    """Day, amount, key of the payment."""

    @property
    def place(self) -> Place:
        """Its place among the others, the oldest first."""
        return self.since, self.case.occurred_at, self.key


class CommitmentIndex(Struct):
    """All claims of a ledger, and the payments that were shared out, in their order."""

    claims: dict[str, CommitmentClaim]
    loose: dict[str, list[CommitmentClaim]]
    """By the letter of their kind: those that lack money and name no invoice."""
    named: dict[str, list[CommitmentClaim]]
    """By an invoice that they name."""
    places: list[Place]
    """Payments that are shared out, in their order."""
    placed: dict[str, Place]
    """The place of each, by its key."""
