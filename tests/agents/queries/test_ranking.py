"""The worklist: a budget, a rank, and nobody lost."""

from __future__ import annotations

from tocsin.agents.queries.ranking import (
    BLOCKED,
    NOT_YET,
    OVER_BUDGET,
    Candidate,
    Worklist,
    rank_candidates,
    step_action,
)
from tocsin.streams.fold.collection_texts import FRIENDLY_NOTICE

TODAY = 20_000
FLOORS = {"CNY": 100_000, "EUR": 13_000}


def candidate(name: str, stake_minor: int = 1_000_000, **other: object) -> Candidate:
    """A customer whose reminder is due."""
    said = {"step": "REMINDER", "due_on": TODAY - 3, "why": "AGE", "currency": "CNY", "severity": 1}
    said |= other
    action = step_action(str(said["step"]))
    return Candidate(customer_id=name, stake_minor=stake_minor, action=action, **said)  # type: ignore[arg-type]  # a helper of this test


def listed(candidates: list[Candidate], budget: int = 12) -> Worklist:
    """The worklist of today."""
    return rank_candidates(candidates, TODAY, budget, FLOORS, "CNY")


def names(found: Worklist) -> list[str]:
    """Who is shown, in order."""
    return [one.customer_id for one in found.shown]


def test_c18_of_200_candidates_a_budget_of_12_shows_12_and_tells_188() -> None:
    everybody = [candidate(f"C{number:03d}", 200_000 + number * 1_000) for number in range(200)]

    today = listed(everybody)
    done = {one.customer_id for one in today.shown}
    tomorrow = listed([one for one in everybody if one.customer_id not in done])

    assert len(today.shown) == 12
    assert len(today.left) == 188
    assert {left.reason for left in today.left} == {OVER_BUDGET}
    assert names(today)[0] == "C199"
    assert names(tomorrow) == [left.candidate.customer_id for left in today.left[:12]]


def test_stake_times_severity_ranks_and_currencies_are_compared_by_their_floors() -> None:
    found = listed(
        [
            candidate("A", 2_000_000),
            candidate("B", 800_000, severity=3),
            candidate("C", 390_000, currency="EUR"),
            candidate("D", 2_000_000, currency="CHF"),
        ]
    )

    assert names(found) == ["C", "B", "A", "D"]


def test_who_waits_is_told_with_the_reason() -> None:
    found = listed(
        [
            candidate("A", due_on=TODAY + 1),
            candidate("B", is_blocked=True, why="PROMISE_PENDING", blocked_until=TODAY + 9),
            candidate("C", step="", why="LADDER_DONE"),
            candidate("D", due_on=TODAY),
            candidate("E", step="", rule="insolvency"),
        ]
    )

    assert names(found) == ["D", "E"]
    assert [(left.candidate.customer_id, left.reason) for left in found.left] == [
        ("A", NOT_YET),
        ("B", BLOCKED),
        ("C", BLOCKED),
    ]


def test_friendly_notices_come_last() -> None:
    found = listed(
        [candidate("A", 10**9, step=FRIENDLY_NOTICE, severity=4), candidate("B", 200_000)]
    )

    assert names(found) == ["B", "A"]


def test_a_budget_of_none_leaves_everybody_and_loses_nobody() -> None:
    assert len(listed([candidate("A"), candidate("B")], budget=0).left) == 2
