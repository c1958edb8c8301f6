"""`tocsin log`: enter an engagement by hand, and see what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.log_options import OPTIONS
from tocsin.agents.commands.options import Named, Number, connected, language_option, run
from tocsin.agents.commands.values import Instant
from tocsin.agents.entry.engagement import EntryResult, enter, entered_json, known_at, make_event
from tocsin.agents.entry.engagement_kinds import KINDS, Kind
from tocsin.agents.queries.lookup import Lookup, open_lookup
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.errors import InputError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.settings import Settings

WAIT_S = 10.0


@click.group("log", cls=Group)
def log() -> None:
    """Enter an engagement by hand: it is checked, sent, and what came of it is shown.

    Exit code 1 if the worker refused it, or did not take it in time.
    """


def _subcommand(name: str, kind: Kind) -> click.Command:
    @connected
    def callback(settings: Settings, terminal: Terminal, /, **values: Any) -> Exit:
        return _log(settings, terminal, name, kind, values)

    for decorate in reversed([_subject(kind), *OPTIONS.get(name, ()), *_common(kind)]):
        callback = decorate(callback)
    return click.command(name, help=kind.about)(callback)


def _subject(kind: Kind) -> Callable[..., Any]:
    if kind.names_warning:
        return click.argument("warning_id", metavar="WARNING", type=Named())
    return click.argument("customer_id", metavar="CUSTOMER", type=Named())


def _common(kind: Kind) -> list[Callable[..., Any]]:
    options = [
        click.option("--at", type=Instant(), help="When it was, ISO 8601; now if not given."),
        click.option(
            "--wait",
            "wait_s",
            type=Number(0),
            default=WAIT_S,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for the worker; 0: not.",
        ),
        language_option,
    ]
    if kind.own_id:
        about = "Of what was logged before." if kind.names_another else "Its id; made if not given."
        options.append(click.option("--id", kind.own_id, required=kind.names_another, help=about))
    if kind.has_author:
        about = "Who did it; TOCSIN_AUTHOR or the user of this machine if not given."
        options.append(click.option("--author", help=about))
    if not kind.names_warning:
        about = "The customer has no history yet."
        options.append(click.option("--new", "is_new", is_flag=True, help=about))
    return options


def _log(
    settings: Settings, terminal: Terminal, name: str, kind: Kind, values: dict[str, Any]
) -> Exit:
    at, wait_s = values.pop("at"), values.pop("wait_s")
    language: Language = values.pop("language")
    warning_id, is_new = values.pop("warning_id", None), values.pop("is_new", False)
    if warning_id is not None:
        customer_id, values["episode_id"] = _meant(settings, warning_id)
    else:
        customer_id = values.pop("customer_id")
        if not is_new:
            _require_known(settings, terminal, customer_id)
    occurred_at, recorded_at = run(known_at(settings, at))
    event = make_event(kind, name, customer_id, values, occurred_at, recorded_at)
    entered = run(enter(settings, event, wait_s))
    view = WarningView(language)
    terminal.result(entered_json(entered, view))
    _show(terminal, entered, view, wait_s)
    is_well = entered.refused is None and (entered.is_taken or wait_s == 0)
    return Exit.OK if is_well else Exit.DIFFERENCE


def _meant(settings: Settings, warning_id: str) -> tuple[str, str]:
    """Customer and episode of the warning whose id begins so."""
    with open_lookup(settings) as lookup:
        warning = lookup.one_warning(warning_id).warning
    return warning.customer_id, warning.episode_id


def _require_known(settings: Settings, terminal: Terminal, customer_id: str) -> None:
    """Refuse a customer that the history does not know, where there is a history to ask."""
    if not settings.clickhouse_url:
        return
    try:
        with open_lookup(settings) as lookup:
            _refuse_stranger(lookup, customer_id)
    except UnavailableError as error:
        terminal.note(f"not checked whether {customer_id} is known: {error}")


def _refuse_stranger(lookup: Lookup, customer_id: str) -> None:
    if lookup.standing(lookup.customer(customer_id)) is None:
        near = ", ".join(lookup.similar(customer_id))
        meant = f"did you mean one of {near}? " if near else ""
        raise InputError(
            f"no customer {customer_id!r} in the history",
            mend=f"{meant}--new enters it for one that is new",
        )


def _show(terminal: Terminal, entered: EntryResult, view: WarningView, wait_s: float) -> None:
    kind, name, text = describe_event(entered.event)
    terminal.facts(
        [
            (kind, name),
            ("customer", entered.event.customer_id),
            ("says", text),
            ("at", instant(entered.event.occurred_at)),
            ("record", entered.place),
        ]
    )
    if entered.refused is not None:
        terminal.say()
        terminal.say(f"refused, {entered.refused.code}: {entered.refused.detail}", style="red")
        terminal.say(f"tocsin dead-letters show {entered.place}", style="dim")
    elif entered.is_taken:
        if entered.machine is not None:
            terminal.facts([(entered.machine.name, _stands(entered, view.language))])
        terminal.heading(f"Warnings that it moved: {len(entered.warnings)}")
        for warning in entered.warnings:
            cards.print_warning(terminal, warning, view)
    elif wait_s:
        terminal.note(
            f"sent, but not taken within {wait_s:g} s: does `tocsin worker` run? "
            "It is not lost; do not send it again"
        )


def _stands(entered: EntryResult, language: Language) -> str:
    """Where the process stands that an entry is a step of."""
    if entered.machine is None or entered.state is None:
        return "as before: it was known" if language == "en" else "不变：已有此记录"
    words = entered.machine.states.get(entered.state)
    if words is None:
        return "not begun: its beginning is not known yet" if language == "en" else "尚未开始"
    return words.zh if language == "zh" else words.en


for _name, _kind in KINDS.items():
    log.add_command(_subcommand(_name, _kind))
