"""Draws the customers of a generated portfolio: their traits, and the truth about each of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from operator import itemgetter
from random import Random

from msgspec import Struct

from tocsin.agents.generate.assumptions import Assumptions, Payer, Quantiles, Regime
from tocsin.streams.facts.convention import MS_PER_DAY, Convention
from tocsin.streams.facts.money import MINOR_DIGITS

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
DEFAULT_UNTIL = date(2025, 6, 30)
MS_PER_MINUTE = 60_000
OPENS_AT_MINUTES = 8 * 60
OFFICE_MINUTES = 10 * 60
DAYS_MAX = 3650
CUSTOMERS_MAX = 1_000_000
GIANTS = 0.05  # of customers, the largest
CHANGES_MUCH = 10

SIZES = (("KEY", 0.01), ("LARGE", 0.10), ("MEDIUM", 0.40), ("SMALL", 1.0))
OWNERS = ("team-north", "team-south", "team-east", "team-west")
COUNTRIES = ("CN", "DE", "FR", "NL", "GB", "IT", "PL", "US", "JP", "SG")
_FIRST = ("Amber", "Birch", "Cedar", "Delta", "Ember", "Falcon", "Granite", "Harbour", "Ivory",
          "Juniper", "Lantern", "Meridian", "Northern", "Orchid", "Pioneer", "Quartz", "River",
          "Silver", "Timber", "Upland", "Violet", "Willow")  # fmt: skip
_SECOND = ("Components", "Foods", "Furniture", "Instruments", "Logistics", "Machinery", "Metals",
           "Packaging", "Paper", "Plastics", "Supplies", "Textiles", "Tools")  # fmt: skip
_FORMS = ("Ltd", "GmbH", "SA", "BV", "Co.")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. The last business day is `until`; nothing depends on today."""

    customers: int = 1_000
    days: int = 365
    seed: int = 1
    until: date = DEFAULT_UNTIL
    currency: str = "EUR"

    def problems(self) -> list[str]:
        """Say what is wrong with it; an empty list if nothing is."""
        found = []
        if not 1 <= self.customers <= CUSTOMERS_MAX:
            found.append(f"customers must lie between 1 and {CUSTOMERS_MAX}")
        if not 1 <= self.days <= DAYS_MAX:
            found.append(f"days must lie between 1 and {DAYS_MAX}")
        elif self.until.toordinal() - self.days < date(1990, 1, 2).toordinal():
            found.append("the first day must not lie before 1990; give a later `until`")
        if self.until.year > 2190:
            found.append("until must lie before 2190")
        if self.currency not in MINOR_DIGITS:
            found.append(f"currency {self.currency!r} is no ISO 4217 code: use one such as EUR")
        return found

    @property
    def last(self) -> int:
        """The last business day, as an epoch day."""
        return self.until.toordinal() - EPOCH_ORDINAL

    @property
    def first(self) -> int:
        """The first business day, as an epoch day."""
        return self.last - self.days + 1


class RegimeTruth(Struct, frozen=True, omit_defaults=True):
    """A change that really takes place; `until` only if it ends."""

    kind: str
    since: date
    until: date | None = None


class Truth(Struct, frozen=True, omit_defaults=True):
    """What is known of a generated customer by construction, and by nobody who reads events.

    `traits` are ways of buying and paying that are not usual and no harm (`habits.py`).
    """

    customer_id: str
    payer: str
    mean_delay_days: float
    joined: date
    regimes: tuple[RegimeTruth, ...]
    traits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Season:
    """When a customer buys: months of the year, from a day of the month on."""

    months: frozenset[int]
    from_day: int = 1

    def covers(self, day: int) -> bool:
        """Whether the customer buys on an epoch day."""
        when = to_date(day)
        return when.month in self.months and when.day >= self.from_day


@dataclass(frozen=True, slots=True)
class NewTerms:
    """Terms of payment that hold for invoices from a day on."""

    since: int
    days: int


@dataclass(slots=True)
class Customer:
    """Traits of a customer, and counters for the ids of its documents."""

    customer_id: str
    name: str
    segment: str
    country: str
    currency: str
    joins: int
    activity: float  # invoices per unit of the calendar's activity
    ln_amount: float
    terms_days: int
    payer: Payer
    delay_days: float
    run_weekday: int | None  # pays everything due on this day of the week
    limit_minor: int | None
    regime: Regime | None
    change: int  # epoch day from which the regime holds
    regime_delay_days: int
    done: float = 0.0  # activity at which the next invoice is issued
    documents: int = 0
    run: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    size: str | None = None
    group_id: str | None = None
    owner: str | None = None
    prepayment_basis_points: int = 0
    margin_percent: float | None = None  # what is left of its invoices; None: not told
    repriced_on: int | None = None  # the day from which it is sold to at the usual margin
    order_id: str | None = None  # the order that its next invoice is for
    is_giant: bool = False
    spread_days: float | None = None  # of its delays; None: as all others
    season: Season | None = None  # None: it buys all the year
    pays_at_month_end: bool = False
    is_in_good_faith: bool = False  # disputes with reason, and pays what is right
    new_terms: NewTerms | None = None
    traits: list[str] = field(default_factory=list)

    def strength(self, day: int) -> float:
        """How far the regime holds on a day: 0 not at all, 1 in full."""
        regime = self.regime
        if regime is None:
            return 0.0
        since = day - self.change
        if regime.is_reversed:
            return 1.0 if since < 0 else 0.0
        if since < 0 or (regime.lasts_days and since >= regime.lasts_days):
            return 0.0
        return min(1.0, (since + 1) / (regime.ramp_days + 1))

    def times(self, factor: float, day: int) -> float:
        """A factor of the regime, as far as it holds on that day."""
        return 1.0 + (factor - 1.0) * self.strength(day)

    def more_often(self, what: str, day: int) -> float:
        """How much more often than usual something happens on a day: the regime's field `what`."""
        return 1.0 if self.regime is None else self.times(getattr(self.regime, what), day)

    def pace(self, day: int) -> float:
        """Invoices per unit of activity on a day."""
        if self.regime is None:
            return self.activity
        return self.activity * self.times(self.regime.activity, day)

    def terms_on(self, day: int) -> int:
        """Days to pay that are agreed for an invoice of that day."""
        new = self.new_terms
        return self.terms_days if new is None or day < new.since else new.days

    def run_day(self, pay_day: int, calendar: WorkCalendar) -> int | None:
        """The day of the run in which it pays what it would pay that day; None without runs."""
        if self.pays_at_month_end:
            return calendar.month_end(pay_day)
        if self.run_weekday is None:
            return None
        return calendar.working(pay_day + (self.run_weekday - (pay_day + 3)) % 7)

    def regime_ends(self) -> int | None:
        """The day from which the regime no longer holds; None if it holds for good."""
        if self.regime is None or self.regime.is_reversed:
            return self.change
        return self.change + self.regime.lasts_days if self.regime.lasts_days else None

    def next_id(self, letter: str) -> str:
        """A document's id, unique for the customer."""
        self.documents += 1
        return f"{letter}{self.customer_id[1:]}-{self.documents}"

    def truth(self) -> Truth:
        """What the truth file says."""
        regimes: tuple[RegimeTruth, ...] = ()
        if self.regime is not None:
            ends = None if self.regime.is_reversed else self.regime_ends()
            until = None if ends is None else to_date(ends)
            regimes = (RegimeTruth(self.regime.kind, to_date(self.change), until),)
        mean = round(self.delay_days, 1)
        joined, traits = to_date(self.joins), tuple(self.traits)
        return Truth(self.customer_id, self.payer.name, mean, joined, regimes, traits)


class WorkCalendar:
    """Working days, office hours, and how activity is spread over the days of a request."""

    def __init__(self, request: Request, convention: Convention, assumptions: Assumptions) -> None:
        self._convention = convention
        self._holidays = frozenset(assumptions.holidays)
        self._working: dict[int, bool] = {}
        self.first, self.last = request.first, request.last
        self.end = convention.closes_at(self.last)
        month_end = assumptions.month_end_activity
        weights = []
        for day in range(self.first, self.last + 1):
            near_end = self.month_end(day) - day < 5 and self._working_days_left(day) < 3
            weights.append((month_end if near_end else 1.0) if self.is_working(day) else 0.0)
        self._cumulated = list(accumulate(weights))
        self.activity = self._cumulated[-1]

    def is_working(self, day: int) -> bool:
        """Whether invoices are written and payments made on this day."""
        known = self._working.get(day)
        if known is None:
            when = to_date(day)
            known = when.weekday() < 5 and f"{when:%m-%d}" not in self._holidays
            self._working[day] = known
        return known

    def working(self, day: int) -> int:
        """The day itself, or the next working day."""
        while not self.is_working(day):
            day += 1
        return day

    def month_end(self, day: int) -> int:
        """The last working day of the day's month."""
        when = to_date(day)
        last = date(when.year + when.month // 12, when.month % 12 + 1, 1).toordinal()
        last -= EPOCH_ORDINAL + 1
        while not self.is_working(last):
            last -= 1
        return last

    def day_of_activity(self, activity: float) -> int:
        """The day on which the accumulated activity reaches this amount; past `last` if never."""
        return self.first + bisect_right(self._cumulated, activity)

    def activity_before(self, day: int) -> float:
        """The activity accumulated before a day of the request."""
        return self._cumulated[day - self.first - 1] if day > self.first else 0.0

    def midnight(self, day: int) -> int:
        """Instant (epoch ms) at which a local day begins."""
        minutes = self._convention.close_after_minutes
        return self._convention.closes_at(day - 1) - minutes * MS_PER_MINUTE

    def office_instant(self, day: int, random: Random) -> int:
        """An instant within the office hours of a day."""
        minutes = OPENS_AT_MINUTES + random.random() * OFFICE_MINUTES
        return self.midnight(day) + int(minutes * MS_PER_MINUTE)

    def instant_after(self, day: int, least: int, most: int, random: Random) -> int:
        """An instant within office hours, so many days after a day or on the next working day."""
        return self.office_instant(self.working(day + random.randint(least, most)), random)

    def bucket(self, instant: int) -> int:
        """The day as which an instant is sorted: grows with the instant, about its local day."""
        return self.first + (instant - self.midnight(self.first)) // MS_PER_DAY

    def _working_days_left(self, day: int) -> int:
        return sum(self.is_working(later) for later in range(day + 1, self.month_end(day) + 1))


def draw_customers(
    request: Request, calendar: WorkCalendar, assumptions: Assumptions, random: Random
) -> list[Customer]:
    """Draw the customers, in the order of their ids; size has nothing to do with that order."""
    count = request.customers
    weights = _volumes(count, assumptions)
    total = sum(weights)
    wanted = assumptions.invoices_per_customer_day * count * request.days
    ranks = list(range(count))
    random.shuffle(ranks)
    return [
        _draw(number, rank, wanted * weights[rank] / total, request, calendar, assumptions, random)
        for number, rank in enumerate(ranks, 1)
    ]


def _volumes(count: int, assumptions: Assumptions) -> list[float]:
    """How much each rank buys, from the largest; only their proportions count."""
    if assumptions.volume:
        volumes = [quantile(assumptions.volume, 1 - (rank + 0.5) / count) for rank in range(count)]
    else:
        volumes = [1.0 / (rank + 1) ** assumptions.zipf_exponent for rank in range(count)]
    if assumptions.giant_share and count > 1:
        share = assumptions.giant_share
        volumes[0] = sum(volumes[1:]) * share / (1 - share)
    return volumes


def _draw(
    number: int,
    rank: int,
    invoices: float,
    request: Request,
    calendar: WorkCalendar,
    assumptions: Assumptions,
    random: Random,
) -> Customer:
    place = (rank + 0.5) / request.customers
    payer = random.choices(assumptions.payers, [p.share for p in assumptions.payers])[0]
    delay = random.gauss(payer.delay_days, payer.spread_days)
    is_giant = rank == 0 and assumptions.giant_share > 0
    is_later = random.random() < assumptions.joined_later_share and not is_giant
    joins = request.first + (int(random.random() * request.days * 0.6) if is_later else 0)
    regime = None if is_giant else _draw_regime(place, assumptions, random)
    change = request.first + int(request.days * random.uniform(0.2, 0.85))
    is_other = random.random() < assumptions.second_currency_share
    other = "USD" if request.currency != "USD" else "EUR"
    terms = random.choices(assumptions.terms_days, assumptions.terms_shares)[0]
    ln_amount = random.gauss(assumptions.ln_amount_mean, assumptions.ln_amount_spread_between)
    customer = Customer(
        customer_id=f"C{number:06d}",
        name=f"{random.choice(_FIRST)} {random.choice(_SECOND)} {random.choice(_FORMS)}",
        segment=next(name for name, until in SIZES if place < until),
        country=random.choice(COUNTRIES),
        currency=other if is_other else request.currency,
        joins=joins,
        activity=invoices / (calendar.activity - calendar.activity_before(joins) or 1.0),
        ln_amount=ln_amount,
        terms_days=terms,
        payer=payer,
        delay_days=delay,
        run_weekday=random.randrange(5)
        if random.random() < assumptions.batch_payer_share
        else None,
        limit_minor=None,
        regime=regime,
        change=max(change, joins),
        regime_delay_days=random.choice(regime.delays_days) if regime else 0,
        done=calendar.activity_before(joins),
        owner=OWNERS[number % len(OWNERS)],
        is_giant=is_giant,
    )
    customer.limit_minor = _draw_limit(customer, assumptions, random)
    return customer


def _draw_regime(place: float, assumptions: Assumptions, random: Random) -> Regime | None:
    drawn = random.random()
    for regime in assumptions.regimes:
        if drawn < regime.share:
            # A giant that grows, or never knows what it wants, would be most of the portfolio.
            is_much = regime.activity > 1 or regime.changes > CHANGES_MUCH
            return None if is_much and place < GIANTS else regime
        drawn -= regime.share
    return None


def _draw_limit(customer: Customer, assumptions: Assumptions, random: Random) -> int | None:
    drawn = random.random()
    if drawn < assumptions.no_limit_share:
        return None
    if drawn < assumptions.no_limit_share + assumptions.no_credit_share:
        return 0
    spread = assumptions.ln_amount_spread_within
    usual = min(math.exp(customer.ln_amount + spread * spread / 2), assumptions.amount_max)
    open_days = customer.terms_days + max(customer.delay_days, 0.0)
    at_once = max(customer.activity * open_days * 5 / 7, 1.0)
    limit = int(usual * at_once * assumptions.limit_cover)
    step = int(10 ** max(len(str(limit)) - 2, 0))
    return (limit // step + 1) * step * minor_units(customer.currency)


def quantile(quantiles: Quantiles, share: float) -> float:
    """The value that a share of a distribution does not exceed; straight between what is given."""
    place = min(max(bisect_right(quantiles, share, key=itemgetter(0)), 1), len(quantiles) - 1)
    (low, start), (high, end) = quantiles[place - 1], quantiles[place]
    part = min(max((share - low) / (high - low), 0.0), 1.0)
    return start + (end - start) * part


def minor_units(currency: str) -> int:
    """How many minor units make one of the currency."""
    return int(10 ** MINOR_DIGITS[currency])


def to_date(day: int) -> date:
    """The date of an epoch day."""
    return date.fromordinal(day + EPOCH_ORDINAL)
