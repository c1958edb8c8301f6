"""Laws of policies over random facts: stricter thresholds, many policies over one fold, chunks.

The facts are those of the desk's laws and, between them, everything that engagements bring.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book import ZONE, Book, audit
from tests.streams.decide.test_engine import random_lines
from tests.streams.decide.test_engine_laws import LAW, SEEDS, SHORT, a_fact_again_changes_nothing
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.sources import CUSTOMERS, ENGAGEMENTS
from tocsin.streams.ledger.documents import Summary
from tocsin.streams.ledger.ledger import Ledger

DAY_MS = 86_400_000
CONVENTION = Convention(zone=ZONE, horizon_days=60)
# What the policy in force decides of a customer; everything else is the fold's.
DECIDED = frozenset(
    {
        "abc",
        "episodes",
        "grade",
        "next_date",
        "open_episodes",
        "points",
        "repeat_on",
        "turns",
        "rfa",
        "rfm",
        "score",
        "score_on",
    }
)

ANSWERS = (events.WarningAcknowledged, events.VerdictGiven)

Fact = tuple[int, int, events.Event]


def rich_lines(seed: int, count: int) -> list[Fact]:
    """Random facts of every kind, with duplicates and endings before their beginnings."""
    chance = random.Random(seed)
    facts: list[Fact] = []
    for number, fact in enumerate(random_lines(seed, count)):
        facts.append(fact)
        if chance.random() < 0.6:
            facts.append(_engagement(chance, number, fact[0]))
            if chance.random() < 0.1:
                facts.append(facts[-1])
    return facts


def _engagement(chance: random.Random, number: int, at: int) -> Fact:
    customer = chance.choice(("A", "B", "C", "DD", "Ä"))
    name = str(chance.randrange(number // 4, number // 4 + 8))
    amount = chance.choice((1, 50_000, 2_000_000))
    occurred = at - chance.choice((0, 0, 2)) * DAY_MS
    on = at // DAY_MS
    rules = ("overdue-amount", "overdue-age", "late-share", "complaint-count")
    episode = derived_id(customer, chance.choice(rules), chance.choice(("", "CNY")), 1)
    made: list[events.CustomerEvent] = [
        events.DisputeOpened(
            customer, f"D{name}", occurred, name, amount, "CNY", "PRICE", chance.random() < 0.5
        ),
        events.DisputeResolved(
            customer, f"D{name}", occurred, chance.choice(("ACCEPTED", "REJECTED")), False
        ),
        events.OrderUpdated(customer, f"O{name}", occurred, amount, amount // 2, "CNY"),
        events.OrderChanged(customer, f"H{name}", occurred, "QUANTITY"),
        events.ServiceRecorded(customer, f"S{name}", occurred, 30, amount, "CNY"),
        events.ContactLogged(
            customer, f"T{name}", occurred, "PHONE", chance.choice(("ANSWERED", "UNANSWERED"))
        ),
        events.ContractBreached(customer, f"B{name}", occurred, "PAYMENT", chance.random() < 0.3),
        events.SatisfactionReported(customer, f"Y{name}", occurred, chance.randrange(1, 6)),
        events.RatingReported(customer, occurred, "AGENCY", chance.randrange(1, 10)),
        events.FinancialsReported(customer, occurred, on - 30, "CNY", amount, amount * 2, -amount),
        events.AlertRaised(customer, f"A{name}", occurred, "COURT"),
        events.AlertLifted(customer, f"A{name}", occurred),
        events.SilenceBegan(
            customer, f"Q{name}", occurred, "ann", "holiday", on + 9, chance.choice((None, *rules))
        ),
        events.SilenceEnded(customer, f"Q{name}", occurred, "ann", "back"),
        events.WarningAcknowledged(customer, episode, occurred, "ann"),
        events.VerdictGiven(
            customer,
            episode,
            occurred,
            chance.choice(("TRUE_ALARM", "FALSE_ALARM")),
            "ann",
            "looked",
        ),
    ]
    event = chance.choice(made)
    of_customers = ("Rating", "Financials", "Alert")
    topic = CUSTOMERS if type(event).__name__.startswith(of_customers) else ENGAGEMENTS
    return at, topic, event


def run(facts: list[Fact], document: str = SHORT) -> Book:
    """A book after the facts."""
    book = Book(document, CONVENTION)
    for at, topic, event in facts:
        book.take(at, topic, event)
    return book


@pytest.mark.parametrize("seed", range(5))
def test_random_facts_of_every_kind_are_mostly_accepted(seed: int) -> None:
    """The laws below would hold for a desk that refuses everything."""
    book = Book(SHORT, CONVENTION)
    outcomes = [(book.take(*fact), fact[2]) for fact in rich_lines(seed, 150)]
    refused = [(type(event).__name__, o) for o, event in outcomes if isinstance(o, Refusal)]
    assert refused == []


@LAW
@given(seed=SEEDS)
def test_each_fact_of_every_kind_again_at_once_changes_nothing(seed: int) -> None:
    a_fact_again_changes_nothing(rich_lines(seed, 100), run)


@LAW
@given(seed=SEEDS)
def test_money_is_conserved_after_facts_of_every_kind(seed: int) -> None:
    book = Book(SHORT, CONVENTION)
    for at, topic, event in rich_lines(seed, 100):
        book.take(at, topic, event)
        for ledger in book.desk.ledgers.values():
            audit(ledger)


@LAW
@given(
    seed=SEEDS,
    cuts=st.frozensets(st.integers(0, 200), max_size=20),
    restarts=st.frozensets(st.integers(0, 200), max_size=6),
    budget=st.integers(1, 4),
)
def test_any_split_of_the_stream_into_chunks_gives_the_same_decisions(
    seed: int, cuts: frozenset[int], restarts: frozenset[int], budget: int
) -> None:
    """A chunk is what lies between two `begin`s: many facts, one, or a part of a sweep."""
    facts = rich_lines(seed, 120)
    whole = run(facts)
    book = Book(SHORT, CONVENTION)
    book.desk.begin(budget)
    for number, (at, topic, event) in enumerate(facts):
        if number in cuts:
            _end_chunk(book, budget)
        if number in restarts:
            _end_chunk(book, budget)
            book.restart()
            book.desk.begin(budget)
        while book.desk.process(topic, 0, book.offset, at, event) is Step.UNFINISHED:
            _end_chunk(book, budget)
        book.offset += 1
    _end_chunk(book, budget)
    assert book.warnings == whole.warnings
    assert fold_of(book) == fold_of(whole)


def _end_chunk(book: Book, budget: int) -> None:
    book.warnings += book.desk.warnings
    book.write()
    book.desk.begin(budget)


def fold_of(book: Book) -> dict[str, Any]:
    """What a book's ledgers hold whatever the policy."""
    return {ledger.customer_id: _folded(ledger) for ledger in book.desk.ledgers.values()}


def _folded(ledger: Ledger) -> tuple[Any, ...]:
    summary = {
        name: msgspec.to_builtins(getattr(ledger.summary, name))
        for name in Summary.__struct_fields__
        if name not in DECIDED
    }
    parts = (ledger.invoices, ledger.funds, ledger.complaints, ledger.disputes, ledger.orders)
    return summary, [msgspec.msgpack.encode(part, order="deterministic") for part in parts]


@cache
def variants() -> tuple[str, ...]:
    """The default policy, one that is stricter throughout, and one with a single rule."""
    stricter = json.loads(SHORT)
    for rule in stricter["rules"]:
        raised(stricter, rule, 2)
    single = json.loads(SHORT)
    keep = ("overdue-age", "ledger-limit-exceeded")
    single["rules"] = {name: single["rules"][name] for name in keep}
    for rule in single["rules"].values():
        rule.pop("inhibited_by", None)
    documents = (json.loads(SHORT), stricter, single)
    return tuple(json.dumps({**plain, "version": n}) for n, plain in enumerate(documents, 1))


def raised(plain: dict[str, Any], name: str, factor: int) -> None:
    """Multiply every raise_at of a rule; grades, which have no such scale, stay."""
    rule = plain["rules"][name]
    rule["raise_at"] = {
        severity: _multiplied(threshold, factor) for severity, threshold in rule["raise_at"].items()
    }


def _multiplied(threshold: Any, factor: int) -> Any:
    if isinstance(threshold, list):
        return [_multiplied(entry, factor) for entry in threshold]
    number, unit = threshold.split(" ", 1)
    return threshold if unit == "grade" else f"{Decimal(number) * factor} {unit}"


@LAW
@given(seed=SEEDS)
def test_many_policies_over_one_fold_decide_as_each_in_a_run_of_its_own(seed: int) -> None:
    """Policies read the fold and never change it, so one fold serves them all.

    Acknowledgements and verdicts answer to the episodes of one policy and are left out.
    """
    facts = [fact for fact in rich_lines(seed, 100) if not isinstance(fact[2], ANSWERS)]
    books = [run(facts, document) for document in variants()]
    assert len({len(book.warnings) for book in books}) > 1, "the policies decide differently"
    for book in books[1:]:
        assert fold_of(book) == fold_of(books[0])


@settings(LAW, max_examples=15)
@given(seed=SEEDS, place=st.integers(5, 120))
def test_a_policy_goes_on_over_the_fold_of_another_as_over_its_own(seed: int, place: int) -> None:
    facts = [fact for fact in rich_lines(seed, 80) if not isinstance(fact[2], ANSWERS)]
    first, *others = [Book(document, CONVENTION) for document in variants()]
    for fact in facts[:place]:
        first.take(*fact)
    for document, book in zip(variants()[1:], others, strict=True):
        for fact in facts[:place]:
            book.take(*fact)
        adopt_fold(book, first)
        for fact in facts[place:]:
            book.take(*fact)
        alone = Book(document, CONVENTION)
        for fact in facts:
            alone.take(*fact)
        assert book.warnings == alone.warnings
        assert book.desk.state == alone.desk.state


def adopt_fold(book: Book, other: Book) -> None:
    """Go on over the stored fold of another book, with what the own policy decided so far."""
    for key, body in other.store.items():
        if key.startswith(b"\0"):
            continue  # the partition's own record and its policies
        if b"\0" not in key:
            assert body is not None
            own = msgspec.msgpack.decode(book.store[key] or b"", type=Summary)
            folded = msgspec.msgpack.decode(body, type=Summary)
            for name in DECIDED:
                setattr(folded, name, getattr(own, name))
            body = msgspec.msgpack.encode(folded)
        book.store[key] = body
    book.restart()


@cache
def plain_rules() -> tuple[str, ...]:
    """Rules that say nothing of quiet days: those look back on what was said, not on values."""
    return tuple(sorted(n for n, rule in json.loads(SHORT)["rules"].items() if "quiet" not in rule))


@settings(LAW, max_examples=80)
@given(seed=SEEDS, rule=st.sampled_from(plain_rules()), factor=st.integers(2, 3))
def test_raising_raise_at_never_adds_a_day_under_warning(seed: int, rule: str, factor: int) -> None:
    stricter = json.loads(SHORT)
    raised(stricter, rule, factor)
    mild, strict = Book(SHORT, CONVENTION), Book(json.dumps(stricter), CONVENTION)
    for at, topic, event in rich_lines(seed, 100):
        mild.take(at, topic, event)
        strict.take(at, topic, event)
        assert _open(strict, rule) <= _open(mild, rule)


def _open(book: Book, rule: str) -> set[tuple[str, str]]:
    """Customers and subjects under warning of a rule."""
    return {
        (ledger.customer_id, key)
        for ledger in book.desk.ledgers.values()
        for key, episode in ledger.summary.episodes.items()
        if episode.severity and key.startswith(f"{rule}:")
    }
