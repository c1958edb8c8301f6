"""Warnings as people read them: who, which rule, how much, why, what to do, what would end it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct
from rich.text import Text

from tocsin.agents.render.terminal import SEVERITY_STYLES, Column, Terminal
from tocsin.agents.settings.formats import clean, day, measure, money
from tocsin.streams.decide.risk_warning import RiskWarning

Language = Literal["en", "zh"]


class WarningView(Struct, frozen=True):
    """How warnings are shown, and what they do not say themselves."""

    language: Language = "en"
    names: Mapping[str, str] = {}  # customer id -> name, where one is known


COLUMNS = (
    Column("severity", styles=SEVERITY_STYLES),
    Column("as of"),
    Column("step"),
    Column("customer", wraps=True),
    Column("rule"),
    Column("value", right=True),
    Column("threshold", right=True),
    Column("owes", right=True),
    Column("what to do", wraps=True),
    Column("warning", style="dim"),
)
LABELS: Mapping[Language, Mapping[str, str]] = {
    "en": {"owes": "owes", "do": "do", "ends": "ends", "id": "see"},
    "zh": {"owes": "欠款", "do": "处理", "ends": "解除", "id": "详情"},
}
LABEL_WIDTH = 6


def text_of(warning: RiskWarning, language: Language) -> str:
    """What the warning says."""
    return warning.text_zh if language == "zh" else warning.text_en


def action_of(warning: RiskWarning, language: Language) -> str:
    """What is to be done."""
    return warning.action_zh if language == "zh" else warning.action_en


def clears_when(warning: RiskWarning, language: Language) -> str:
    """What would end the episode."""
    return warning.clears_when_zh if language == "zh" else warning.clears_when_en


def customer_label(warning: RiskWarning, view: WarningView) -> str:
    """The customer's id, and the name if one is known; the topic of a warning about a source."""
    if not warning.customer_id:
        return f"source {warning.subject}"
    return f"{warning.customer_id} {view.names.get(warning.customer_id, '')}".rstrip()


def transition_label(warning: RiskWarning) -> str:
    """What happened to the episode, in one or two words."""
    phase = " (history)" if warning.phase == "HISTORY" else ""
    muted = " (muted)" if warning.muted_by else ""
    return f"{warning.transition.lower()}{muted}{phase}"


def value_of(warning: RiskWarning) -> str:
    """The measured value."""
    return measure(warning.value, warning.unit, warning.currency)


def threshold_of(warning: RiskWarning) -> str:
    """The threshold it was compared with."""
    return measure(warning.threshold, warning.unit, warning.currency)


def exposure_text(warning: RiskWarning) -> str:
    """What the customer owed at that moment, in each currency; a dash where it can't be told."""
    amounts = [money(one.exposure_minor, one.currency) for one in warning.exposures]
    if not amounts and warning.currency is not None:
        amounts = [money(0, warning.currency)]
    return ", ".join(amounts) or "-"


def print_warnings(terminal: Terminal, warnings: Iterable[RiskWarning], view: WarningView) -> None:
    """Print warnings one a line."""
    rows = [
        (
            warning.severity,
            day(warning.as_of),
            transition_label(warning),
            customer_label(warning, view),
            warning.rule,
            value_of(warning),
            threshold_of(warning),
            exposure_text(warning),
            action_of(warning, view.language),
            warning.warning_id,
        )
        for warning in warnings
    ]
    terminal.table(COLUMNS, rows, empty="no warnings")


def print_warning(terminal: Terminal, warning: RiskWarning, view: WarningView) -> None:
    """Print one warning over several lines, most important first."""
    if terminal.as_json:
        return
    language = view.language
    labels = LABELS[language]
    head = Text(f" {warning.severity} ", style=SEVERITY_STYLES.get(warning.severity, ""))
    head.append(f" {day(warning.as_of)}  ", style="not bold dim on default")
    head.append(clean(customer_label(warning, view)), style="bold default on default")
    head.append(f"  {transition_label(warning)}", style="not bold dim on default")
    lines = [
        ("", text_of(warning, language), ""),
        (labels["owes"], exposure_text(warning) if _owes(warning) else "", ""),
        (labels["do"], action_of(warning, language), "bold"),
        (labels["ends"], clears_when(warning, language), ""),
        (labels["id"], f"tocsin explain {warning.warning_id}", "dim"),
    ]
    terminal.rich(head)
    for label, text, style in lines:
        if text:
            terminal.labelled(label, text, width=LABEL_WIDTH, style=style)
    terminal.say()


def _owes(warning: RiskWarning) -> bool:
    """Whether the amount owed says something: not of many episodes, not of a source."""
    return bool(warning.customer_id) and warning.transition != "DIGEST"
