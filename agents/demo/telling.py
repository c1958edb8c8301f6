"""Tells the written stories of the demo, day by day, from what was said and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tocsin.agents.demo.stories import STORIES
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.formats import day
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import Convention

WARNED, ENDED = "warned", "ended"
_SIGNS = {"RAISED": WARNED, "ESCALATED": WARNED, "CLEARED": ENDED}


def story_lines(
    facts: Iterable[Fact], warnings: Iterable[RiskWarning], customer_id: str, convention: Convention
) -> list[tuple[str, str, str]]:
    """Business day, what sort of thing, and what: the deeds of a day before their warnings."""
    lines: list[tuple[int, int, str, str]] = []
    for fact in facts:
        if getattr(fact.event, "customer_id", None) == customer_id:
            kind, _, text = describe_event(fact.event)
            lines.append((convention.business_date(fact.instant), 0, kind, text))
    for warning in warnings:
        sign = _SIGNS.get(warning.transition)
        if sign and warning.customer_id == customer_id:
            named = f"{warning.rule} {warning.severity}" if sign == WARNED else warning.rule
            lines.append((warning.as_of, 1, sign, named))
    lines.sort(key=lambda line: line[:2])
    return [(day(date), sign, text) for date, _, sign, text in lines]


def tell_stories(
    terminal: Terminal,
    facts: Sequence[Fact],
    warnings: Sequence[RiskWarning],
    convention: Convention,
) -> None:
    """Print the stories, as far as their customers are among the facts."""
    columns = [
        Column("day"),
        Column("", styles={WARNED: "yellow", ENDED: "green"}),
        Column("what", wraps=True),
    ]
    for customer_id, story in STORIES.items():
        lines = story_lines(facts, warnings, customer_id, convention)
        if lines:
            terminal.heading(f"{customer_id}: {story.title}")
            terminal.table(columns, lines)
