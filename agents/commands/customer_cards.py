"""A customer's score, credit decisions, promises and plans in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.agents.queries.commitments import Commitments, Planned, Promised
from tocsin.agents.queries.credit_decisions import CustomerCredit
from tocsin.agents.queries.lookup import Decision
from tocsin.agents.queries.ranking import stakes_of
from tocsin.agents.queries.score import Score
from tocsin.agents.queries.worklist import reason_text
from tocsin.agents.render.score_cards import strategy_facts
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import day, instant, measure, money
from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE

PROMISE_COLUMNS = (
    Column("promise"),
    Column("state"),
    Column("by"),
    Column("promised", right=True),
    Column("paid in time", right=True),
    Column("taken by"),
)
PLAN_COLUMNS = (
    Column("plan"),
    Column("state"),
    Column("until"),
    Column("agreed", right=True),
    Column("paid", right=True),
    Column("asks a month", right=True),
    Column("paid a month before", right=True),
)


def show_commitments(terminal: Terminal, commitments: Commitments) -> None:
    """Print promises and plans, where there are any."""
    if commitments.promises:
        terminal.heading("Promises")
        terminal.table(PROMISE_COLUMNS, [_promise(one) for one in commitments.promises])
    if commitments.plans:
        terminal.heading("Plans")
        terminal.table(PLAN_COLUMNS, [_plan(one) for one in commitments.plans])


def _promise(one: Promised) -> tuple[str, ...]:
    return (
        one.promise_id,
        PROMISE.states[one.state].en,
        day(one.due_on),
        money(one.amount_minor, one.currency),
        money(one.kept_minor, one.currency),
        one.author or "-",
    )


def _plan(one: Planned) -> tuple[str, ...]:
    amounts = (
        one.amount_minor,
        one.paid_minor,
        one.asked_monthly_minor,
        one.paid_monthly_minor,
    )
    return (
        one.plan_id,
        PLAN.states[one.state].en,
        day(one.last_due_on),
        *(money(amount, one.currency) for amount in amounts),
    )


DECISION_COLUMNS = (
    Column("when"),
    Column("decision"),
    Column("kind"),
    Column("outcome"),
    Column("what", right=True),
    Column("until"),
    Column("by"),
    Column("reason", wraps=True),
)


def facts_of(credit: CustomerCredit, language: Language) -> list[tuple[str, str]]:
    """What is worth a line at the head of the file."""
    found, force = [], credit.in_force
    action = credit.action
    if action is not None:
        what = action.action.zh if language == "zh" else action.action.en
        since = f", due on {day(action.due_on)}" if action.step and not action.is_blocked else ""
        found.append(
            ("next step", f"{what}: {stakes_of(action)}{since}; {reason_text(action, language)}")
        )
    if force.get("is_held"):
        found.append(("on hold", f"since {day(force['held_since'])}"))
    elif force.get("released_until") is not None:
        found.append(("on hold", f"released until {day(force['released_until'])}, then again"))
    if force.get("is_limit_decided"):
        until = force["limit_until"]
        found.append(("limit is", "decided" if until is None else f"decided until {day(until)}"))
    if credit.proposed_minor is not None:
        proposed = money(credit.proposed_minor, credit.proposed_currency)
        found.append(("proposed", f"{proposed}, by the strategy of the grade"))
    if force.get("screening"):
        found.append(("screening", force["screening"].lower()))
    if force.get("reviewed_on") is not None:
        found.append(("reviewed", day(force["reviewed_on"])))
    return found


def show_decisions(terminal: Terminal, decisions: Sequence[Decision]) -> None:
    """Print decisions with their authors and reasons, if there are any."""
    if not decisions:
        return
    terminal.heading("Credit decisions")
    rows = [
        (
            instant(decision.occurred_at),
            decision.decision_id,
            decision.kind,
            decision.outcome or "-",
            _what(decision),
            day(decision.until),
            decision.author,
            decision.reason,
        )
        for decision in decisions
    ]
    terminal.table(DECISION_COLUMNS, rows)


def _what(decision: Decision) -> str:
    if decision.kind == "PREPAYMENT":
        return measure(decision.prepayment_basis_points or 0, "BASIS_POINTS")
    if decision.limit_minor is not None:
        return money(decision.limit_minor, decision.currency)
    return "no limit" if decision.kind == "LIMIT" and decision.outcome != "REJECTED" else "-"


def show_score(terminal: Terminal, score: Score, language: Language) -> None:
    """Print a score for people."""
    if score.score is None:
        terminal.heading("Score: insufficient evidence")
        terminal.facts(("lacks", text) for text in score.lacking)
    else:
        terminal.heading(f"Score {score.score} of 100, grade {score.grade}")
        if score.chance is not None:
            said = f"{measure(score.chance * 10, 'BASIS_POINTS')} of such customers within 90 days"
            terminal.facts([("30 days past due", said)])
        columns = [Column("component"), Column("points", right=True), Column("of", right=True)]
        rows = [
            (
                part.label.zh if language == "zh" else part.label.en,
                "not judged" if part.points is None else str(part.points),
                f"+{part.most}" if part.is_on_top else str(part.most),
            )
            for part in sorted(score.parts, key=lambda part: (-(part.points or 0), part.component))
        ]
        terminal.table(columns, rows)
    if score.strategy is not None:
        terminal.facts(strategy_facts(score.strategy, language))
    classes = (("ABC", score.abc), ("RFM", score.rfm), ("RFA", score.rfa))
    terminal.facts([(name, found) for name, found in classes if found])
