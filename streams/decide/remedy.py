"""What would end a warning, as of now: the smallest payment, and until which day it is enough.

Nothing is computed by a formula of a rule. Each amount and each day is tried: the live desk takes
the payment on a copy of the customer's ledger, and the episode has ended or it has not.

The payment that is tried names no invoice, comes in on the open business day and is of that value
date. Money without a name settles the oldest items first, so it is enough to look at the sums at
which one more item is settled: between two of them each measure moves one way only, and the
smallest amount is found by halving. `latest_on` is the last day up to which, whatever day it comes
in, that same amount is still enough if nothing else becomes known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.exposure import exposures_of
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, PaymentReceived
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.sources import CLOCK, PAYMENTS
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers, StateError
from tocsin.streams.ledger.state_records import LoadedPartition, load
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import load_policy

DAYS_AHEAD = 92
"""How many days after the open one are looked at."""
SUMS_MAX = 400
"""How many open items are tried one by one, where a payment might raise what a rule measures."""
DOCUMENTS_MAX = 20_000
"""Of a ledger with more documents nothing is said: each trial copies all of them."""

NO_PAYMENT, NOT_OPEN, NOT_JUDGED, TOO_LARGE = "NO_PAYMENT", "NOT_OPEN", "NOT_JUDGED", "TOO_LARGE"
_NAME = "what-if"


class HeldLedger(Struct, frozen=True):
    """What a partition holds of one customer: records of its state, as (key, version, body).

    That is the customer's summary and documents, the partition's own record, and its policies.
    """

    customer_id: str
    partition: int
    convention: Convention
    records: tuple[tuple[bytes, int, bytes], ...]


class Remedy(Struct, frozen=True):
    """What ends an episode as of the open business day `as_of`; days are epoch days.

    `amount_minor` is None where no payment can be named, and `reason` says why: NO_PAYMENT (none up
    to all that is owed, ordered and promised ends it), NOT_OPEN (it has ended), NOT_JUDGED (a
    source that its rule reads is on hold or incomplete), TOO_LARGE (too much would have to be
    tried). `latest_on` is None if the amount is enough on each of the next `DAYS_AHEAD` days.
    `ends_on` is the day at whose opening the episode ends if nothing becomes known; None if not
    within those days.
    """

    as_of: int
    currency: str = ""
    amount_minor: int | None = None
    latest_on: int | None = None
    ends_on: int | None = None
    reason: str = ""


def remedy_of(held: HeldLedger, rule: str, subject: str, episode_id: str) -> Remedy:
    """Find what ends an episode of a rule over a subject. Raises StateError for damaged state."""
    trial = Trial(held, f"{rule}:{subject}", episode_id)
    if not trial.is_open:
        return Remedy(trial.today, reason=NOT_OPEN)
    if trial.documents > DOCUMENTS_MAX:
        return Remedy(trial.today, reason=TOO_LARGE)
    if trial.lacks_source(rule):
        return Remedy(trial.today, reason=NOT_JUDGED)
    currency = exposures_of(trial.ledger(), subject, trial.policy)[0].currency
    sums = list(_sums(trial.ledger(), currency))
    is_falling = trial.falls_with_money(rule)
    tried = sums if is_falling else sums[:SUMS_MAX]
    amount = _smallest(trial, currency, tried, is_falling=is_falling)
    reason = "" if amount is not None else NO_PAYMENT if len(tried) == len(sums) else TOO_LARGE
    as_of = trial.today
    latest_on, ends_on = _days(trial, currency, amount)
    return Remedy(as_of, currency, amount, latest_on, ends_on, reason)


class Trial:
    """A desk over one customer's ledger, on which payments are tried and days passed.

    Marks of completeness are taken to come in time.
    """

    def __init__(self, held: HeldLedger, key: str, episode_id: str) -> None:
        loaded = LoadedPartition()
        for name, version, body in held.records:
            load(loaded, name, version, body)
        loaded.finish()
        if loaded.state is None or loaded.state.policy is None:
            raise StateError("the partition's state has no policy: no episode can be open")
        self._customer_id, self._key, self._episode_id = held.customer_id, key, episode_id
        self._convention = replace(held.convention, required_marks=())
        document = loaded.policies[loaded.state.policy.hash]
        self._desk = DecisionEngine(
            self._convention, loaded.ledgers, loaded.state, loaded.policies, held.partition
        )
        self.policy = _policy(document, held.convention)
        self._ledgers = loaded.ledgers
        if self.today:  # a sweep in progress is through before the next record is taken
            self._take(CLOCK, self._opened_at, DayClosed(self.today - 1, _NAME))

    @property
    def today(self) -> int:
        """The open business day."""
        return self._desk.state.business_date

    @property
    def _opened_at(self) -> int:
        return self._convention.closes_at(self.today - 1)

    @property
    def is_open(self) -> bool:
        """Whether the episode has not ended."""
        return self._is_open_in(self.ledger())

    @property
    def documents(self) -> int:
        """How many documents the ledger has."""
        return self.ledger().summary.document_count

    def lacks_source(self, rule: str) -> bool:
        """Whether the rule is not judged now, for want of a source."""
        lacking = self._desk.suspended | frozenset(self._desk.state.missing)
        return any(one.topics & lacking for one in self.policy.rules if one.name == rule)

    def falls_with_money(self, rule: str) -> bool:
        """Whether more money can only lower what the rule measures, and lets its thresholds be."""
        found = [one for one in self.policy.rules if one.name == rule]
        by_grade = any(one.grades and rule in one.rules for one in self.policy.overrides)
        return not by_grade and all(
            one.measure.falls_with_money and not one.conditions for one in found
        )

    def ledger(self) -> Ledger:
        """A copy of the customer's ledger as it is."""
        self._ledgers.freeze_idle()
        self._ledgers.freeze_idle()  # what was not asked for between two rests is kept as bytes
        return self._ledgers.peek(self._customer_id)

    def ends_by(self, amount_minor: int, currency: str) -> bool:
        """Whether a payment that comes in on the open day ends the episode."""
        ledger, desk = self.ledger(), self._desk
        copy = Ledgers()
        copy[self._customer_id] = ledger
        now, name = self._opened_at, _NAME
        while f"p{name}" in ledger.funds:
            name += "+"
        payment = PaymentReceived(self._customer_id, name, now, amount_minor, currency)
        desk.ledgers = copy
        try:
            self._take(PAYMENTS, now, payment)
        finally:
            desk.ledgers = self._ledgers
        return not self._is_open_in(copy[self._customer_id])

    def pass_day(self) -> None:
        """Close the open day, with nothing known on it."""
        day = self.today
        self._take(CLOCK, self._convention.closes_at(day), DayClosed(day, _NAME))

    def _take(self, topic_id: int, instant: int, event: DayClosed | PaymentReceived) -> None:
        step = None
        while step is None or step is Step.UNFINISHED:
            self._desk.begin()
            step = self._desk.process(topic_id, self._desk.partition, 0, instant, event)

    def _is_open_in(self, ledger: Ledger) -> bool:
        rule, _, subject = self._key.partition(":")
        episode = ledger.summary.episodes.get(self._key)
        if episode is None or not episode.severity:
            return False
        ordinal = episode.ordinal
        return derived_id(self._customer_id, rule, subject, ordinal) == self._episode_id


def _policy(document: str, convention: Convention) -> Policy:
    policy, problems = load_policy(document, convention.horizon_days)
    if policy is None:
        raise StateError(f"the policy in force can't be read: {'; '.join(map(str, problems))}")
    return policy


def _sums(ledger: Ledger, currency: str) -> Iterator[int]:
    """Amounts, rising, at which a payment settles one more item, or covers one more claim.

    First what is due, the oldest first; then all that money at hand could be wanted for: what is
    disputed, ordered, delivered, and outstanding of promises and plans.
    """
    account, total = ledger.summary.accounts.get(currency), 0
    if account is None:
        return
    shelf = ledger.shelves[currency]
    for day in shelf.days:
        parts = [
            ledger.undisputed_on(day, name, ledger.invoices[name]) for name in shelf.items[day]
        ]
        for part in (*parts, account.due[day].loose_minor):
            if part > 0:
                total += part
                yield total
    outstanding = [
        case.amount_minor - case.kept_minor
        for case in ledger.cases.values()
        if case.currency == currency
    ]
    more = [account.disputed_minor, account.ordered_minor, account.delivered_minor, *outstanding]
    for part in more:
        if part > 0:
            total += part
            yield total


def _smallest(trial: Trial, currency: str, sums: list[int], *, is_falling: bool) -> int | None:
    """The smallest payment that ends the episode; None if none of these rising sums does.

    If what is measured `is_falling` with money, the last of them ends it or none.
    """
    steps = list(pairwise((0, *sums)))
    if is_falling and sums:
        steps = [(0, sums[-1])]
    for low, high in steps:
        if trial.ends_by(high, currency):
            while high - low > 1:
                middle = (low + high) // 2
                if trial.ends_by(middle, currency):
                    high = middle
                else:
                    low = middle
            return high
    return None


def _days(trial: Trial, currency: str, amount: int | None) -> tuple[int | None, int | None]:
    """The last day in a row on which the amount is enough, and the day the episode ends anyhow."""
    latest: int | None = None
    is_enough = amount is not None
    for _ in range(DAYS_AHEAD):
        before = trial.today
        trial.pass_day()
        is_open = trial.is_open
        if is_enough and not (is_open and amount and trial.ends_by(amount, currency)):
            latest, is_enough = before, False
        if not is_open:
            return latest, trial.today
    return latest, None
