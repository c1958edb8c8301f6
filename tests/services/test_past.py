"""What was held at an earlier moment: the answers of then, and the ledgers of a desk stopped there.

A portfolio is loaded in parts. What the commands say after each part is what they say of that
moment when all is loaded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import date
from io import StringIO
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from tests.services.deployment import Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.clickhouse.standings import STANDING_COLUMNS
from tocsin.agents.commands.cli import run_command
from tocsin.agents.console import answers
from tocsin.agents.console.answers import Asked
from tocsin.agents.console.guard import Refusal
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.past.cut import cut
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact, iso_instant
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.facts.events import ControlEvent
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState

PARTITIONS = 2
PARTS = 3
MOMENTS = 6
Run = Callable[..., Any]
pytestmark = pytest.mark.timeout(600)


class Loaded:
    """A deployment loaded in parts, and what the commands said after each of the first ones."""

    def __init__(self, deployment: Deployment, facts: list[Fact]) -> None:
        self.deployment = deployment
        self.facts = facts
        self.moments: list[int] = []
        self.said: list[dict[str, Any]] = []


def keyed(fact: Fact) -> bool:
    return not isinstance(fact.event, ControlEvent)


def in_parts(facts: list[Fact]) -> Iterator[list[Fact]]:
    """Parts that begin at an instant later than all before."""
    begin = 0
    for part in range(1, PARTS + 1):
        end = len(facts) * part // PARTS
        while end < len(facts) and facts[end].instant == facts[end - 1].instant:
            end += 1
        yield facts[begin:end]
        begin = end


QUESTIONS = {
    "file": ("customer", "C000003"),
    "worklist": ("worklist", "--budget", "1000"),
    "open": ("warnings", "--open", "--limit", "1000"),
    "all": ("warnings", "--limit", "100000"),
}


@pytest.fixture(scope="module")
def loaded(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("past")
        context = deployed("past", broker, engine, folder, partitions=PARTITIONS)
        deployment = runner.run(context.__aenter__())
        for name, value in deployment.environ.items():
            if name.startswith("TOCSIN_"):
                patch.setenv(name, value)
        worker, audit = deployment.started("worker"), deployment.started("audit")
        found = Loaded(deployment, deployment.portfolio(customers=12, days=150))
        for part in in_parts(found.facts):
            runner.run(load(deployment, part, worker, audit))
            found.moments.append(part[-1].instant)
            found.said.append({name: printed(*asked) for name, asked in QUESTIONS.items()})
        assert worker.stop() == 0
        assert audit.stop() == 0
        yield found
        runner.run(context.__aexit__(None, None, None))


async def load(deployment: Deployment, facts: list[Fact], *programs: Program) -> None:
    await produce(facts, deployment.settings)
    await deployment.until_decided(*programs)
    assert (await reconcile(deployment.settings, wait_s=60.0)).is_equal


def printed(*arguments: str) -> Any:
    """What a command prints with --json."""
    with redirect_stdout(StringIO()) as out:
        assert run_command([*arguments, "--json"]) == Exit.OK
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return lines[0] if len(lines) == 1 else lines


@pytest.mark.parametrize(
    ("question", "part"), [("file", 0), ("open", 0), ("worklist", 1), ("all", 1)]
)
def test_what_is_said_of_a_moment_is_what_was_said_then(
    loaded: Loaded, tocsin: Run, question: str, part: int
) -> None:
    expected = loaded.said[part][question]
    assert expected != loaded.said[-1][question]

    found = tocsin(*QUESTIONS[question], "--as-of", iso_instant(loaded.moments[part]))

    assert found == expected


def stopped_at(loaded: Loaded, partition: int, instant: int) -> DecisionEngine:
    """A desk over the same facts in their order, stopped before the first that came later."""
    deployment = loaded.deployment
    desk = DecisionEngine(deployment.convention, Ledgers(), PartitionState(), {}, partition)
    policy = Fact(0, POLICIES.topic_id, first_event(deployment.settings, None))
    own = [
        fact
        for fact in loaded.facts
        if not keyed(fact) or partition_of(fact.event.customer_id.encode(), PARTITIONS) == partition  # type: ignore[union-attr]
    ]
    for fact in [policy, *sorted(own, key=lambda fact: (fact.instant, fact.topic_id))]:
        if fact.instant > instant:
            break
        step: object = Step.UNFINISHED
        while step is Step.UNFINISHED:
            desk.begin()
            step = desk.process(fact.topic_id, partition, 0, fact.instant, fact.event)
    return desk


def standing(desk: DecisionEngine, customer_id: str) -> dict[str, Any]:
    summary = desk.ledgers.peek(customer_id).summary
    accounts = sorted(summary.accounts.items())
    action = summary.collecting
    return {
        "customer_id": customer_id,
        "accounts.currency": [currency for currency, _ in accounts],
        "accounts.open_minor": [account.open_minor for _, account in accounts],
        "accounts.unapplied_minor": [account.unapplied_minor for _, account in accounts],
        "score": summary.score,
        "grade": summary.grade,
        "points": summary.points,
        "open_episodes": summary.open_episodes,
        "documents": summary.document_count,
        "settled_items": len(summary.settled),
        "step": "" if action is None else action.step,
        "step_minor": 0 if action is None else action.amount_minor,
    }


def test_ledgers_at_any_moment_are_those_of_a_desk_stopped_there(loaded: Loaded) -> None:
    """Moments amid transactions too: the whole portfolio came in a handful of them."""
    chance, differing = Random(7), set()
    for fact in chance.sample(loaded.facts, MOMENTS):
        partition = chance.randrange(PARTITIONS)

        found = cut(loaded.deployment.settings, partition, instant=fact.instant, customer_id="")

        desk = stopped_at(loaded, partition, fact.instant)
        rows = [
            dict(zip(STANDING_COLUMNS, row, strict=True))
            for row in zip(*found.standings, strict=True)
        ]
        expected = [standing(desk, name) for name in sorted(desk.ledgers)]
        assert [{name: row[name] for name in expected[0]} for row in rows] == expected
        assert found.report.differing == 0
        differing.add(found.amid is not None)
    assert True in differing


def test_a_moment_that_cannot_be_told_is_answered_plainly(loaded: Loaded, tocsin: Run) -> None:
    def refused(*arguments: str) -> str:
        found: str = tocsin(*arguments, code=Exit.USAGE)
        return found

    assert "is to come" in refused("worklist", "--as-of", "2200-01-01")
    assert "no moment" in refused("warnings", "--as-of", "yesterday")
    assert "no moment" in refused("warnings", "--as-of", "2025-02-30")
    assert "nothing was known" in refused("worklist", "--as-of", "1980-01-01")
    assert "was not known yet" in refused("customer", "C000003", "--as-of", "1980-01-01")
    assert "no customer 'nobody'" in refused("customer", "nobody", "--as-of", "2024-06-30")
    assert "leave one out" in refused("warnings", "--follow", "--as-of", "2024-06-30")


def test_the_api_says_the_same(loaded: Loaded) -> None:
    settings, moment = loaded.deployment.settings, iso_instant(loaded.moments[0])
    said = loaded.said[0]
    with open_lookup(settings) as lookup:
        asked = Asked(settings, lookup, {"customer_id": "C000003"}, may_act=False)

        page = answers.warnings(asked, answers.WarningsAsked(open=True, limit=200, as_of=moment))
        assert json.loads(msgspec.json.encode(page["items"])) == said["open"]
        with pytest.raises(Refusal, match="is to come"):
            answers.worklist(asked, answers.WorklistAsked(as_of="2200-01-01"))


def rows_of(loaded: Loaded, statement: str) -> list[tuple[Any, ...]]:
    client = open_clickhouse(loaded.deployment.settings, is_reader=True)
    try:
        return client.rows(statement)
    finally:
        client.close()


SCORES_THEN = """
SELECT customer_id, score, grade, from_at, to_at FROM v_score_history ORDER BY customer_id, from_at
"""
SCORES_NOW = "SELECT customer_id, score, grade FROM v_scores ORDER BY customer_id"
MOVES = """
SELECT customer_id, month, grade_before, grade, notches, is_worse FROM v_grade_moves
ORDER BY customer_id, month
"""


def test_the_history_of_scores_ends_with_the_scores_without_a_gap(loaded: Loaded) -> None:
    found = rows_of(loaded, SCORES_THEN)

    assert [row[:3] for row in found if row[4] is None] == rows_of(loaded, SCORES_NOW)
    for row, following in pairwise(found):
        assert row[4] == (following[3] if row[0] == following[0] else None)
    assert len(found) > len(rows_of(loaded, SCORES_NOW))


def test_a_move_of_a_grade_is_between_the_last_ones_of_two_months(loaded: Loaded) -> None:
    last: dict[str, dict[date, str]] = {}
    for customer_id, _, grade, since, _ in rows_of(loaded, SCORES_THEN):
        if grade:
            last.setdefault(customer_id, {})[since.date().replace(day=1)] = grade
    expected = [
        (customer_id, month, before, grade, ord(grade) - ord(before), grade > before)
        for customer_id, grades in sorted(last.items())
        for (_, before), (month, grade) in pairwise(sorted(grades.items()))
        if grade != before
    ]

    assert rows_of(loaded, MOVES) == expected
    assert {worse for *_, worse in expected} == {True, False}
