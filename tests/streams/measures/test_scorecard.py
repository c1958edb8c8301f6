"""The score: points of components, least evidence, grades with hysteresis, reviews, and holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.book import CUSTOMER, Book, day, default_document, instant
from tests.streams.decide.test_engine import random_lines
from tests.streams.decide.test_engine_laws import LAW, SEEDS, SHORT
from tocsin.agents.settings.formats import measure
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention, epoch_day_text
from tocsin.streams.ledger.documents import Summary
from tocsin.streams.ledger.ledger import ALL, Ledger
from tocsin.streams.measures.scorecard import GRADES, NOT_JUDGED, Scorecard, Scorer, Steps
from tocsin.streams.measures.severity import Ladder
from tocsin.streams.policy.reading import load_policy

PLAIN = yaml.safe_load(default_policy_text())


def document(**sections: Any) -> str:
    """The default policy with other sections; None leaves one out."""
    plain = {**PLAIN, **sections}
    if plain.get("score") is None:
        unscored = ("grade", "score", "value_fall", "review_overdue")
        rules = {n: r for n, r in plain["rules"].items() if r["measure"] not in unscored}
        plain = {**plain, "rules": rules}
    plain = {key: value for key, value in plain.items() if value is not None}
    _, text, problems = read_policy(yaml.safe_dump(plain, allow_unicode=True), 400)
    assert problems == []
    return text


def problems_of(**sections: Any) -> dict[str, str]:
    """Problems by their path of the default policy with other sections."""
    _, _, problems = read_policy(yaml.safe_dump({**PLAIN, **sections}, allow_unicode=True), 400)
    return {problem.path: problem.message for problem in problems}


def with_component(**changes: Any) -> dict[str, Any]:
    """The section score with one component changed: arrears-age."""
    parts = PLAIN["score"]["components"]
    changed = {**parts["arrears-age"], **changes}
    return {**PLAIN["score"], "components": {**parts, "arrears-age": changed}}


def with_habit(**changes: Any) -> dict[str, Any]:
    """The section score with the component paid-late changed; None leaves a field out."""
    parts = PLAIN["score"]["components"]
    changed = {key: v for key, v in {**parts["paid-late"], **changes}.items() if v is not None}
    return {**PLAIN["score"], "components": {**parts, "paid-late": changed}}


def needing(settled: int, known: int) -> str:
    """The default policy with other least evidence for a score."""
    minimum = {"settled": f"{settled} count", "known": f"{known} days"}
    return document(score={**PLAIN["score"], "minimum": minimum})


def card(text: str = "") -> Scorecard:
    """The scorecard of a policy; of the default one without a text."""
    policy, problems = load_policy(text or default_document(), 400)
    assert policy is not None, problems
    assert policy.scorecard is not None
    return policy.scorecard


PAID = [
    line
    for number in range(1, 4)
    for line in (
        f"2025-01-0{number} invoice S{number} 1,000.00 CNY due 2025-01-2{number}",
        f"2025-01-2{number} payment P{number} 1,000.00 CNY for S{number}",
    )
]
"""Three invoices settled on the day: enough evidence. With the prior, which weighs as four
invoices, 28 % late give 13 points, 11 % by more than five days 2, 1 % by more than thirty 1: 16 of
100."""


def standing(book: Book) -> tuple[int | None, str]:
    """Score and grade of the customer."""
    return book.ledger.summary.score, book.ledger.summary.grade


def test_without_the_least_number_of_settled_invoices_there_is_no_score() -> None:
    book = Book()
    book.add(*PAID[:-1], "2025-06-30 close")
    assert standing(book) == (None, "")
    assert card().lacking(2, 180) == ["settled invoices: 2 of 3"]

    book.add("2025-07-01 payment P3 1,000.00 CNY for S3")
    assert standing(book)[0] is not None


def test_before_the_least_number_of_days_known_there_is_no_score() -> None:
    book = Book(needing(3, 60))
    book.add(*PAID, "2025-03-01 close")
    assert standing(book) == (None, "")
    assert card(needing(3, 60)).lacking(3, 59) == ["days known: 59 of 60"]

    book.add("2025-03-02 05:59 close")
    assert standing(book) == (None, "")
    book.add("2025-03-02 06:00 close")
    assert day("2025-03-02") - book.ledger.summary.known_since == 60
    assert standing(book) == (16, "A")


def test_a_reversal_that_takes_the_evidence_takes_the_score() -> None:
    book = Book()
    book.add(*PAID, "2025-04-01 close")
    assert standing(book) == (16, "A")

    book.add("2025-04-02 reverse P3")

    assert standing(book) == (None, "")
    assert book.ledger.summary.points == []


def test_both_kinds_of_missing_evidence_are_named() -> None:
    scorecard = card(needing(3, 60))
    assert scorecard.lacking(0, 10) == ["settled invoices: 0 of 3", "days known: 10 of 60"]
    assert scorecard.lacking(3, 60) == []


@pytest.mark.parametrize(("value", "points"), [(0, 0), (9, 0), (10, 2), (11, 2), (20, 5), (99, 5)])
def test_a_step_is_reached_at_equality(value: int, points: int) -> None:
    assert Steps(Ladder((), 10, 10), (10, 20), (2, 5)).points_for(value) == points


def test_a_component_gives_its_points_from_the_day_on_which_its_step_is_reached() -> None:
    book = Book()
    book.add(*PAID, "2025-03-10 invoice LATE 90,000.00 CNY due 2025-04-09")
    places = {part.name: place for place, part in enumerate(card().components)}
    seen = {}
    for date in (
        "2025-04-10",
        "2025-04-11",
        "2025-04-12",
        "2025-04-13",
        "2025-04-17",
        "2025-04-18",
    ):
        book.add(f"{date} 05:59 close")
        seen[date] = book.ledger.summary.points[places["arrears-age"]]

    # At 05:59 the day before is still open.
    assert seen == {
        "2025-04-10": 0,
        "2025-04-11": 3,
        "2025-04-12": 3,
        "2025-04-13": 4,
        "2025-04-17": 4,
        "2025-04-18": 6,
    }


def test_a_missing_limit_takes_no_part_and_a_limit_that_is_overdrawn_is_added_on_top() -> None:
    book = Book()
    book.add(*PAID, "2025-03-10 invoice LATE 90,000.00 CNY due 2025-04-09", "2025-06-01 close")
    summary = book.ledger.summary
    by_name = dict(zip((part.name for part in card().components), summary.points, strict=True))

    assert by_name["credit-utilisation"] == NOT_JUDGED
    assert summary.score == 16 + 34 + 8 + 3  # most of what was ever sold, 53 days, and never before

    book.add("2025-06-02 limit 0 CNY")
    by_name = dict(zip((part.name for part in card().components), summary.points, strict=True))
    assert by_name["credit-utilisation"] == 3
    assert summary.score == 16 + 34 + 8 + 3 + 3


SMALL = {
    "late-share": {
        "measure": "late_share",
        "last": "4 count",
        "minimum": "1 count",
        "points": {"50 percent": "20 points"},
        "text": {"en": "paid late", "zh": "迟付"},
    },
    "trend": {
        "measure": "delay_over_habit",
        "last": "3 count",
        "baseline": "5 count",
        "points": {"1 days": "30 points"},
        "text": {"en": "later than usual", "zh": "推迟"},
    },
    "bounced": {
        "measure": "event_count",
        "of": "bounced",
        "window": "90 days",
        "on_top": True,
        "points": {"1 count": "7 points"},
        "text": {"en": "bounced", "zh": "退票"},
    },
}
"""A scale of 50 points, 20 of them without a trend, and 7 on top."""


@pytest.mark.parametrize(
    ("points", "score"),
    [
        ((NOT_JUDGED, 0, NOT_JUDGED), 0),
        ((NOT_JUDGED, 20, NOT_JUDGED), 100),  # 20 of the 20 that can be judged
        ((NOT_JUDGED, 20, 0), 40),  # 20 of 50
        ((0, 20, 0), 40),
        ((7, 20, 0), 47),
        ((7, 20, 30), 100),
        ((7, NOT_JUDGED, NOT_JUDGED), 7),
        ((NOT_JUDGED, NOT_JUDGED, NOT_JUDGED), 0),
    ],
)
def test_the_scale_is_what_can_be_judged_and_what_is_on_top_only_adds(
    points: tuple[int, int, int], score: int
) -> None:
    scorecard = card(document(score={**PLAIN["score"], "components": SMALL}))

    assert [part.name for part in scorecard.components] == ["bounced", "late-share", "trend"]
    assert scorecard.score(list(points)) == score


def test_a_warning_says_which_components_could_not_be_judged() -> None:
    book = Book(document(score={**PLAIN["score"], "components": SMALL}))
    late = [line.replace("01-2", "02-2", 1) if "payment" in line else line for line in PAID]

    warnings = [w for w in book.add(*sorted(late), "2025-04-01 close") if w.rule == "risk-grade"]

    assert warnings[-1].text_en == (
        f"{CUSTOMER} is in grade E with 100 points: paid late 20/20; not judged: later than usual."
    )
    assert warnings[-1].text_zh.endswith("风险分100：迟付20/20；未评：推迟。")


def paying(delay: int, every: int = 1) -> list[str]:
    """Twenty invoices five days apart, one of `every` so many days late, others early."""
    first, lines = day("2025-01-20"), []
    for number in range(20):
        due = first + 5 * number
        paid = due + (delay if number % every == 0 else -1)
        lines.append((due - 15, f"invoice I{number} 1,000.00 CNY due {epoch_day_text(due)}"))
        lines.append((paid, f"payment P{number} 1,000.00 CNY for I{number}"))
    return [f"{epoch_day_text(on)} {line}" for on, line in sorted(lines)]


@pytest.mark.parametrize(
    ("lines", "score", "grade"),
    [
        (paying(0), 6, "A"),
        (paying(6, every=2), 27, "B"),
        (paying(8), 44, "C"),
        (paying(35), 54, "D"),
    ],
    ids=["on the day", "half late", "8 days late", "35 days late"],
)
def test_a_habit_of_paying_late_is_enough_for_grade_d(
    lines: list[str], score: int, grade: str
) -> None:
    book = Book()
    book.add(*lines, "2025-08-01 close")

    assert standing(book) == (score, grade)


def test_the_worst_grade_is_reached_by_who_owes_much_that_is_past_due() -> None:
    book = Book()
    book.add(*paying(20)[:-12], "2025-05-10 close")

    assert standing(book) == (84, "E")


@pytest.mark.parametrize(
    ("score", "chance"), [(None, None), (0, 67), (9, 67), (10, 85), (100, 930)]
)
def test_a_score_stands_for_a_share_of_a_thousand(score: int | None, chance: int | None) -> None:
    assert card().chance(score) == chance


def test_without_a_fitted_table_there_is_no_chance() -> None:
    score = {key: value for key, value in PLAIN["score"].items() if key != "chance"}

    assert card(document(score=score)).chance(50) is None


def test_state_of_a_version_that_counted_no_habit_goes_on_with_the_items_that_it_keeps() -> None:
    lines = paying(8)
    whole, upgraded = Book(), Book()
    whole.add(*lines)
    upgraded.add(*lines[:30])
    older = msgspec.msgpack.decode(upgraded.store[CUSTOMER.encode()], type=Summary)
    older.figures = {name: n for name, n in older.figures.items() if not name.startswith("paid")}
    assert older.figures != upgraded.ledger.summary.figures
    upgraded.store[CUSTOMER.encode()] = msgspec.msgpack.encode(older)

    upgraded.restart()
    upgraded.add(*lines[30:])

    assert standing(upgraded) == standing(whole)
    assert upgraded.ledger.summary.figures == whole.ledger.summary.figures


@pytest.mark.parametrize(
    ("before", "score", "after"),
    [
        ("A", 23, "A"),
        ("A", 24, "B"),
        ("B", 22, "B"),
        ("B", 21, "A"),
        ("B", 41, "B"),
        ("B", 42, "C"),
        ("C", 39, "C"),
        ("C", 38, "B"),
        ("E", 72, "E"),
        ("E", 71, "D"),
        ("E", 0, "A"),
        ("A", 100, "E"),
    ],
)
def test_a_grade_begins_at_raise_at_and_holds_down_to_clear_at(
    before: str, score: int, after: str
) -> None:
    assert GRADES[card().grades.level(score, GRADES.index(before))] == after


def test_every_customer_is_counted_again_on_its_review_day_and_classified() -> None:
    book = Book()
    book.add("2025-01-01 invoice A 400,000.00 CNY due 2025-12-31", "2025-01-31 07:00 close")
    assert book.ledger.summary.rfm == "313"  # 30 days ago, 1 invoice

    book.add("2025-03-02 05:59 close")
    assert book.ledger.summary.rfm == "313"
    book.add("2025-03-02 07:00 close")
    assert book.ledger.summary.rfm == "213"


def test_of_whom_nothing_is_remembered_any_more_the_last_review_holds() -> None:
    book = Book()
    book.add("2025-01-01 invoice A 400.00 CNY due 2025-01-31", "2025-01-20 payment P 400.00 CNY")
    book.add(*(f"{day} close" for day in ("2025-12-31", "2026-06-30", "2026-12-31")))
    summary = book.ledger.summary
    assert summary.document_count == 0
    assert summary.rfm == "111"
    assert summary.next_date == summary.repeat_on  # of an episode that is still open

    book.add("2027-01-02 invoice B 400,000.00 CNY due 2027-12-31")
    assert summary.next_date < summary.repeat_on
    book.add("2027-03-01 07:00 close")
    assert book.ledger.summary.rfm == "213"


def test_a_worse_grade_is_a_warning_with_the_points_behind_it_and_the_strategy() -> None:
    book = Book()

    warnings = [w for w in book.add(*paying(20), "2025-08-01 close") if w.rule == "risk-grade"]

    assert [(w.transition, w.severity, w.value) for w in warnings] == [
        ("RAISED", "LOW", 4),  # E, after two weeks of D
        ("ESCALATED", "MEDIUM", 4),
        ("EASED", "LOW", 3),
        ("ESCALATED", "MEDIUM", 4),
        ("EASED", "LOW", 3),
        ("CLEARED", "LOW", 2),  # all is paid
    ]
    text = warnings[0]
    assert text.text_en == (
        f"{CUSTOMER} is in grade E with 78 points: arrears 34/34, paid late 32/40, paid more than "
        "5 days late 7/8, age of arrears 4/8, paid more than 30 days late 1/10."
    )
    assert text.text_zh.endswith(
        "风险分78：欠款逾期34/34、迟付比例32/40、迟付超过5天7/8、欠款账龄4/8、迟付超过30天1/10。"
    )
    assert text.action_en == card().strategies["E"].text.en
    assert text.action_zh == card().strategies["E"].text.zh
    assert [entry.id for entry in text.evidence] == ["I4", "I3", "I2", "I1", "I0"]


def test_a_policy_change_counts_anew_and_without_a_scorecard_nothing_is_left() -> None:
    book = Book()
    book.add(*PAID, "2025-03-10 invoice LATE 90,000.00 CNY due 2025-04-09", "2025-07-20 close")
    assert standing(book) == (61, "D")

    points = {"1 days": "5 points"}
    book.publish(document(version=2, score=with_component(points=points)), instant("2025-07-21"))
    assert standing(book) == (60, "D")  # 55 of 97, and 3 on top

    nothing = dict.fromkeys(("score", "grades", "strategy", "classes"))
    book.publish(document(version=3, **nothing), instant("2025-07-22"))
    summary = book.ledger.summary
    assert standing(book) == (None, "")
    assert (summary.points, summary.abc, summary.rfm, summary.rfa) == ([], "", "", "")


def test_while_a_source_is_held_the_score_stays_as_it_is() -> None:
    book = Book()
    book.add(*PAID, "2025-03-10 invoice LATE 90,000.00 CNY due 2025-04-09", "2025-04-12 close")
    before = standing(book)
    for _ in range(50):
        book.desk.count_refusal(4, book.offset, "ID_EMPTY")
        book.offset += 1
    book.add("2025-07-20 close")
    assert standing(book) == before

    book.take(
        instant("2025-07-21"),
        1,
        events.HoldReleased(topic_id=4, until_offset=0, drain=False, author="A", reason="mended"),
    )
    assert standing(book)[0] == 61


@LAW
@given(seed=SEEDS, budget=st.integers(1, 3), cuts=st.frozensets(st.integers(0, 120), max_size=4))
def test_scores_do_not_depend_on_slices_and_restarts(
    seed: int, budget: int, cuts: frozenset[int]
) -> None:
    convention = Convention(zone="Asia/Shanghai", horizon_days=60)
    whole, parts = Book(EASY, convention), Book(EASY, convention)
    for number, (at, topic, event) in enumerate(random_lines(seed, 120)):
        whole.take(at, topic, event)
        if number in cuts:
            parts.restart()
        parts.take(at, topic, event, budget)

    assert parts.warnings == whole.warnings
    for name, ledger in whole.desk.ledgers.items():
        body = msgspec.msgpack.encode(ledger.summary)
        assert msgspec.msgpack.encode(parts.desk.ledgers[name].summary) == body


@LAW
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 120), max_size=4))
def test_counting_only_what_was_affected_equals_counting_everything(
    seed: int, cuts: frozenset[int]
) -> None:
    """After every fact and day, and through restarts, nothing is stale."""
    book = Book(EASY, Convention(zone="Asia/Shanghai", horizon_days=60))
    has_scores = False
    for number, (at, topic, event) in enumerate(random_lines(seed, 120)):
        if number in cuts:
            book.restart()
        book.take(at, topic, event)
        for ledger in book.desk.ledgers.values():
            kept = ledger.summary
            has_scores = has_scores or kept.score is not None
            body = msgspec.msgpack.encode(kept)
            copy = Ledger(ledger.customer_id, msgspec.msgpack.decode(body, type=Summary))
            for name in ("invoices", "funds", "complaints", "disputes", "orders", "entries"):
                setattr(copy, name, getattr(ledger, name))
            copy.index()
            copy.affected = ALL
            policy = book.desk._policy
            assert policy is not None
            scorer = Scorer(policy.scorecard)
            scorer.update(copy, ALL, book.desk.state.business_date)
            scored = copy.summary
            assert (scored.score, scored.grade, scored.points) == (
                kept.score,
                kept.grade,
                kept.points,
            )
    assert has_scores


def easy() -> str:
    """A short policy that asks for hardly any evidence."""
    plain = msgspec.json.decode(SHORT)
    plain["score"]["minimum"] = {"settled": "1 count", "known": "2 days"}
    return msgspec.json.encode(plain, order="sorted").decode()


EASY = easy()


@pytest.mark.parametrize(
    ("sections", "path", "message"),
    [
        ({"score": None}, "score", "is missing or null"),
        ({"grades": None}, "grades", "is missing or null"),
        (
            {"score": {**PLAIN["score"], "chance": {}}},
            "score.chance",
            "must be a list of steps",
        ),
        (
            {"score": {**PLAIN["score"], "chance": [{"from": "0 points", "share": "101 percent"}]}},
            "score.chance.0.share",
            "must be a share of a thousand",
        ),
        (
            {
                "score": {
                    **PLAIN["score"],
                    "chance": [
                        {"from": "0 points", "share": "9 percent"},
                        {"from": "5 points", "share": "8 percent"},
                    ],
                }
            },
            "score.chance",
            "must rise",
        ),
        ({"score": {**PLAIN["score"], "review_every": 30}}, "score.review_every", "write 30 days"),
        (
            {"score": with_component(points={"1 days": 5})},
            "score.components.arrears-age.points.1 days",
            "write 5 points",
        ),
        (
            {"score": with_component(points={"1": "5 points"})},
            "score.components.arrears-age.points.1",
            "must be a number and its unit",
        ),
        (
            {"score": with_component(points={"1 days": "5 points", "9 days": "5 points"})},
            "score.components.arrears-age.points",
            "must give more points the higher",
        ),
        (
            {"score": with_component(points={"1 days": "99 points"})},
            "score.components",
            "points together: at most 100",
        ),
        ({"score": with_component(points={})}, "score.components.arrears-age.points", "no points"),
        (
            {"score": with_component(on_top="yes")},
            "score.components.arrears-age.on_top",
            "must be true or false",
        ),
        (
            {"score": with_habit(grace="7 days")},
            "score.components.paid-late.grace",
            "use one of 0, 5, 15, 30",
        ),
        (
            {"score": with_habit(prior=None)},
            "score.components.paid-late",
            "needs both prior and prior_count",
        ),
        (
            {"score": with_habit(prior="3 days")},
            "score.components.paid-late.prior",
            "such as 3 percent",
        ),
        (
            {"score": with_component(measure="score")},
            "score.components.arrears-age.measure",
            "is unknown",
        ),
        ({"score": with_component(window="3 days")}, "score.components.arrears-age.window", "unkn"),
        (
            {
                "grades": {
                    **PLAIN["grades"],
                    "E": {"raise_at": "101 points", "clear_at": "98 points"},
                }
            },
            "grades.E.raise_at",
            "is never reached",
        ),
        (
            {
                "grades": {
                    **PLAIN["grades"],
                    "C": {"raise_at": "20 points", "clear_at": "20 points"},
                }
            },
            "grades.C",
            "must lie above grade B",
        ),
        (
            {"grades": {**PLAIN["grades"], "B": {"raise_at": "5 points", "clear_at": "6 points"}}},
            "grades.B.clear_at",
            "would end as it begins",
        ),
        (
            {"strategy": {**PLAIN["strategy"], "A": {**PLAIN["strategy"]["A"], "hold": "SOME"}}},
            "strategy.A.hold",
            "must be NONE, ORDERS, DELIVERIES",
        ),
        (
            {"classes": {"abc": {**PLAIN["classes"]["abc"], "B": ["9000000 CNY"]}}},
            "classes.abc",
            "must rise",
        ),
        (
            {"classes": {"rfm": {**PLAIN["classes"]["rfm"], "recency": ["1 days"]}}},
            "classes.rfm.recency",
            "a list of 4 cut points",
        ),
        (
            {"classes": {"abc": {**PLAIN["classes"]["abc"], "window": "500 days"}}},
            "classes.abc.window",
            "exceeds what ledgers remember",
        ),
    ],
)
def test_what_is_wrong_with_a_score_is_told_with_its_path(
    sections: dict[str, Any], path: str, message: str
) -> None:
    found = problems_of(**sections)

    assert message in found[path]


def test_grades_and_classes_need_a_score() -> None:
    plain = {key: value for key, value in PLAIN.items() if key != "score"}
    _, _, problems = read_policy(yaml.safe_dump(plain, allow_unicode=True), 400)

    found = {problem.path: problem.message for problem in problems}
    assert found["grades"] == found["classes"] == found["strategy"] == "needs the section score"
    assert "is unknown" in found["rules.risk-grade.measure"]


SCORES = Path(__file__).parents[2] / "golden" / "scores"


@pytest.mark.parametrize("path", sorted(SCORES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_ledger_has_exactly_this_score(path: Path) -> None:
    """Golden: facts as text, a line of dashes, the card of score, components and classes."""
    facts, _, expected = path.read_text(encoding="utf-8").partition("\n----\n")
    book = Book()
    book.add(*(line for line in facts.splitlines() if line.strip() and not line.startswith("#")))

    assert card_of(book) == expected.splitlines()


def card_of(book: Book) -> list[str]:
    """A customer's score as a controller reads it: each component with value and points."""
    scorecard, ledger, as_of = card(), book.ledger, book.desk.state.business_date
    summary = ledger.summary
    lines = []
    for part, points in zip(scorecard.components, summary.points, strict=True):
        values = []
        for subject in sorted(summary.accounts) if part.measure.by_currency else ("",):
            steps = part.steps.get("") or part.steps[subject]
            value, _ = part.measure.read(ledger, subject, as_of, part.parameters, steps.ladder)
            values.append("not judged" if value is None else measure(value, part.measure.unit))
        lines.append(f"{part.name:20} {max(points, 0):2} of {part.most:2}  {', '.join(values)}")
    lines.append(f"{'score':20} {summary.score:2}         grade {summary.grade}")
    strategy = scorecard.strategies[summary.grade]
    lines.append(
        f"strategy: limit {strategy.limit}, terms {strategy.terms_days} days, prepayment "
        f"{strategy.prepayment // 100} %, hold {strategy.hold}, review {strategy.review_days} days"
    )
    lines.append(f"classes: ABC {summary.abc}, RFM {summary.rfm}, RFA {summary.rfa}")
    return lines


def test_there_is_a_worked_example() -> None:
    assert list(SCORES.glob("*.txt"))
