"""Score cards: what people read of a customer's score, and of how a policy scores."""

from __future__ import annotations

from typing import Any

import pytest

from tests.book import day, default_document
from tocsin.agents.commands.cli import run_command
from tocsin.agents.commands.customer_cards import show_score
from tocsin.agents.queries.score import Score, score_of
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.exits import Exit
from tocsin.streams.measures.scorecard import NOT_JUDGED, Scorecard
from tocsin.streams.policy.reading import load_policy

TODAY = day("2025-06-30")


@pytest.fixture
def card() -> Scorecard:
    policy, _ = load_policy(default_document(), 400)
    assert policy is not None
    assert policy.scorecard is not None
    return policy.scorecard


def score(card: Scorecard, given: dict[str, int], **changes: Any) -> Score:
    """A customer with points by component; the others give none."""
    row = {
        "score": sum(points for points in given.values() if points > 0),
        "grade": "C",
        "components": [part.name for part in card.components],
        "points": [given.get(part.name, 0) for part in card.components],
        "abc": "B",
        "rfm": "345",
        "rfa": "",
        "known_since": TODAY - 100,
        "settled_items": 12,
    }
    return score_of({**row, **changes}, card, TODAY)


def test_a_score_shows_points_by_component_strategy_and_classes(
    card: Scorecard, capsys: pytest.CaptureFixture[str]
) -> None:
    found = score(card, {"arrears": 20, "paid-late": 7, "delay-trend": NOT_JUDGED, "alerts": 3})

    show_score(Terminal(), found, "en")

    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Score", "30", "of", "100,", "grade", "C"] in shown
    assert ["arrears", "20", "34"] in shown
    assert ["court", "and", "registry", "alerts", "3", "+5"] in shown
    assert "not judged" in " ".join(word for line in shown for word in line)
    assert ["prepayment", "20.0", "%"] in shown
    assert ["RFM", "345"] in shown
    said = "30 days past due 18.7 % of such customers within 90 days"
    assert said in [" ".join(line) for line in shown]
    assert not any(line[:1] == ["RFA"] for line in shown)


def test_a_score_is_shown_in_chinese(card: Scorecard, capsys: pytest.CaptureFixture[str]) -> None:
    show_score(Terminal(), score(card, {"arrears": 20}), "zh")

    shown = capsys.readouterr().out
    assert "欠款逾期" in shown
    assert card.strategies["C"].text.zh in shown


def test_without_enough_evidence_what_is_lacking_is_shown(
    card: Scorecard, capsys: pytest.CaptureFixture[str]
) -> None:
    found = score(card, {}, score=None, grade="", points=[], components=[], settled_items=1)

    show_score(Terminal(), found, "en")

    shown = capsys.readouterr().out
    assert "insufficient evidence" in shown
    assert "settled invoices: 1 of 3" in shown
    assert "days known" not in shown


def test_policy_show_publishes_every_step_and_grade(
    card: Scorecard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["policy", "show", "--packaged"]) == Exit.OK

    shown = capsys.readouterr().out
    assert "1 day: 3, 3 days: 4, 8 days: 6, 15 days: 8" in shown
    assert "(grace 30 days; minimum 3; prior 3.0 %; prior_count 4)" in shown
    assert "E, from 75, left below 72" in shown
    for strategy in card.strategies.values():
        assert strategy.text.en in shown
    assert ["from", "95", "points", "93.0", "%"] in [line.split() for line in shown.splitlines()]
