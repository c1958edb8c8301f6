"""Generates what customers do beside buying and paying, and what others say of them.

Orders, changes of them, service, disputes, contacts, breaches, surveys; ratings, accounts, alerts;
and what clerks do about warnings. Drawn from a source of chance of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from tocsin.agents.generate.assumptions import Assumptions
from tocsin.agents.generate.portfolio import Customer, WorkCalendar, minor_units, to_date
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import (
    AlertLifted,
    AlertRaised,
    ContactLogged,
    ContractBreached,
    CreditNoteIssued,
    CustomerEvent,
    DisputeOpened,
    DisputeResolved,
    FinancialsReported,
    OrderChanged,
    OrderUpdated,
    RatingReported,
    SatisfactionReported,
    ServiceRecorded,
    SilenceBegan,
    SilenceEnded,
    VerdictGiven,
    WarningAcknowledged,
)
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.sources import CUSTOMERS, ENGAGEMENTS, INVOICES

AGENCIES = ("Agentur Nord", "Lighthouse Ratings")
LABELS = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC", "CC", "C", "D")  # three notches each
CLERKS = ("Chen Li", "J. Weber", "M. Rossi")
SIZES_OF = {
    "KEY": ("LARGE", "PUBLIC"),
    "LARGE": ("LARGE", "MEDIUM"),
    "MEDIUM": ("MEDIUM", "SMALL"),
    "SMALL": ("SMALL", "MICRO"),
}
CHANGES = ("QUANTITY", "SPECIFICATION", "DELIVERY", "PRICE", "CANCELLATION", "REQUIREMENT")
DISPUTED = (("PRICE", 37), ("QUANTITY", 28), ("DUPLICATE", 17), ("QUALITY", 8), ("DELIVERY", 10))
SETTLED = (("ACCEPTED", 35), ("PARTLY_ACCEPTED", 25), ("REJECTED", 30), ("WITHDRAWN", 10))
MEETS_US = (("COOPERATIVE", 45), ("ANSWERED", 30), ("UNANSWERED", 20), ("UNCOOPERATIVE", 5))
AVOIDS_US = (("UNANSWERED", 45), ("UNCOOPERATIVE", 25), ("REFUSED_TO_PAY", 20), ("ANSWERED", 10))
HAS_LEFT = (("UNANSWERED", 60), ("NOT_INTERESTED", 25), ("ANSWERED", 15))
ALARMS = (("COURT", 25), ("ENFORCEMENT", 25), ("TAX", 15), ("LIEN", 10), ("INSOLVENCY", 25))
RUMOURS = (("REGISTRY", 50), ("INDUSTRY", 40), ("OTHER", 10))
ALERT_TEXTS = {
    "COURT": "sued by a supplier",
    "ENFORCEMENT": "on the list of debtors under enforcement",
    "TAX": "tax arrears published",
    "LIEN": "stock pledged to a bank",
    "INSOLVENCY": "insolvency proceedings requested",
    "REGISTRY": "managing director replaced",
    "INDUSTRY": "export quota of the industry cut",
    "OTHER": "mentioned in the press",
}
REACHED = ("PHONE", "EMAIL", "LETTER", "MESSAGE", "VISIT")
HOURLY_COST = 60  # of service, in whole currency units

Put = Callable[[int, int, CustomerEvent, Random], None]
"""Files a fact: topic, instant, event, and the chance by which it comes late or twice."""


class Conduct:
    """Plans such facts for each customer and for each of its invoices."""

    def __init__(
        self, assumptions: Assumptions, calendar: WorkCalendar, seed: int, put: Put
    ) -> None:
        self._assumptions = assumptions
        self._calendar = calendar
        self._random = Random(f"conduct {seed}")  # noqa: S311 - repeatable by design, protects nothing
        self._put = put

    def traits(self, customer: Customer, customers: int) -> None:
        """Draw what the customer's own data and its margins depend on."""
        assumed, random = self._assumptions, self._random
        customer.size = random.choice(SIZES_OF[customer.segment])
        if random.random() < assumed.grouped_share:
            groups = max(int(customers * assumed.grouped_share / assumed.group_size), 1)
            customer.group_id = f"G{random.randrange(groups) + 1:04d}"
        if customer.limit_minor == 0 or random.random() < assumed.prepayment_share:
            customer.prepayment_basis_points = random.choice((2_000, 3_000, 5_000))
        if random.random() < assumed.cost_known_share:
            margin = random.gauss(assumed.margin_percent, assumed.margin_spread_percent)
            customer.margin_percent = margin
            if random.random() < assumed.loss_making_share:
                customer.margin_percent = -abs(margin) / 2
                if random.random() < assumed.repriced_share:
                    days = self._calendar.last - customer.joins
                    customer.repriced_on = customer.joins + int(days * random.uniform(0.1, 0.5))

    def plan(self, customer: Customer) -> None:
        """Plan what will be said of the customer, and what it says itself, over all its days."""
        self._plan_ratings(customer)
        self._plan_accounts(customer)
        self._plan_alerts(customer)
        self._plan_surveys(customer)
        self._plan_breaches(customer)
        self._plan_attempts(customer)
        self._plan_handling(customer)

    def order(self, customer: Customer, today: int, day: int) -> None:
        """Perhaps have an order placed before the invoice of `day`, and perhaps delivered."""
        assumed, random = self._assumptions, self._random
        needs_prepayment = customer.prepayment_basis_points > 0
        share = 1.0 if needs_prepayment else assumed.order_share
        if day - today < 3 or random.random() >= share:
            return
        placed = max(today + 1, day - random.randint(2, assumed.order_days_max))
        amount = int(math.exp(customer.ln_amount) * minor_units(customer.currency))
        customer.order_id = customer.next_id("O")
        self._order(customer, placed, max(amount, 1), 0)
        if random.random() < assumed.delivered_early_share and day - 1 > placed:
            self._order(customer, day - 1, 0, max(amount, 1))

    def sold(self, customer: Customer, day: int, amount: int) -> tuple[int | None, int | None]:
        """What was delivered on an invoice cost, and the day of delivery, where they are told."""
        assumed, random = self._assumptions, self._random
        delivered = None
        if random.random() < assumed.delivery_known_share:
            delivered = day - random.randint(0, assumed.delivered_before_days_max)
        if customer.margin_percent is None:
            return None, delivered
        margin = customer.margin_percent
        if customer.repriced_on is not None and day >= customer.repriced_on:
            margin = assumed.margin_percent
        margin += random.gauss(0.0, assumed.margin_spread_percent / 2)
        if customer.regime is not None:
            margin += customer.regime.margin_percent * customer.strength(day)
        return max(int(amount * (100.0 - margin) / 100.0), 0), delivered

    def invoiced(self, customer: Customer, day: int, amount: int) -> None:
        """Close the order of an invoice just written; perhaps changes of order, and service."""
        assumed, random = self._assumptions, self._random
        order_id = customer.order_id
        if order_id is not None:
            self._order(customer, day, 0, 0)
            customer.order_id = None
        changes = assumed.change_share * customer.more_often("changes", day)
        for _ in range(int(changes) + (random.random() < changes % 1)):
            instant = self._calendar.instant_after(day, 0, 10, self._random)
            kind = random.choice(CHANGES)
            self._say(
                instant,
                OrderChanged(customer.customer_id, customer.next_id("H"), instant, kind, order_id),
            )
        times = customer.more_often("service", day)
        if random.random() < assumed.service_share * times:
            instant = self._calendar.instant_after(day, 0, 20, self._random)
            minutes = random.randint(1, 16) * 15
            cost = minutes * HOURLY_COST * minor_units(customer.currency) // 60
            cost += int(amount * random.uniform(0.0, assumed.parts_used_share * times))
            self._say(
                instant,
                ServiceRecorded(
                    customer.customer_id,
                    customer.next_id("S"),
                    instant,
                    minutes,
                    cost,
                    customer.currency,
                ),
            )

    def dispute(
        self, customer: Customer, invoice_id: str, day: int, amount: int
    ) -> tuple[float, int]:
        """Perhaps dispute an invoice; return the days that delays it and what is conceded."""
        assumed, random = self._assumptions, self._random
        is_good = customer.is_in_good_faith
        share = assumed.good_faith_disputes if is_good else assumed.dispute_share
        if random.random() >= share * customer.more_often("disputes", day):
            return 0.0, 0
        disputed = max(amount * random.randint(20, 100) // 100, 1)
        opened = self._calendar.instant_after(day, 3, 25, self._random)
        dispute_id = customer.next_id("D")
        reason, outcome = _draw(random, DISPUTED), _draw(random, SETTLED)
        own_fault = assumed.good_faith_own_fault if is_good else assumed.own_fault_share
        is_ours = random.random() < own_fault
        self._say(
            opened,
            DisputeOpened(
                customer.customer_id,
                dispute_id,
                opened,
                invoice_id,
                disputed,
                customer.currency,
                reason,
                is_ours,
            ),
        )
        resolved = opened + random.randint(5, 45) * MS_PER_DAY + random.randrange(3_600_000)
        found_ours = is_ours or outcome == "ACCEPTED"
        self._say(
            resolved,
            DisputeResolved(customer.customer_id, dispute_id, resolved, outcome, found_ours),
        )
        conceded = {"ACCEPTED": disputed, "PARTLY_ACCEPTED": disputed // 2}.get(outcome, 0)
        if conceded:
            credit = CreditNoteIssued(
                customer.customer_id,
                customer.next_id("N"),
                resolved,
                conceded,
                customer.currency,
                "PRICE",
                invoice_id,
            )
            self._put(INVOICES, resolved, credit, random)
        return random.uniform(0.5, 1.5) * assumed.dispute_delay_days, conceded

    def dun(self, customer: Customer, due: int, pay_day: int | None) -> None:
        """Perhaps contact the customer about an invoice, again and again while it is overdue."""
        assumed, random = self._assumptions, self._random
        until = self._calendar.last if pay_day is None else min(pay_day, self._calendar.last)
        for age in assumed.contact_ages_days:
            day = due + age
            if day >= until:
                return
            strength = customer.strength(day)
            share = assumed.contact_share + (assumed.contact_share_bad * strength)
            if random.random() >= share:
                continue
            avoids = random.random() < 0.15 + 0.7 * strength
            self._contact(customer, day, _draw(random, AVOIDS_US if avoids else MEETS_US))

    def _order(self, customer: Customer, day: int, open_minor: int, delivered_minor: int) -> None:
        instant = self._calendar.office_instant(day, self._random)
        self._say(
            instant,
            OrderUpdated(
                customer.customer_id,
                customer.order_id or "",
                instant,
                open_minor,
                delivered_minor,
                customer.currency,
            ),
        )

    def _contact(self, customer: Customer, day: int, outcome: str) -> None:
        random = self._random
        instant = self._instant(day)
        reason = None
        if outcome == "REFUSED_TO_PAY":
            reason = random.choice(("DISPUTE", "DIFFICULTY", "DIFFICULTY", "OTHER"))
        self._say(
            instant,
            ContactLogged(
                customer.customer_id,
                customer.next_id("T"),
                instant,
                random.choice(REACHED),
                outcome,
                reason,
                author=random.choice(CLERKS),
            ),
        )

    def _plan_ratings(self, customer: Customer) -> None:
        assumed, random, regime = self._assumptions, self._random, customer.regime
        falls = 0 if regime is None else regime.notches
        if random.random() >= (assumed.rated_if_changing_share if falls else assumed.rated_share):
            return
        agency, usual = random.choice(AGENCIES), random.randint(5, 15)
        days = [customer.joins + random.randint(0, 20)]
        while days[-1] <= self._calendar.last:
            days.append(days[-1] + random.randint(150, 210))
        if falls:
            days += [customer.change - lead for lead in assumed.rating_leads_days]
            if (ends := customer.regime_ends()) is not None:
                days.append(ends + random.randint(10, 40))
        for day in sorted(day for day in days if day >= customer.joins):
            notch, instant = usual + self._fallen(customer, day, falls), self._instant(day)
            label = LABELS[(notch - 1) // 3]
            self._report(
                instant, RatingReported(customer.customer_id, instant, agency, notch, label)
            )

    def _fallen(self, customer: Customer, day: int, falls: int) -> int:
        """By how many notches an agency rates the customer worse on a day than it usually does."""
        if not falls:
            return 0
        leads = self._assumptions.rating_leads_days
        if customer.strength(day) or (customer.regime is not None and customer.regime.is_reversed):
            return falls if customer.strength(day) else 0
        if customer.change - leads[0] <= day < customer.change:
            return falls if day >= customer.change - leads[-1] else falls // 2
        return 0

    def _plan_accounts(self, customer: Customer) -> None:
        """Accounts of half a year, known some months after its end."""
        assumed, random, calendar = self._assumptions, self._random, self._calendar
        regime = customer.regime
        is_watched = customer.segment in ("KEY", "LARGE") or (regime is not None and regime.notches)
        known_share = assumed.accounts_share * (3 if is_watched else 1)
        if random.random() >= known_share:
            return
        yearly = int(math.exp(customer.ln_amount) * 200 * minor_units(customer.currency))
        is_weak = random.random() < assumed.weak_accounts_share
        for day in range(customer.joins - 90, calendar.last):
            if to_date(day).strftime("%m-%d") not in ("06-30", "12-31"):
                continue
            told = day + random.randint(60, 100)
            is_bad = regime is not None and regime.notches > 0 and customer.strength(told) > 0
            share = random.uniform(-0.15, -0.02) if is_bad or is_weak else random.uniform(0.1, 0.5)
            income = random.uniform(-0.2, 0.0) if is_bad else random.uniform(0.0, 0.12)
            if told > customer.joins:
                instant = self._instant(told)
                self._report(
                    instant,
                    FinancialsReported(
                        customer.customer_id,
                        instant,
                        day,
                        customer.currency,
                        int(yearly * share),
                        int(yearly * (1 - share)),
                        int(yearly * income / 2),
                    ),
                )

    def _plan_alerts(self, customer: Customer) -> None:
        assumed, random, regime = self._assumptions, self._random, customer.regime
        is_alarming = regime is not None and random.random() < regime.alert_share
        for _ in range(random.randint(1, 2) if is_alarming else 0):
            self._alarm(customer)
        if random.random() < assumed.rumour_share:
            span = max(self._calendar.last - customer.joins, 1)
            day = customer.joins + int(random.random() * span)
            self._alert(customer, _draw(random, RUMOURS), day, day + random.randint(20, 90))

    def _alarm(self, customer: Customer) -> None:
        """An alert that the customer's change gave reason for."""
        random, regime = self._random, customer.regime
        lasts = 0 if regime is None else regime.lasts_days
        ends = customer.regime_ends() if lasts else None
        day = customer.change + random.randint(5, max(lasts - 5, 6) if lasts else 120)
        lifted = None if ends is None else ends + random.randint(5, 30)
        if lifted is None and random.random() < self._assumptions.lifted_share:
            lifted = day + random.randint(30, 90)
        self._alert(customer, _draw(random, ALARMS), day, lifted)

    def _alert(self, customer: Customer, kind: str, day: int, lifted: int | None) -> None:
        alert_id, instant, text = customer.next_id("A"), self._instant(day), ALERT_TEXTS[kind]
        self._report(instant, AlertRaised(customer.customer_id, alert_id, instant, kind, text))
        if lifted is not None:
            instant = self._instant(lifted)
            self._report(instant, AlertLifted(customer.customer_id, alert_id, instant))

    def _plan_surveys(self, customer: Customer) -> None:
        assumed, random = self._assumptions, self._random
        lost = 0 if customer.regime is None else customer.regime.discontent
        day = customer.joins + random.randint(20, 90)
        while day <= self._calendar.last:
            if random.random() < assumed.survey_share:
                drawn = round(random.gauss(8.0, 1.2) - lost * customer.strength(day))
                rating = min(max(drawn, 0), 10)
                instant = self._calendar.instant_after(day, 0, 3, self._random)
                survey_id = customer.next_id("Y")
                self._say(
                    instant,
                    SatisfactionReported(customer.customer_id, survey_id, instant, rating),
                )
            day += random.randint(75, 105)

    def _plan_breaches(self, customer: Customer) -> None:
        assumed, random, regime = self._assumptions, self._random, customer.regime
        days: list[int] = []
        if random.random() < assumed.breach_share:
            days.append(random.randint(customer.joins, self._calendar.last))
        if regime is not None and random.random() < regime.breach_share:
            lasts = regime.lasts_days or 150
            count = random.randint(1, 3)
            days += [customer.change + random.randint(10, lasts) for _ in range(count)]
        for day in days:
            instant = self._calendar.instant_after(day, 0, 5, self._random)
            kind = random.choice(("PAYMENT", "PAYMENT", "ACCEPTANCE", "RESALE", "OTHER"))
            is_serious = random.random() < assumed.serious_share
            breach_id = customer.next_id("B")
            self._say(
                instant,
                ContractBreached(customer.customer_id, breach_id, instant, kind, is_serious),
            )

    def _plan_attempts(self, customer: Customer) -> None:
        """Attempts to reach a customer that has stopped buying."""
        if customer.regime is None or customer.regime.activity > 0:
            return
        for age in self._assumptions.attempt_ages_days:
            self._contact(customer, customer.change + age, _draw(self._random, HAS_LEFT))

    def _plan_handling(self, customer: Customer) -> None:
        """What clerks do about the warnings that they expect of such a customer."""
        assumed, random, regime = self._assumptions, self._random, customer.regime
        if regime is not None and max(regime.delays_days) > 0:
            episode = derived_id(customer.customer_id, assumed.judged_rule, customer.currency, 1)
            day = customer.change + customer.terms_days + random.randint(20, 60)
            author = random.choice(CLERKS)
            if random.random() < assumed.acknowledged_share:
                instant = self._calendar.instant_after(day, 0, 3, self._random)
                self._say(
                    instant,
                    WarningAcknowledged(
                        customer.customer_id, episode, instant, author, "in talks with the owner"
                    ),
                )
            if random.random() < assumed.judged_share:
                instant = self._calendar.instant_after(day, 30, 90, self._random)
                is_true = regime.lasts_days == 0 and not regime.is_reversed
                verdict = "TRUE_ALARM" if is_true else "FALSE_ALARM"
                reason = "paid months late" if is_true else "paid after the season"
                self._say(
                    instant,
                    VerdictGiven(customer.customer_id, episode, instant, verdict, author, reason),
                )
        if random.random() < assumed.silenced_share:
            self._silence(customer)

    def _silence(self, customer: Customer) -> None:
        assumed, random = self._assumptions, self._random
        span = max(self._calendar.last - customer.joins, 1)
        day = customer.joins + int(random.random() * span)
        if customer.regime is not None:
            day = customer.change + customer.terms_days
        began = self._calendar.instant_after(day, 0, 20, self._random)
        silence_id, author = customer.next_id("Q"), random.choice(CLERKS)
        rule = random.choice((None, *assumed.silenced_rules))
        expires = self._calendar.bucket(began) + random.randint(14, 45)
        self._say(
            began,
            SilenceBegan(
                customer.customer_id,
                silence_id,
                began,
                author,
                "a plan is being agreed",
                expires,
                rule,
            ),
        )
        if random.random() < assumed.silence_lifted_share:
            ended = began + random.randint(3, 12) * MS_PER_DAY
            self._say(
                ended,
                SilenceEnded(customer.customer_id, silence_id, ended, author, "nothing was agreed"),
            )

    def _instant(self, day: int) -> int:
        return self._calendar.office_instant(self._calendar.working(day), self._random)

    def _report(self, instant: int, event: CustomerEvent) -> None:
        """File what others say; unlike our own notes it comes neither late nor twice."""
        self._put(CUSTOMERS, instant, event, self._random)

    def _say(self, instant: int, event: CustomerEvent) -> None:
        self._put(ENGAGEMENTS, instant, event, self._random)


def _draw(random: Random, weighted: tuple[tuple[str, int], ...]) -> str:
    return random.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]
