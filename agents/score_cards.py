"""A customer's score as people read it: every component's points, grade, strategy, classes."""

from __future__ import annotations

from tocsin.agents.cards import Language
from tocsin.agents.formats import measure
from tocsin.agents.query_score import Score
from tocsin.agents.rule_cards import described
from tocsin.agents.terminal import Column, Terminal
from tocsin.streams.score import GRADES, Component, Scorecard, Strategy


def show_score(terminal: Terminal, score: Score, language: Language) -> None:
    """Print a score for people."""
    if score.score is None:
        terminal.heading("Score: insufficient evidence")
        terminal.facts(("lacks", text) for text in score.lacking)
    else:
        terminal.heading(f"Score {score.score} of 100, grade {score.grade}")
        columns = [Column("component"), Column("points", right=True), Column("of", right=True)]
        rows = [
            (
                part.label.zh if language == "zh" else part.label.en,
                "not judged" if part.points is None else str(part.points),
                str(part.most),
            )
            for part in sorted(score.parts, key=lambda part: (-(part.points or 0), part.component))
        ]
        terminal.table(columns, rows)
    if score.strategy is not None:
        terminal.facts(_told(score.strategy, language))
    classes = (("ABC", score.abc), ("RFM", score.rfm), ("RFA", score.rfa))
    terminal.facts([(name, found) for name, found in classes if found])


def show_scorecard(terminal: Terminal, card: Scorecard) -> None:
    """Print how a policy scores: what gives how many points, the grades, what is done with each."""
    terminal.heading(f"Score: the sum of points, at most {sum(p.most for p in card.components)}")
    rows = [
        (part.name, described(part.measure.name, part.parameters), _steps(part, subject))
        for part in card.components
        for subject in part.steps
    ]
    terminal.table([Column("component"), Column("measure", wraps=True), Column("points")], rows)
    terminal.heading("Grades")
    bounds = {GRADES[rung.severity]: rung for rung in card.grades.rungs}
    for grade in GRADES:
        rung, strategy = bounds.get(grade), card.strategies.get(grade)
        began = "" if rung is None else f", from {rung.raise_at}, left below {rung.hold_at}"
        terminal.say(f"{grade}{began}")
        if strategy is not None:
            terminal.facts((f"  {name}", text) for name, text in _told(strategy, "en"))


def _steps(part: Component, subject: str) -> str:
    steps, unit = part.steps[subject], part.measure.unit.value
    return ", ".join(
        f"{measure(value, unit, subject or None)}: {points}"
        for value, points in zip(steps.values, steps.points, strict=True)
    )


def _told(strategy: Strategy, language: Language) -> list[tuple[str, str]]:
    return [
        ("strategy", strategy.text.zh if language == "zh" else strategy.text.en),
        ("limit", strategy.limit.lower()),
        ("terms", f"at most {measure(strategy.terms_days, 'DAYS')}"),
        ("prepayment", measure(strategy.prepayment, "BASIS_POINTS")),
        ("hold", strategy.hold.lower()),
        ("review", f"every {measure(strategy.review_days, 'DAYS')}"),
    ]
