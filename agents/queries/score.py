"""A customer's score: every component's points, grade, strategy, classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from tocsin.streams.facts.texts import Text
from tocsin.streams.measures.scorecard import NOT_JUDGED, Scorecard, Strategy


class Part(Struct, frozen=True):
    """What one component gives; `points` None where it can't be judged.

    Points `is_on_top` are added to what the others make on their scale.
    """

    component: str
    label: Text
    points: int | None
    most: int
    is_on_top: bool


class Score(Struct, frozen=True):
    """A customer's score, or what is lacking for one; components of the policy in force.

    `chance`: of a thousand with such a score, in how many cases an invoice got more than 30 days
    past due within 90 days.
    """

    score: int | None
    grade: str
    chance: int | None
    parts: tuple[Part, ...]
    lacking: tuple[str, ...]
    strategy: Strategy | None
    abc: str
    rfm: str
    rfa: str


def score_of(row: Mapping[str, Any], card: Scorecard, as_of: int | None) -> Score:
    """Put together a row of v_scores, the policy's scorecard and the business date."""
    points = dict(zip(row["components"], row["points"], strict=True))
    known_days = 0 if as_of is None else as_of - row["known_since"]
    return Score(
        score=row["score"],
        grade=row["grade"],
        chance=card.chance(row["score"]),
        parts=tuple(
            Part(
                part.name,
                part.label,
                None if points[part.name] == NOT_JUDGED else points[part.name],
                part.most,
                part.is_on_top,
            )
            for part in card.components
            if part.name in points
        ),
        lacking=tuple(card.lacking(row["settled_items"], known_days)),
        strategy=card.strategies.get(row["grade"]),
        abc=row["abc"],
        rfm=row["rfm"],
        rfa=row["rfa"],
    )


def score_json(score: Score) -> dict[str, Any]:
    """A score as programs get it."""
    found: dict[str, Any] = to_builtins(score)
    return found
