"""Laws of the desk over random facts: replay, slices, restarts, partitions, conservation."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.book import Book, audit
from tests.streams.decide.test_engine import random_lines
from tocsin.streams.decide import engine as desk
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.sources import ENGAGEMENTS

LAW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
DAY_MS = 86_400_000
Fact = tuple[int, int, events.Event]
Run = Callable[..., Book]
SEEDS = st.integers(min_value=0, max_value=10_000)


def run(
    facts: list[Fact],
    budget: int = 10**9,
    restarts: frozenset[int] = frozenset(),
    **convened: Any,
) -> Book:
    """A book after the facts under a convention with these settings, restarted before some."""
    convention = Convention(zone="Asia/Shanghai", horizon_days=60, **convened)
    book = Book(SHORT, convention)
    for number, (at, topic, event) in enumerate(facts):
        if number in restarts:
            book.restart()
        book.take(at, topic, event, budget)
    return book


def short_document() -> str:
    """The default policy with windows that fit a horizon of 60 days."""
    from tocsin.schemas.policies.policy_file import default_policy_text, read_policy

    text = default_policy_text()
    for window in ("90", "180", "360", "365"):
        text = text.replace(f"window: {window} days", "window: 40 days")
    text = text.replace("window: 120 days", "window: 25 days")
    for old, new in (("minimum: 10 count", "minimum: 3 count"), ("LOW: 60 days", "LOW: 12 days")):
        text = text.replace(old, new)
    text = text.replace("clear_at: 30 days", "clear_at: 6 days")
    text = text.replace("minimum: 6 count", "minimum: 3 count")
    policy, document, problems = read_policy(text, 60)
    assert policy is not None, problems
    return document


SHORT = short_document()


@LAW
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 160), max_size=8))
def test_a_restart_at_any_point_goes_on_byte_for_byte(seed: int, cuts: frozenset[int]) -> None:
    a_restart_changes_nothing(random_lines(seed, 150), cuts)


def promising_lines(seed: int, count: int) -> list[Fact]:
    """Random facts with promises and plans among them, revised, withdrawn, ended, out of order."""
    source = Random(seed)
    facts = []
    for at, topic, fact in random_lines(seed, count):
        facts.append((at, topic, fact))
        if isinstance(fact, events.WentLive) or source.random() < 0.5:
            continue
        who, name = source.choice("AB"), str(source.randrange(6))
        occurred = at - source.choice((0, 0, 0, 3, 9)) * DAY_MS
        due = occurred // DAY_MS + source.choice((0, 3, 20))
        amount, currency = source.choice((1, 50_000, 2_000_000)), source.choice(("CNY", "EUR"))
        about = tuple(source.sample([str(number) for number in range(40)], source.randrange(4)))
        parts = (events.Instalment(due, amount), events.Instalment(due + 9, amount))
        process = source.choice(
            (
                events.PromiseMade(who, name, occurred, amount, currency, due, about),
                events.PromiseMade(who, name, occurred, amount, currency, due),
                events.PromiseWithdrawn(who, name, occurred, "A. Clerk", "a mistake"),
                events.PlanAgreed(who, name, occurred, currency, parts, "A. Clerk"),
                events.PlanEnded(who, name, occurred, "CANCELLED", "A. Clerk", "not kept"),
            )
        )
        facts.append((at, ENGAGEMENTS, process))
    return facts


@pytest.mark.parametrize("seed", range(6))
def test_money_is_shared_out_among_promises_as_if_anew_after_every_fact(seed: int) -> None:
    facts = promising_lines(seed, 100)
    whole, parts = run(facts), run(facts, restarts=frozenset(range(len(facts))))
    assert parts.warnings == whole.warnings
    assert parts.log == whole.log


@given(seed=SEEDS)
@LAW
def test_ledgers_frozen_at_every_chance_decide_the_same(seed: int) -> None:
    facts = random_lines(seed, 150)
    with patch.object(desk, "REST_DAYS", 0):
        frozen = run(facts)
    whole = run(facts)
    assert frozen.warnings == whole.warnings
    assert frozen.log == whole.log
    assert whole.desk.ledgers.frozen_count == 0


def test_ledgers_that_nobody_asks_for_are_frozen() -> None:
    with patch.object(desk, "REST_DAYS", 0):
        assert run(random_lines(4, 150)).desk.ledgers.frozen_count > 0


@LAW
@given(seed=SEEDS, budget=st.integers(1, 3))
def test_any_split_of_sweeps_into_slices_gives_the_same_decisions(seed: int, budget: int) -> None:
    facts = random_lines(seed, 120)
    whole, parts = run(facts), run(facts, budget)
    assert parts.warnings == whole.warnings
    for name, ledger in whole.desk.ledgers.items():
        assert msgspec.msgpack.encode(parts.desk.ledgers[name].summary) == msgspec.msgpack.encode(
            ledger.summary
        )


@LAW
@given(seed=SEEDS)
def test_money_is_conserved_after_every_fact(seed: int) -> None:
    convention = Convention(zone="Asia/Shanghai", horizon_days=60)
    book = Book(SHORT, convention)
    for at, topic, event in random_lines(seed, 150):
        book.take(at, topic, event)
        for ledger in book.desk.ledgers.values():
            audit(ledger)


@LAW
@given(seed=SEEDS)
def test_money_is_conserved_and_restarts_are_exact_beyond_the_document_limit(seed: int) -> None:
    totals_hold_in_aggregate(random_lines(seed, 150), documents_max=6)


@LAW
@given(seed=SEEDS)
def test_each_fact_again_at_once_changes_nothing(seed: int) -> None:
    a_fact_again_changes_nothing(random_lines(seed, 120))


def strip(warning: msgspec.Struct) -> tuple[object, ...]:
    """A warning without the positions of its evidence."""
    plain = msgspec.to_builtins(warning)
    plain["evidence"] = tuple(entry["id"] for entry in plain["evidence"])
    return tuple(sorted(plain.items()))


def a_restart_changes_nothing(facts: list[Fact], cuts: frozenset[int], run: Run = run) -> None:
    """Assert that a book which is restarted before these facts goes on byte for byte."""
    whole, parts = run(facts), run(facts, restarts=cuts)
    assert parts.warnings == whole.warnings
    assert parts.log == whole.log


def a_fact_again_changes_nothing(facts: list[Fact], run: Run = run) -> None:
    """Assert that each fact again at once warns of nothing else."""
    once, twice = run(facts), run([fact for fact in facts for _ in range(2)])
    assert list(map(strip, twice.warnings)) == list(map(strip, once.warnings))


def totals_hold_in_aggregate(facts: list[Fact], documents_max: int) -> None:
    """Assert that beyond the document limit money is conserved and restarts are exact."""
    whole = run(facts, documents_max=documents_max)
    restarts = frozenset(range(0, len(facts), 7))
    assert run(facts, documents_max=documents_max, restarts=restarts).log == whole.log
    for ledger in whole.desk.ledgers.values():
        audit(ledger)


@LAW
@given(seed=SEEDS)
def test_looking_only_at_what_was_stirred_misses_nothing(seed: int) -> None:
    """After every fact and day, assessing everything from scratch finds nothing to say."""
    convention = Convention(zone="Asia/Shanghai", horizon_days=60)
    book = Book(SHORT, convention)
    for at, topic, event in random_lines(seed, 100):
        book.take(at, topic, event)
        assert book.overlooked() == []


@LAW
@given(seed=SEEDS)
def test_decisions_do_not_depend_on_how_customers_are_spread(seed: int) -> None:
    facts = sorted(random_lines(seed, 150), key=lambda fact: fact[0])
    together, apart = DecisionDigest(), DecisionDigest()
    whole = run(facts)
    last = facts[-1][0]
    for warning in whole.warnings:
        together.add(warning)
    for names in ({"A", "DD"}, {"B", "C", "Ä"}):
        mine = [f for f in facts if getattr(f[2], "customer_id", None) in names | {None}]
        first = (facts[0][0], 1, events.DayClosed(0, "feed"))
        for warning in run([first, *mine, (last, 1, events.DayClosed(0, "feed"))]).warnings:
            apart.add(warning)
    assert together.count == apart.count
    assert together.hexdigest() == apart.hexdigest()


def test_the_decision_digest_sees_every_change_but_positions() -> None:
    book = run(random_lines(3, 150))
    assert len(book.warnings) > 20

    def digest_of(warnings: list[object]) -> str:
        digest = DecisionDigest()
        for warning in warnings:
            digest.add(warning)  # type: ignore[arg-type]  # changed copies are of the same type
        return digest.hexdigest()

    whole = digest_of(list(book.warnings))
    moved = [
        msgspec.structs.replace(
            warning,
            evidence=tuple(msgspec.structs.replace(e, offset=7) for e in warning.evidence),
        )
        for warning in book.warnings
    ]
    assert digest_of(list(moved)) == whole
    assert digest_of(list(book.warnings[:-1])) != whole
    other = [*book.warnings[:-1], msgspec.structs.replace(book.warnings[-1], value=-1)]
    assert digest_of(list(other)) != whole


@pytest.mark.parametrize("seed", range(3))
def test_random_facts_are_mostly_accepted(seed: int) -> None:
    """The laws above would hold for a desk that refuses everything."""
    book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
    outcomes = [book.take(*fact) for fact in random_lines(seed, 150)]
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 0
