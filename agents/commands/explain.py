"""`tocsin explain`: why one warning was given, down to the records and the clause behind it."""

from __future__ import annotations

from collections.abc import Mapping

import click

from tocsin.agents.commands.options import Named, connected, language_option
from tocsin.agents.queries.events import record_place
from tocsin.agents.queries.explanation import Explanation, explanation_json, read_explanation
from tocsin.agents.queries.lookup import StoredEvent, open_lookup
from tocsin.agents.queries.warnings import view_of
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.remedy_cards import sentences
from tocsin.agents.render.terminal import SEVERITY_STYLES, Column, Terminal
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.formats import day, instant
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import BY_ID, WARNINGS
from tocsin.streams.decide.risk_warning import Evidence


@click.command("explain")
@click.argument("warning_id", metavar="WARNING", type=Named())
@language_option
@connected
def explain(settings: Settings, terminal: Terminal, *, warning_id: str, language: Language) -> None:
    """Show the events, the threshold and the policy clause behind a warning.

    WARNING is its id, or the beginning of it. Ends with what would clear it as of now: the
    smallest payment that does, tried on the customer's ledger, and the last day on which it is
    enough.
    """
    with open_lookup(settings) as lookup:
        found = read_explanation(settings, lookup, lookup.one_warning(warning_id))
        view = view_of(lookup, [found.placed.warning], language)
    terminal.result(explanation_json(found, view))
    if not terminal.as_json:
        _show(terminal, found, view)


def _show(terminal: Terminal, found: Explanation, view: WarningView) -> None:
    warning = found.placed.warning
    cards.print_warning(terminal, warning, view)
    terminal.facts(_measured(found))
    terminal.heading(f"Evidence: {len(warning.evidence)} of {warning.evidence_count} records")
    columns = [Column("when"), Column("event"), Column("id"), Column("what", wraps=True)]
    rows = [_evidence_row(evidence, found.evidence) for evidence in warning.evidence]
    terminal.table([*columns, Column("record", style="dim")], rows)
    terminal.heading(f"Clause of policy {warning.policy_name} {warning.policy_version}")
    for number, line in found.clause:
        terminal.say(f"{number:>5}  {line}")
    if not found.clause:
        terminal.say(f"policy {warning.policy_hash[:12]} is not in the history", style="dim")
    terminal.heading("Course of the episode")
    _show_course(terminal, found, view)
    terminal.heading("What would clear it")
    remedy = found.remedy
    for sentence in sentences(remedy.remedy, remedy.reason, remedy.detail, view.language):
        terminal.say(sentence)
    said = cards.clears_when(warning, view.language)
    if said:
        terminal.say(f"said on {day(warning.as_of)}: {said}", style="dim")


def _measured(found: Explanation) -> list[tuple[str, str]]:
    warning, placed = found.placed.warning, found.placed
    journal = "not in the history yet"
    if found.journal is not None:
        sequence, mark = found.journal
        journal = f"number {sequence} at {mark}"
    score = "" if warning.score is None else f"{warning.score}, grade {warning.grade}"
    perhaps = [
        ("missing", warning.missing),
        ("incomplete", warning.incomplete),
        ("muted by", warning.muted_by),
        ("score", score),
    ]
    return [
        ("rule", f"{warning.rule} {warning.subject}".rstrip()),
        ("episode", f"number {warning.flaps} of this rule"),
        ("measured", cards.value_of(warning)),
        ("threshold", cards.threshold_of(warning)),
        ("reason", warning.reason),
        *((name, said) for name, said in perhaps if said),
        ("decided", f"{day(warning.as_of)}, by the record of {instant(warning.occurred_at)}"),
        ("warning", f"{WARNINGS.name}/{placed.partition}/{placed.offset}"),
        ("journal", journal),
    ]


def _evidence_row(
    evidence: Evidence, events: Mapping[Evidence, StoredEvent]
) -> tuple[str, str, str, str, str]:
    seen = events.get(evidence)
    if seen is None:
        where = f"{BY_ID[evidence.topic_id].name}/{evidence.partition}/{evidence.offset}"
        return "-", "-", evidence.id, "not in the history yet", where
    return (instant(seen.timestamp), *describe_event(seen.event), record_place(seen))


def _show_course(terminal: Terminal, found: Explanation, view: WarningView) -> None:
    columns = [
        Column("as of"),
        Column("step"),
        Column("severity", styles=SEVERITY_STYLES),
        Column("value", right=True),
        Column("threshold", right=True),
        Column("owes", right=True),
        Column("reason"),
        Column("warning", style="dim"),
    ]
    rows = [
        (
            day(step.warning.as_of),
            cards.transition_label(step.warning),
            step.warning.severity,
            cards.value_of(step.warning),
            cards.threshold_of(step.warning),
            cards.exposure_text(step.warning),
            step.warning.reason,
            step.warning.warning_id,
        )
        for step in found.episode
    ]
    terminal.table(columns, rows)
