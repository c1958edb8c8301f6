"""Figures of a generated portfolio, worked out anew from its warnings alone.

The warnings come from `decide`, which knows nothing of backtests; what is open at a moment is
counted from them in the most plain way.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import pytest
from msgspec import Struct

from tests.agents.backtest.histories import CONVENTION, closed, packaged, portfolio, tried
from tocsin.agents.backtest.figures import BacktestReport, Cut, Part, Predictor, report
from tocsin.agents.backtest.given import harms
from tocsin.agents.backtest.resampling import Figure
from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.evaluate.observations import Case, judge
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.events import DayClosed, InvoiceIssued

RANK = {"LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}
L0, L5, H30 = harms(())
FACTS = closed(portfolio(customers=30, days=420, seed=11))


class Told(Struct, frozen=True):
    """A warning and the number of the event that brought it."""

    number: int
    warning: RiskWarning


class Row(Struct, frozen=True):
    """A case with the episodes that were open: rule, worst severity now, day of first warning."""

    case: Case
    open: list[tuple[str, int, int]]

    @property
    def is_harm(self) -> bool:
        return self.case.harm_on is not None


@pytest.fixture(scope="module")
def warned() -> list[Told]:
    """All warnings, as the replay of the same events gives them."""
    found, number = [], 0

    def counted() -> Iterator[Fact]:
        nonlocal number
        policy = packaged()[0].published
        yield Fact(0, POLICIES.topic_id, policy)
        for number, fact in enumerate(FACTS, 1):  # noqa: B007 - read by `keep`
            yield fact

    def keep(warning: RiskWarning) -> None:
        found.append(Told(number, warning))

    decide(counted(), CONVENTION, keep)
    return found


@pytest.fixture(scope="module")
def judged() -> BacktestReport:
    return report(tried(FACTS), [L0, H30])


@pytest.fixture(scope="module")
def rows(warned: list[Told]) -> dict[str, list[Row]]:
    done = tried(FACTS)
    numbers = {
        (fact.event.customer_id, fact.event.invoice_id): number
        for number, fact in reversed(list(enumerate(FACTS, 1)))
        if isinstance(fact.event, InvoiceIssued)
    }
    closings = {
        fact.event.date: number
        for number, fact in enumerate(FACTS, 1)
        if isinstance(fact.event, DayClosed)
    }
    of: dict[str, list[Told]] = {}
    for told in warned:
        of.setdefault(told.warning.customer_id, []).append(told)
    found: dict[str, list[Row]] = {}
    for harm in (L0, H30):
        found[harm.name] = []
        for case in judge(harm, done.observations, done.history, done.end):
            if case.outcome.name not in ("HARM", "NO_HARM"):
                continue
            seen = case.observation
            before = numbers.get((seen.customer_id, seen.invoice_id)) or closings[seen.day]
            told = [one.warning for one in of.get(seen.customer_id, []) if one.number < before]
            found[harm.name].append(Row(case, open_by(told)))
    return found


def open_by(warnings: list[RiskWarning]) -> list[tuple[str, int, int]]:
    """Episodes whose last warning is not that they are over."""
    episodes: dict[str, list[RiskWarning]] = {}
    for warning in warnings:
        if is_step(warning):
            episodes.setdefault(warning.episode_id, []).append(warning)
    return [
        (steps[0].rule, RANK[steps[-1].severity], steps[0].as_of)
        for steps in episodes.values()
        if steps[-1].transition != "CLEARED"
    ]


def is_step(warning: RiskWarning) -> bool:
    """Whether it is of an episode of a customer; digests are of many."""
    return bool(warning.customer_id) and warning.transition != "DIGEST"


def part(found: BacktestReport, harm: str) -> Part:
    (figures,) = [one for one in found.harms if one.harm == harm]
    return figures.parts[0]


def predictor(found: BacktestReport, harm: str, name: str) -> Predictor:
    (one,) = [one for one in part(found, harm).policies[0].predictors if one.name == name]
    return one


def cut(one: Predictor, at: str) -> Cut:
    (found,) = [cut for cut in one.cuts if cut.at == at]
    return found


def value(figure: Figure | None) -> float:
    assert figure is not None
    return figure.value


def worst(row: Row, rule: str | None = None) -> int:
    return max((rank for name, rank, _ in row.open if rule in (None, name)), default=0)


def brute_auc(rows: list[Row], rule: str | None = None) -> float:
    bad = [worst(row, rule) for row in rows if row.is_harm]
    good = [worst(row, rule) for row in rows if not row.is_harm]
    return sum((x > y) + (x == y) / 2 for x in bad for y in good) / (len(bad) * len(good))


@pytest.mark.parametrize("harm", ["L0", "H30"])
@pytest.mark.parametrize("severity", ["LOW", "HIGH"])
def test_flags_are_those_of_the_warnings(
    harm: str, severity: str, judged: BacktestReport, rows: dict[str, list[Row]]
) -> None:
    found = cut(predictor(judged, harm, "worst"), severity).quality
    flagged = [row for row in rows[harm] if worst(row) >= RANK[severity]]
    hits = sum(row.is_harm for row in flagged)
    harmed = sum(row.is_harm for row in rows[harm])

    assert part(judged, harm).rows == len(rows[harm])
    assert part(judged, harm).harmful == harmed
    assert found.flagged == len(flagged)
    assert value(found.precision) == pytest.approx(hits / len(flagged), abs=1e-4)
    assert value(found.recall) == pytest.approx(hits / harmed, abs=1e-4)
    lift = hits / len(flagged) / (harmed / len(rows[harm]))
    assert value(found.lift) == pytest.approx(lift, abs=1e-4)


@pytest.mark.parametrize("harm", ["L0", "H30"])
@pytest.mark.parametrize("rule", [None, "overdue-age", "late-share"])
def test_ranking_is_that_of_the_warnings(
    harm: str, rule: str | None, judged: BacktestReport, rows: dict[str, list[Row]]
) -> None:
    found = predictor(judged, harm, rule or "worst")

    assert value(found.auc) == pytest.approx(brute_auc(rows[harm], rule), abs=1e-4)


@pytest.mark.parametrize("harm", ["L0", "H30"])
def test_lead_time_is_that_of_the_warnings(
    harm: str, judged: BacktestReport, rows: dict[str, list[Row]]
) -> None:
    leads: dict[tuple[str, str, int], int] = {}
    for row in rows[harm]:
        if row.case.harm_on is not None and row.open:
            seen = row.case.observation
            key = (seen.customer_id, seen.invoice_id, row.case.harm_on)
            lead = row.case.harm_on - min(since for _, _, since in row.open)
            leads[key] = max(lead, leads.get(key, lead))

    found = cut(predictor(judged, harm, "worst"), "LOW").lead

    assert found is not None
    assert (found.harms, value(found.median)) == (len(leads), median(leads.values()))


def test_alarms_are_those_of_the_warnings(judged: BacktestReport, warned: list[Told]) -> None:
    about = [one.warning for one in warned if is_step(one.warning)]
    load = judged.policies[0].load
    told = [warning for warning in about if warning.muted_by is None]

    for transition, count in load.alarms.items():
        assert count == sum(warning.transition == transition for warning in told)
    assert load.muted == len(about) - len(told)
    assert judged.policies[0].warnings == len(warned)
    first = "2025-01"
    in_first = [w for w in told if epoch_day_text(w.as_of).startswith(first)]
    assert sum(load.by_month[first].values()) == len(in_first)


def test_short_episodes_are_those_of_the_warnings(
    judged: BacktestReport, warned: list[Told]
) -> None:
    episodes: dict[str, list[RiskWarning]] = {}
    for one in warned:
        if is_step(one.warning):
            episodes.setdefault(one.warning.episode_id, []).append(one.warning)
    over = [steps for steps in episodes.values() if steps[-1].transition == "CLEARED"]
    short = [steps for steps in over if steps[-1].as_of - steps[0].as_of <= 7]
    counts = judged.policies[0].load.episodes.values()

    assert all(a.as_of <= b.as_of for steps in over for a, b in pairwise(steps))
    assert sum(one.begun for one in counts) == len(episodes)
    assert sum(one.ended for one in counts) == len(over)
    assert sum(one.ended_within_week for one in counts) == len(short)
