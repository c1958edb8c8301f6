"""`tocsin dossier`: whether and how the business with a customer is to end, on one page."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tocsin.agents.commands.options import Named, connected, language_option
from tocsin.agents.queries.dossier import dossier_json, read_dossier
from tocsin.agents.queries.dossier_rules import Dossier
from tocsin.agents.queries.journal_marks import latest_mark
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.queries.offboarding_notice import notice_of, withheld_because
from tocsin.agents.render.terminal import SEVERITY_STYLES, Column, Terminal
from tocsin.agents.render.warning_cards import Language, text_of, threshold_of, value_of
from tocsin.agents.settings.formats import day, instant, money
from tocsin.agents.settings.settings import Settings
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.retirement import RETIREMENT, STEPS

STATUS = {
    "DONE": Text("done", "已完成"),
    "OPEN": Text("open", "未完成"),
    "SPARED": Text("not needed", "无需"),
    "REFUSED": Text("refused", "未获准"),
}
NOT_BEGUN = Text("no retirement was begun", "尚未启动清退")


@click.command("dossier")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    metavar="RULE",
    help="A reason for the notice, from the standards met; up to three.",
)
@language_option
@connected
def dossier(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str,
    reasons: tuple[str, ...],
    language: Language,
) -> None:
    """Show why the business with a customer may end, what was tried, and what is left to do.

    Standards that are met, attempts, exposure, disputes, the steps of a retirement with their
    authors, and what keeps it from being completed. Once its step has come: a notice in both
    languages, with the reasons that you chose.
    """
    with open_lookup(settings) as lookup:
        found = read_dossier(lookup, customer_id)
        mark = latest_mark(settings, lookup, found.customer_id)
    journal = None if mark is None else str(mark)
    terminal.result(dossier_json(found, reasons) | {"journal": journal})
    _show(terminal, found, language)
    terminal.facts([("journal", journal or "not in the history yet")])
    _show_notice(terminal, found, reasons, language)


def _show(terminal: Terminal, found: Dossier, language: Language) -> None:
    state = RETIREMENT.states.get(found.state)
    words = NOT_BEGUN if state is None else Text(state.en, state.zh)
    attempts = found.attempts
    terminal.say(f"{found.customer_id} {found.name}".rstrip(), style="bold")
    terminal.facts(
        [
            ("retirement", _in(words, language)),
            ("on the wish of", found.initiative.lower() or "-"),
            ("money owed", found.money_decision.lower() or "not decided"),
            ("as of", day(found.as_of)),
        ]
    )
    terminal.heading(f"Standards met: {len(found.triggers)}")
    _show_standards(terminal, found.triggers, language)
    if found.background:
        terminal.heading(f"Open beside them, about ourselves: {len(found.background)}")
        _show_standards(terminal, found.background, language)
    terminal.heading("What was tried")
    terminal.facts(
        [
            ("contacts", f"{attempts.contacts}, {attempts.unanswered} unanswered"),
            ("written notices", str(attempts.notices)),
            ("promises", _states(attempts.promises)),
            ("plans", _states(attempts.plans)),
            ("to keep it", attempts.retention or "nothing"),
        ]
    )
    _show_left(terminal, found)
    _show_steps(terminal, found, language)
    terminal.heading(f"What keeps it from being completed: {len(found.blocks)}")
    for block in found.blocks:
        terminal.say(f"- {_in(block, language)}")


def _show_notice(
    terminal: Terminal, found: Dossier, reasons: Sequence[str], language: Language
) -> None:
    terminal.heading("Notice")
    notice, withheld = notice_of(found, reasons), withheld_because(found, reasons)
    if withheld is not None:
        terminal.say(_in(withheld, language))
    if notice is not None:
        for text in (notice.en, notice.zh):
            terminal.say(text)
            terminal.say()


def _show_standards(
    terminal: Terminal, standards: Sequence[RiskWarning], language: Language
) -> None:
    terminal.table(
        [
            Column("severity", styles=SEVERITY_STYLES),
            Column("rule"),
            Column("value", right=True),
            Column("threshold", right=True),
            Column("policy"),
            Column("as of"),
            Column("what", wraps=True),
        ],
        [
            (
                warning.severity,
                warning.rule,
                value_of(warning),
                threshold_of(warning),
                f"{warning.policy_name} {warning.policy_version}",
                day(warning.as_of),
                text_of(warning, language),
            )
            for warning in standards
        ],
    )


def _show_left(terminal: Terminal, found: Dossier) -> None:
    terminal.heading("What is left")
    columns = [Column("currency"), *(Column(n, right=True) for n in ("open", "past due", "owes"))]
    rows = [
        (
            left.currency,
            *(
                money(amount, left.currency)
                for amount in (left.open_minor, left.past_due_minor, left.owed_minor)
            ),
        )
        for left in found.exposures
    ]
    terminal.table(columns, rows, empty="nothing is open")
    for dispute in found.disputes:
        amount = money(dispute.amount_minor, dispute.currency)
        terminal.say(f"dispute {dispute.dispute_id}: {amount} of {dispute.invoice_id}")


def _show_steps(terminal: Terminal, found: Dossier, language: Language) -> None:
    terminal.heading("Steps")
    rows = [
        (
            _in(Text(STEPS[checked.step].en, STEPS[checked.step].zh), language),
            _in(STATUS[checked.status], language),
            "-" if checked.at is None else instant(checked.at),
            checked.author or "-",
            checked.reason,
        )
        for checked in found.steps
    ]
    names = ("step", "is", "when", "by")
    terminal.table([*map(Column, names), Column("why", wraps=True)], rows)


def _states(states: dict[str, int]) -> str:
    told = [f"{count} {state.lower().replace('_', ' ')}" for state, count in states.items()]
    return ", ".join(told) or "none"


def _in(text: Text, language: Language) -> str:
    return text.zh if language == "zh" else text.en
