"""A policy's collection ladder as people read it."""

from __future__ import annotations

from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.formats import measure, money
from tocsin.streams.fold.collection_texts import STEP_WORDS
from tocsin.streams.measures.collection_ladder import Collection

COLUMNS = (Column("step"), Column("past due", right=True), Column("what"), Column(""))


def show_collection(terminal: Terminal, plan: Collection) -> None:
    """Print which step comes after how many days past due, and what holds them back."""
    terminal.heading("Collection: the next step, by the days past due of the leading invoice")
    rows = [
        (
            step.name,
            f"from {measure(step.after_days, 'DAYS')}",
            STEP_WORDS[step.name].en,
            STEP_WORDS[step.name].zh,
        )
        for step in plan.steps
    ]
    terminal.table(COLUMNS, rows)
    floors = ", ".join(
        money(amount, currency) for currency, amount in sorted(plan.floor_minor.items())
    )
    terminal.facts(
        [
            ("notice", f"{measure(plan.pre_dunning_days, 'DAYS')} before the due date"),
            ("quiet", f"{measure(plan.quiet_days, 'DAYS')} from one step to the next"),
            ("contacts", f"at most {plan.contacts_max} in {measure(plan.contacts_days, 'DAYS')}"),
            ("before law", f"an answer, a plan, or {plan.attempts_least} attempts in vain"),
            ("floor", floors or "none"),
        ]
    )
