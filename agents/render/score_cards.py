"""A policy's score as people read it: what gives how many points, the grades, the strategies."""

from __future__ import annotations

from tocsin.agents.render.rule_cards import described
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import measure
from tocsin.streams.measures.scorecard import GRADES, Component, Scorecard, Strategy


def show_scorecard(terminal: Terminal, card: Scorecard) -> None:
    """Print how a policy scores: what gives how many points, the grades, what is done with each."""
    scale = sum(part.most for part in card.components if not part.is_on_top)
    terminal.heading(f"Score: 0 to 100 of {scale} points, or as many as can be judged")
    rows = [
        (
            f"{part.name} (on top)" if part.is_on_top else part.name,
            described(part.measure, part.parameters),
            _steps(part, subject),
        )
        for part in card.components
        for subject in part.steps
    ]
    terminal.table([Column("component"), Column("measure", wraps=True), Column("points")], rows)
    if card.chances:
        terminal.heading("More than 30 days past due within 90 days")
        terminal.facts(
            (f"from {points} points", measure(share * 10, "BASIS_POINTS"))
            for points, share in card.chances
        )
    terminal.heading("Grades")
    bounds = {GRADES[rung.severity]: rung for rung in card.grades.rungs}
    for grade in GRADES:
        rung, strategy = bounds.get(grade), card.strategies.get(grade)
        began = "" if rung is None else f", from {rung.raise_at}, left below {rung.hold_at}"
        terminal.say(f"{grade}{began}")
        if strategy is not None:
            terminal.facts((f"  {name}", text) for name, text in strategy_facts(strategy, "en"))


def _steps(part: Component, subject: str) -> str:
    steps, unit = part.steps[subject], part.measure.unit.value
    return ", ".join(
        f"{measure(value, unit, subject or None)}: {points}"
        for value, points in zip(steps.values, steps.points, strict=True)
    )


def strategy_facts(strategy: Strategy, language: Language) -> list[tuple[str, str]]:
    """What a strategy says to do with customers of a grade, line by line."""
    return [
        ("strategy", strategy.text.zh if language == "zh" else strategy.text.en),
        ("limit", strategy.limit.lower()),
        ("terms", f"at most {measure(strategy.terms_days, 'DAYS')}"),
        ("prepayment", measure(strategy.prepayment, "BASIS_POINTS")),
        ("hold", strategy.hold.lower()),
        ("review", f"every {measure(strategy.review_days, 'DAYS')}"),
    ]
