"""`tocsin explain`: why one warning was given, down to the records and the clause behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from tocsin.agents import cards
from tocsin.agents.cards import Language, View
from tocsin.agents.commands_customer import event_json, place
from tocsin.agents.commands_warnings import as_json, language_option, view_of
from tocsin.agents.events_told import tell
from tocsin.agents.formats import day, instant
from tocsin.agents.lookup import EventSeen, Lookup, Placed, looking
from tocsin.agents.options import connected, run
from tocsin.agents.policies import clause
from tocsin.agents.privacy import opening
from tocsin.agents.reading import read_positions
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import SEVERITY_STYLES, Column, Terminal
from tocsin.agents.wire import open_codec
from tocsin.schemas.catalog import BY_ID, JOURNAL, WARNINGS
from tocsin.streams.decisions import Evidence


class Explanation(Struct, frozen=True):
    """A warning with all that stands behind it."""

    placed: Placed
    episode: Sequence[Placed]
    evidence: Mapping[Evidence, EventSeen]
    clause: Sequence[tuple[int, str]]  # numbered lines of the policy's source
    journal: tuple[int, int] | None  # sequence and offset


@click.command("explain")
@click.argument("warning_id", metavar="WARNING")
@language_option
@connected
def explain(settings: Settings, terminal: Terminal, *, warning_id: str, language: Language) -> None:
    """Show the events, the threshold and the policy clause behind a warning.

    WARNING is its id, or the beginning of it. Ends with what would clear it.
    """
    with looking(settings) as lookup:
        found = read_explanation(settings, lookup, lookup.one_warning(warning_id))
        view = view_of(lookup, [found.placed.warning], language)
    terminal.result(explanation_json(found, view))
    if not terminal.as_json:
        _show(terminal, found, view)


def read_explanation(settings: Settings, lookup: Lookup, placed: Placed) -> Explanation:
    """Gather what stands behind a warning."""
    warning = placed.warning
    policy = lookup.policy(warning.policy_hash)
    return Explanation(
        placed,
        lookup.episode(warning.episode_id),
        completed(settings, lookup.evidence(warning.evidence), warning.evidence),
        clause(policy[1], warning.rule) if policy else (),
        lookup.journal_place(placed),
    )


def completed(
    settings: Settings, found: Mapping[Evidence, EventSeen], wanted: Sequence[Evidence]
) -> dict[Evidence, EventSeen]:
    """The records behind a warning, those that the history still lacks from the topics."""
    places = {
        (settings.topic(BY_ID[evidence.topic_id]), evidence.partition, evidence.offset): evidence
        for evidence in wanted
        if evidence not in found
    }
    fetched: dict[Evidence, EventSeen] = {}
    if places and settings.bootstrap_servers:
        codec = open_codec(settings, opening(settings))
        for place, record in run(read_positions(settings, places)).items():
            evidence = places[place]
            event = codec.decode(evidence.topic_id, record.value)
            event = codec.reveal(evidence.topic_id, event)
            fetched[evidence] = EventSeen(
                evidence.topic_id, record.partition, record.offset, record.timestamp, event
            )
    return {**found, **fetched}


def _show(terminal: Terminal, found: Explanation, view: View) -> None:
    warning = found.placed.warning
    cards.card(terminal, warning, view)
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
    terminal.say(cards.clears_when(warning, view.language) or "it has ended")


def _measured(found: Explanation) -> list[tuple[str, str]]:
    warning, placed = found.placed.warning, found.placed
    journal = "not in the history yet"
    if found.journal is not None:
        sequence, offset = found.journal
        journal = f"number {sequence} at {JOURNAL.name}/{placed.partition}/{offset}"
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
    evidence: Evidence, events: Mapping[Evidence, EventSeen]
) -> tuple[str, str, str, str, str]:
    seen = events.get(evidence)
    if seen is None:
        where = f"{BY_ID[evidence.topic_id].name}/{evidence.partition}/{evidence.offset}"
        return "-", "-", evidence.id, "not in the history yet", where
    return (instant(seen.timestamp), *tell(seen.event), place(seen))


def _show_course(terminal: Terminal, found: Explanation, view: View) -> None:
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
            cards.step(step.warning),
            step.warning.severity,
            cards.value_of(step.warning),
            cards.threshold_of(step.warning),
            cards.owed(step.warning),
            step.warning.reason,
            step.warning.warning_id,
        )
        for step in found.episode
    ]
    terminal.table(columns, rows)


def explanation_json(found: Explanation, view: View) -> dict[str, Any]:
    """An explanation as programs get it."""
    return {
        "warning": as_json(found.placed.warning, view),
        "record": f"{WARNINGS.name}/{found.placed.partition}/{found.placed.offset}",
        "journal_sequence": found.journal[0] if found.journal else None,
        "evidence": [event_json(seen) for seen in found.evidence.values()],
        "clause": [line for _, line in found.clause],
        "episode": [step.warning.warning_id for step in found.episode],
    }
