"""Draws ways of buying and paying that are not usual: seasons, month ends, changed terms, disputes.

None of them is harm. Drawn from a source of chance of its own, so that a portfolio without them is
the same as before there were any.
"""

from __future__ import annotations

from random import Random

from tocsin.agents.generate.assumptions import Assumptions, Payer
from tocsin.agents.generate.portfolio import Customer, NewTerms, Season, WorkCalendar, quantile

GIANT = "GIANT"
SEASONAL = "SEASONAL"
QUARTERLY = "QUARTERLY"
MONTH_END_PAYER = "MONTH_END_PAYER"
GOOD_FAITH = "DISPUTES_IN_GOOD_FAITH"
NEW_TERMS = "NEW_TERMS"

QUARTER_ENDS = frozenset({3, 6, 9, 12})
QUARTERLY_FROM_DAY = 16
MONTHS = 12
CHRONICALLY_LATE_DAYS = 5.0  # a mean delay above it is what the truth calls mostly late


class Habits:
    """How each customer buys and pays, and how late it pays one invoice."""

    def __init__(self, assumptions: Assumptions, calendar: WorkCalendar, seed: int) -> None:
        self._assumptions = assumptions
        self._calendar = calendar
        self._random = Random(f"habits {seed}")  # noqa: S311 - repeatable by design, protects nothing

    def settle(self, customer: Customer) -> None:
        """Draw all habits of a customer and name them in its truth."""
        assumed, random = self._assumptions, self._random
        if assumed.habits:
            self._settle_delays(customer)
        if customer.is_giant:
            customer.delay_days = assumed.giant_delay_days
            customer.spread_days = assumed.giant_spread_days
            customer.payer = _payer(customer.delay_days)
            customer.traits.append(GIANT)
            return
        self._settle_season(customer)
        if random.random() < assumed.month_end_payer_share:
            customer.pays_at_month_end = True
            customer.traits.append(MONTH_END_PAYER)
        if random.random() < assumed.good_faith_share:
            customer.is_in_good_faith = True
            customer.traits.append(GOOD_FAITH)
        if random.random() < assumed.terms_change_share:
            self._settle_terms(customer)

    def delay(self, customer: Customer, day: int, random: Random) -> float:
        """Days after the due date at which it would pay an invoice of `day`, by habit alone."""
        assumed = self._assumptions
        spread = customer.spread_days
        if spread is None:
            spread = assumed.delay_spread_days
        if assumed.delay_shape:
            delay = customer.delay_days + spread * quantile(assumed.delay_shape, random.random())
        else:
            delay = random.gauss(customer.delay_days, spread)
        new = customer.new_terms
        if new is not None and new.since <= day < new.since + assumed.terms_follow_days:
            left = 1.0 - (day - new.since) / assumed.terms_follow_days
            delay += max(customer.terms_days - new.days, 0) * left
        return delay

    def _settle_delays(self, customer: Customer) -> None:
        assumed, random = self._assumptions, self._random
        customer.delay_days = quantile(assumed.habits, random.random())
        customer.spread_days = quantile(assumed.habit_spreads, random.random())
        customer.payer = _payer(customer.delay_days)

    def _settle_season(self, customer: Customer) -> None:
        """Perhaps let it buy at times only, and then as much as it would all the year."""
        assumed, random = self._assumptions, self._random
        drawn, begins = random.random(), random.randrange(MONTHS)
        months = random.choice(assumed.season_months)
        if drawn < assumed.seasonal_share:
            covered = frozenset((begins + nth) % MONTHS + 1 for nth in range(months))
            customer.season = Season(covered)
            customer.activity *= MONTHS / months
            customer.traits.append(SEASONAL)
        elif drawn < assumed.seasonal_share + assumed.quarterly_share:
            customer.season = Season(QUARTER_ENDS, QUARTERLY_FROM_DAY)
            customer.activity *= 2 * MONTHS / len(QUARTER_ENDS)
            customer.traits.append(QUARTERLY)

    def _settle_terms(self, customer: Customer) -> None:
        """Let other terms hold from a day in the middle of its time on."""
        random = self._random
        others = [days for days in self._assumptions.terms_days if days != customer.terms_days]
        days = self._calendar.last - customer.joins
        since = self._calendar.working(customer.joins + int(days * random.uniform(0.25, 0.75)))
        if others and since <= self._calendar.last:
            customer.new_terms = NewTerms(since, random.choice(others))
            customer.traits.append(NEW_TERMS)


def _payer(delay_days: float) -> Payer:
    """The kind of payer that a measured habit amounts to."""
    name = "MOSTLY_LATE" if delay_days > CHRONICALLY_LATE_DAYS else "SOMETIMES_LATE"
    return Payer(name, 1.0, delay_days, 0.0)
