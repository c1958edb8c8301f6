"""Due parts of an invoice: instalments, a retention; each has its own day and amount.

Money fills the parts in their order, so what is open of each follows from what is open of the
invoice. What is disputed is held back from the earliest open part. A rest of a part within the
tolerance falls due with the next part: it is no reason to ask for money before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from tocsin.streams.ledger.documents import Part

DUE_PARTS = "u"
"""Letter of the entry that holds an invoice's due parts: `content`, with the `amount` tolerated."""


class DueParts(Struct, frozen=True, gc=False):
    """The parts in the order of their days, and the rest of one that waits for the next."""

    parts: tuple[Part, ...]
    tolerance_minor: int

    def shares(self, paid_minor: int, disputed_minor: int) -> list[tuple[int, int, int]]:
        """Of each part its day, what is open once so much is settled, what of that is disputed."""
        found, carried, last = [], 0, self.parts[-1]
        for part in self.parts:
            amount = part.amount_minor + carried
            covered = min(paid_minor, amount)
            paid_minor -= covered
            left, carried = amount - covered, 0
            if covered and left <= self.tolerance_minor and part is not last:
                left, carried = 0, left
            held = min(disputed_minor, left)
            disputed_minor -= held
            found.append((part.due_date, left, held))
        return found

    def pieces(self, begin_minor: int, end_minor: int) -> Iterator[tuple[int, int]]:
        """The days and amounts of what is settled between two sums of money."""
        until = [0]
        for part in self.parts:
            until.append(until[-1] + part.amount_minor)
        for part, (first, last) in zip(self.parts, pairwise(until), strict=True):
            amount = min(end_minor, last) - max(begin_minor, first)
            if amount > 0:
                yield part.due_date, amount

    def rest_minor(self, left_minor: int) -> int:
        """What of an open amount belongs to a part of which the other part was settled."""
        for part in reversed(self.parts):
            if left_minor < part.amount_minor:
                break
            left_minor -= part.amount_minor
        return left_minor


def to_content(parts: tuple[tuple[int, int], ...]) -> str:
    """Parts, as days and amounts, in the form in which they are kept: `day:amount` for each."""
    return ",".join(f"{day}:{amount}" for day, amount in parts)


def from_content(content: str, tolerance_minor: int) -> DueParts:
    """The parts that were kept."""
    told = [part.split(":") for part in content.split(",")]
    return DueParts(tuple(Part(int(day), int(amount)) for day, amount in told), tolerance_minor)
