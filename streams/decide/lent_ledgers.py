"""One fold's ledgers, lent to a further engine: the facts are shared, the standing is its own.

A customer's standing is what a policy made of its facts: episodes, score, classes, the next step of
collection, and when to look again. It takes the place of the first engine's in the summary while
the ledger is lent. One ledger is lent at a time: the next one, or `give_back`, ends it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from tocsin.streams.ledger.documents import NEVER, Collecting, Episode
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.measures.customer_classes import BEST_VALUE, BEST_VALUE_ON


class Standing(Struct):
    """What one policy made of a customer's facts; the fields are those of `Summary`.

    `open_rules` is the ledger's index of the episodes; `figures` are those of the summary's that
    follow from the policy's classes.
    """

    next_date: int = NEVER
    repeat_on: int = NEVER
    open_episodes: int = 0
    episodes: dict[str, Episode] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    score: int | None = None
    grade: str = ""
    points: list[int] = field(default_factory=list)
    score_on: int = NEVER
    abc: str = ""
    rfm: str = ""
    rfa: str = ""
    collecting: Collecting | None = None
    open_rules: set[str] = field(default_factory=set)
    figures: dict[str, int] = field(default_factory=dict)

    def change_places(self, ledger: Ledger) -> None:
        """Put this standing into a ledger, and keep the one that was there."""
        one = ledger.summary
        one.next_date, self.next_date = self.next_date, one.next_date
        one.repeat_on, self.repeat_on = self.repeat_on, one.repeat_on
        one.open_episodes, self.open_episodes = self.open_episodes, one.open_episodes
        one.episodes, self.episodes = self.episodes, one.episodes
        one.turns, self.turns = self.turns, one.turns
        one.score, self.score = self.score, one.score
        one.grade, self.grade = self.grade, one.grade
        one.points, self.points = self.points, one.points
        one.score_on, self.score_on = self.score_on, one.score_on
        one.abc, self.abc = self.abc, one.abc
        one.rfm, self.rfm = self.rfm, one.rfm
        one.rfa, self.rfa = self.rfa, one.rfa
        one.collecting, self.collecting = self.collecting, one.collecting
        ledger.open_rules, self.open_rules = self.open_rules, ledger.open_rules
        figures, mine = one.figures, self.figures
        if mine or BEST_VALUE in figures:
            self.figures = {
                name: figures.pop(name) for name in (BEST_VALUE, BEST_VALUE_ON) if name in figures
            }
            figures.update(mine)


class LentLedgers(Ledgers):
    """The ledgers of another engine as one more policy sees them.

    `part` gives a customer a ledger of its own here, where facts mean other things by what the
    policy said before.
    """

    def __init__(self, owner: Ledgers) -> None:
        super().__init__()  # holds the ledgers that are apart
        self._owner = owner
        self._standings: dict[str, Standing] = {}
        self._lent: tuple[Ledger, Standing] | None = None

    def lend(self, ledger: Ledger) -> None:
        """Have the owner's ledger stand as this policy sees it, until it is given back."""
        self.give_back()
        standing = self._standings.get(ledger.customer_id)
        if standing is None:
            standing = self._standings[ledger.customer_id] = Standing()
        standing.change_places(ledger)
        self._lent = ledger, standing

    def give_back(self) -> None:
        """Have the ledger that is lent, if any, stand as its owner sees it."""
        if self._lent is not None:
            ledger, standing = self._lent
            standing.change_places(ledger)
            self._lent = None

    def part(self, customer_id: str) -> None:
        """From now on this policy keeps the facts of the customer itself."""
        if not self.is_apart(customer_id):
            self.give_back()
            ledger = self._owner.copied(customer_id)
            if ledger is not None:
                self._standings.pop(customer_id, Standing()).change_places(ledger)
                super().__setitem__(customer_id, ledger)

    def is_apart(self, customer_id: str) -> bool:
        """Whether this policy keeps the facts of the customer itself."""
        return super().__contains__(customer_id)

    @property
    def apart_count(self) -> int:
        """Of how many customers this policy keeps the facts itself."""
        return super().__len__()

    def peek(self, customer_id: str) -> Ledger:
        """A ledger for a look, lent; see `Ledgers.peek`."""
        if self.is_apart(customer_id):
            return super().peek(customer_id)
        self.give_back()
        ledger = self._owner.peek(customer_id)
        self.lend(ledger)
        return ledger

    def rated(self, customer_id: str) -> tuple[int | None, str]:
        """Score and grade of a customer under this policy."""
        if self.is_apart(customer_id):
            return super().rated(customer_id)
        standing = self._standings.get(customer_id) or Standing()
        return standing.score, standing.grade

    def find(self, customer_id: str) -> Ledger | None:
        """The ledger of a customer, lent, if there is one."""
        if self.is_apart(customer_id):
            return super().find(customer_id)
        self.give_back()
        ledger = self._owner.find(customer_id)
        if ledger is not None:
            self.lend(ledger)
        return ledger

    def __setitem__(self, customer_id: str, ledger: Ledger) -> None:
        if self.is_apart(customer_id):
            super().__setitem__(customer_id, ledger)
        else:
            self._owner[customer_id] = ledger

    def __contains__(self, customer_id: object) -> bool:
        return customer_id in self._owner

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner)

    def __len__(self) -> int:
        return len(self._owner)
