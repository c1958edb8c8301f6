"""What a measure is: something of a ledger that a policy's rules can be about.

A measure reads a ledger as of a business date and returns (value, turn): the value in its unit, or
None where it is not judged (no limit set, not enough evidence), and the next day on which it could
cross a threshold without any event, exact or earlier. Higher is always worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum, unique

from msgspec import Struct

from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.severity import Ladder

SETTLED_JUDGED_MAX = 32
"""How many settled items a rule may look back on."""


@unique
class Unit(StrEnum):
    """Unit of a measure's values and thresholds."""

    MINOR = "MINOR"
    DAYS = "DAYS"
    COUNT = "COUNT"
    BASIS_POINTS = "BASIS_POINTS"
    POINTS = "POINTS"
    GRADE = "GRADE"  # A to E as 0 to 4


class Parameters(Struct, frozen=True):
    """What a rule may set beside its thresholds; which of these is the measure's affair."""

    grace_days: int = 0
    window_days: int = 0
    last: int = 0
    baseline: int = 0
    minimum: int = 0
    minimum_events: int = 1
    usual_gaps: int = 0
    floor_minor: dict[str, int] = {}
    tolerance: int = 0
    of: str = ""
    per: str = ""
    include: tuple[str, ...] = ()
    before_days: int = 0
    after_days: int = 0
    prior: int = 0
    prior_count: int = 0


Reading = tuple[int | None, int]
Read = Callable[[Ledger, str, int, Parameters, Ladder], Reading]
Weighed = tuple[int, str, int, int]
"""A record behind a value: weight, business id, topic id, offset."""
Behind = Callable[[Ledger, str, int, Parameters], Iterable[Weighed]]


class Measure(Struct, frozen=True):
    """A measure as data: its unit, what stirs it, which topics it reads, what a rule must say.

    `behind` gives the records that make its value true. One that `moves_by_time` may change without
    any event; the others change by events only. `fit` makes the one that a rule's parameters mean,
    where topics and stirring depend on them.
    """

    name: str
    unit: Unit
    read: Read
    behind: Behind
    affected_by: int
    topics: frozenset[int]
    by_currency: bool = False
    moves_by_time: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    words: dict[str, frozenset[str]] = {}
    """By parameter: the words that it may say."""
    numbers: dict[str, frozenset[int]] = {}
    """By field of its parameters: the numbers that it may be."""
    windows: int = 1
    """How many windows it looks back on."""
    fit: Callable[[Measure, Parameters], Measure] | None = None
    falls_with_money: bool = False
    """Whether a payment can only lower it."""
    counts: str = ""
    """The tally without which its value is 0 or not judged; empty where there is none."""
    needs: str = "enough evidence"
    """What is missing where it can't judge."""
    is_signed: bool = False
    """Whether its values may be negative."""

    def fitted(self, parameters: Parameters) -> Measure:
        """This measure as it is with a rule's parameters."""
        said = [(getattr(parameters, name), words) for name, words in self.words.items()]
        known = all(
            words.issuperset(word) if isinstance(word, tuple) else word in words
            for word, words in said
        )
        return self.fit(self, parameters) if self.fit is not None and known else self
