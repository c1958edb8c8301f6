"""Cut points and thresholds proposed from the population: a patch for a policy, to be judged.

The history in ClickHouse is decided again, partition by partition, and every customer's values are
read from its ledger by the very measures that decide. Nothing is changed anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.replay.replay import ClickHouseLog, Replay
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.settings import Settings
from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.money import format_minor
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.customer_classes import (
    Abc,
    MoneyCuts,
    Rfa,
    Rfm,
    rfa_values,
    rfm_values,
    turnover,
)
from tocsin.streams.measures.cut_points import abc_cuts, quintile_cuts, thresholds
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.scorecard import GRADES
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.policy import Policy, Rule
from tocsin.streams.policy.reading import load_policy

LEAST_CUSTOMERS = 20
"""Customers below which nothing is proposed."""

SHARES = (1_000, 500, 200, 50)
"""Basis points of the customers that shall reach each severity, the mildest first."""

Key = tuple[str, ...]


class Fit(Struct, frozen=True):
    """What was proposed: the patch as YAML, and the number of customers behind each part of it."""

    as_of: str
    customers: int
    populations: dict[str, int]
    patch: str


async def fit(
    settings: Settings,
    rules: Sequence[str],
    shares: Sequence[int] = SHARES,
    progress: Callable[[int], None] = lambda records: None,
) -> Fit:
    """Propose cut points for the classes of the policy in force, and thresholds for its `rules`.

    Raises InputError for unknown rules, ConfigurationError for an empty history, UnavailableError.
    """
    client = open_clickhouse(settings, is_reader=True)
    seen = 0
    found: Population | None = None

    def count(records: int) -> None:
        nonlocal seen
        seen += records
        progress(seen)

    try:
        log = ClickHouseLog(client)
        for partition in log.partitions():
            work = Replay(
                settings.app_id,
                settings.partitions,
                open_codec(settings),
                convention_of(settings),
                log,
            )
            desk = await work.partition(partition, count)
            if found is None:
                found = Population(_policy(desk, settings.horizon_days), rules, shares)
            found.take(desk)
    finally:
        client.close()
    if found is None:
        raise ConfigurationError(
            "the history holds no decisions to learn from", mend="run `tocsin worker` and `audit`"
        )
    return found.propose()


class Population:
    """Values of all customers, by what they are values of."""

    def __init__(self, policy: Policy, rules: Sequence[str], shares: Sequence[int]) -> None:
        by_name = {rule.name: rule for rule in policy.rules}
        unknown = [name for name in rules if name not in by_name]
        if unknown:
            raise InputError(
                f"policy {policy.name} has no rule {', '.join(unknown)}",
                mend=f"use {', '.join(by_name)}",
            )
        self._rules = [by_name[name] for name in rules]
        self._shares = shares
        for rule in self._rules:
            severities = max(len(ladder.rungs) for ladder in rule.ladders.values())
            if severities > len(shares):
                raise InputError(
                    f"rule {rule.name} has {severities} severities, and {len(shares)} shares are "
                    "given",
                    mend="give a share for each severity",
                )
        card = policy.scorecard
        self._classes = None if card is None else card.classes
        self._values: dict[Key, list[int]] = {}
        self._customers = 0
        self._as_of = 0

    def take(self, desk: DecisionEngine) -> None:
        """Add the customers of a partition, as of its business date."""
        as_of = desk.state.business_date
        self._as_of = max(self._as_of, as_of)
        for customer_id in sorted(desk.ledgers):
            self._customers += 1
            self._add(desk.ledgers.peek(customer_id), as_of)

    def _add(self, ledger: Ledger, as_of: int) -> None:
        for rule in self._rules:
            for subject in ledger.summary.accounts if rule.by_currency else ("",):
                ladder = rule.ladder or rule.ladders.get(subject)
                if ladder is not None:
                    value, _ = rule.read(ledger, subject, as_of, rule.parameters, ladder)
                    key = subject if rule.measure.unit is Unit.MINOR else ""
                    self._note((rule.name, key), value)
        classes = self._classes
        if classes is None:
            return
        if classes.abc is not None:
            for currency in classes.abc.cuts:
                bought = turnover(ledger, currency, classes.abc.window_days, as_of)
                self._note(("abc", currency), bought or None)
        if classes.rfm is not None:
            recency, frequency, amounts = rfm_values(ledger, classes.rfm, as_of)
            if recency is not None:
                self._note(("recency",), recency)
                self._note(("frequency",), frequency)
            for currency, amount in amounts.items():
                self._note(("amount", currency), amount or None)
        if classes.rfa is not None:
            names = ("age", "late_share", "overdue_share")
            for name, value in zip(names, rfa_values(ledger, classes.rfa, as_of), strict=True):
                self._note((name,), value)

    def _note(self, key: Key, value: int | None) -> None:
        if value is not None:
            self._values.setdefault(key, []).append(value)

    def propose(self) -> Fit:
        """The patch: only parts for which there are enough customers and different values."""
        lines: list[str] = []
        if self._rules:
            lines.append("rules:")
            for rule in self._rules:
                lines += self._rule(rule)
        classes = self._classes
        if classes is not None:
            lines.append("classes:")
            lines += [] if classes.abc is None else self._abc(classes.abc)
            lines += [] if classes.rfm is None else self._rfm(classes.rfm)
            lines += [] if classes.rfa is None else self._rfa(classes.rfa)
        as_of = epoch_day_text(self._as_of)
        head = [
            f"# Proposed by tocsin policy fit from {self._customers} customers as of {as_of}.",
            "# Nothing was changed: judge it, put it into the policy, raise the version, publish.",
        ]
        sizes = {":".join(key).rstrip(":"): len(self._values[key]) for key in sorted(self._values)}
        return Fit(as_of, self._customers, sizes, "\n".join([*head, *lines]) + "\n")

    def _enough(self, *key: str) -> list[int]:
        values = self._values.get(key, [])
        return values if len(values) >= LEAST_CUSTOMERS else []

    def _size(self, *key: str) -> str:
        return f"{len(self._values.get(key, []))} customers"

    def _abc(self, abc: Abc) -> list[str]:
        cuts = {
            currency: abc_cuts(self._enough("abc", currency)) or present
            for currency, present in abc.cuts.items()
        }
        lines = ["  abc:", f"    window: {abc.window_days} days", *self._sizes("abc", abc.cuts)]
        lines.append(f"    A: {_amounts({currency: pair[1] for currency, pair in cuts.items()})}")
        lines.append(f"    B: {_amounts({currency: pair[0] for currency, pair in cuts.items()})}")
        return lines

    def _rfm(self, rfm: Rfm) -> list[str]:
        amounts = {
            currency: quintile_cuts(self._enough("amount", currency), is_more_better=True)
            or present
            for currency, present in rfm.amount.items()
        }
        return [
            "  rfm:",
            f"    window: {rfm.window_days} days",
            self._quintiles("recency", rfm.recency, Unit.DAYS, is_more_better=False),
            self._quintiles("frequency", rfm.frequency, Unit.COUNT, is_more_better=True),
            *self._sizes("amount", rfm.amount),
            "    amount:",
            *(
                f"      - {_amounts({currency: cuts[place] for currency, cuts in amounts.items()})}"
                for place in range(len(rfm.recency))
            ),
        ]

    def _rfa(self, rfa: Rfa) -> list[str]:
        late = rfa.late
        return [
            "  rfa:",
            f"    last: {late.last} count",
            f"    minimum: {late.minimum} count",
            f"    grace: {late.grace_days} days",
            self._quintiles("age", rfa.age, Unit.DAYS, is_more_better=False),
            self._quintiles("late_share", rfa.late_share, Unit.BASIS_POINTS, is_more_better=False),
            self._quintiles(
                "overdue_share", rfa.overdue_share, Unit.BASIS_POINTS, is_more_better=False
            ),
        ]

    def _quintiles(
        self, name: str, present: tuple[int, ...], unit: Unit, *, is_more_better: bool
    ) -> str:
        cuts = quintile_cuts(self._enough(name), is_more_better=is_more_better)
        said = ", ".join(_quantity(cut, unit) for cut in cuts or present)
        why = "" if cuts else ", too few or too alike: as it is"
        return f"    {name}: [{said}] # {self._size(name)}{why}"

    def _sizes(self, name: str, cuts: MoneyCuts) -> list[str]:
        known = [currency for currency in cuts if self._values.get((name, currency))]
        said = ", ".join(f"{self._size(name, currency)} in {currency}" for currency in known)
        return [f"    # {said or 'no customer'}; below {LEAST_CUSTOMERS} it stays as it is"]

    def _rule(self, rule: Rule) -> list[str]:
        raise_at: dict[int, dict[str, int]] = {}
        clear_at: dict[str, int] = {}
        notes = []
        for subject, ladder in rule.ladders.items():
            wanted = self._shares[: len(ladder.rungs)]
            found = thresholds(self._enough(rule.name, subject), wanted)
            steps = found or tuple(rung.raise_at for rung in ladder.rungs)
            for rung, step in zip(ladder.rungs, steps, strict=True):
                raise_at.setdefault(rung.severity, {})[subject] = step
            # The margin between raising and clearing stays what it is in proportion.
            clear_at[subject] = max(steps[0] * ladder.clear_at // ladder.lowest, 1)
            if values := self._values.get((rule.name, subject)):
                where = f" in {subject}" if subject else ""
                kept = "" if found else ", too few or too alike: as it is"
                notes.append(f"{len(values)} customers{where}{kept}")
        unit = rule.measure.unit
        return [
            f"  {rule.name}:",
            f"    # {'; '.join(notes) or 'no customer'}",
            "    raise_at:",
            *(
                f"      {SEVERITY_NAMES[severity]}: {_threshold(by_subject, unit)}"
                for severity, by_subject in sorted(raise_at.items())
            ),
            f"    clear_at: {_threshold(clear_at, unit)}",
        ]


def _policy(desk: DecisionEngine, horizon_days: int) -> Policy:
    """The policy in force at a desk."""
    entry = desk.state.policy
    policy, _ = load_policy("" if entry is None else desk.policies[entry.hash], horizon_days)
    if policy is None:
        raise ConfigurationError("no policy is in force in the history", mend="publish one")
    return policy


def _threshold(by_subject: Mapping[str, int], unit: Unit) -> str:
    return _amounts(by_subject) if unit is Unit.MINOR else _quantity(by_subject[""], unit)


def _amounts(by_currency: Mapping[str, int]) -> str:
    said = (format_minor(amount, name).replace(",", "") for name, amount in by_currency.items())
    return f"[{', '.join(said)}]"


def _quantity(value: int, unit: Unit) -> str:
    match unit:
        case Unit.DAYS:
            return f"{value} days"
        case Unit.BASIS_POINTS:
            return f"{value / 100:.2f}".rstrip("0").rstrip(".") + " percent"
        case Unit.POINTS:
            return f"{value} points"
        case Unit.GRADE:
            return f"{GRADES[min(value, len(GRADES) - 1)]} grade"
        case _:
            return f"{value} count"
