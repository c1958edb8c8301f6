"""`tocsin notify`: brings warnings to people and programs; its dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from tocsin.agents import logs
from tocsin.agents.errors import InputError
from tocsin.agents.exits import Exit
from tocsin.agents.formats import instant
from tocsin.agents.given_files import read_given
from tocsin.agents.notify_config import Config, load_notify, read_notify
from tocsin.agents.notify_outbox import Delivery
from tocsin.agents.options import GivenPath, connected, run
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Column, Terminal
from tocsin.schemas.yaml_files import POLICY_BYTES_MAX

COLUMNS = (
    Column("delivery"),
    Column("made at"),
    Column("attempts", right=True),
    Column("customers", wraps=True),
    Column("reason", wraps=True),
)


@click.command("notify")
@click.argument("file", metavar="CONFIG", required=False, type=GivenPath())
@click.option("--check", "is_check", is_flag=True, help="Only look whether CONFIG is right.")
@click.option("--dead", "is_dead", is_flag=True, help="List what could not be delivered.")
@click.option("--resend", "keys", multiple=True, metavar="ID", help="Try such a one again.")
@connected
def notify(
    settings: Settings,
    terminal: Terminal,
    *,
    file: Path | None,
    is_check: bool,
    is_dead: bool,
    keys: tuple[str, ...],
) -> Exit:
    """Bring warnings to webhooks, Alertmanager, mail and group robots; until Ctrl-C or SIGTERM.

    CONFIG is a YAML file of receivers and routes. One notifier works at a time, others stand by.
    What a receiver refuses for good is kept: --dead lists it, --resend tries it again.
    """
    from tocsin.agents.rights import require_rights

    if is_dead or keys:
        return run(_dead(settings, terminal, keys))
    if file is None:
        raise click.UsageError("give CONFIG, the file of receivers and routes")
    if is_check:
        return _check(terminal, file)
    logs.configure(settings.log_level, settings.log_format)
    config = load_notify(file)
    run(require_rights(settings, "notify"))
    run(_run(settings, config))
    return Exit.OK


def _check(terminal: Terminal, path: Path) -> Exit:
    """Tell what is wrong with a file, as the policy's linter does."""
    config, problems = read_notify(read_given(path, POLICY_BYTES_MAX))
    terminal.result([{"file": str(path), "line": p.line, "problem": str(p)} for p in problems])
    for problem in problems:
        terminal.say(problem.located(path))
    if config is None:
        return Exit.DIFFERENCE
    count = f"{len(config.receivers)} receiver(s), {len(config.routes)} route(s)"
    terminal.say(f"{count}, no problem", style="green")
    return Exit.OK


async def _run(settings: Settings, config: Config) -> None:
    from tocsin.agents.notify import run_notify
    from tocsin.agents.supervisor import stop_on_signals

    stop = asyncio.Event()
    stop_on_signals(stop)
    await run_notify(settings, config, stop)


async def _dead(settings: Settings, terminal: Terminal, keys: Sequence[str]) -> Exit:
    from tocsin.agents.notify_dead import read_dead, resend

    found = {_name(delivery): delivery for delivery in await read_dead(settings)}
    unknown = [key for key in keys if key not in found]
    if unknown:
        raise InputError(f"no dead delivery {', '.join(unknown)}", mend="--dead lists them")
    if keys:
        await resend(settings, [found[key] for key in keys])
        terminal.result({"resent": list(keys)})
        terminal.say(f"{len(keys)} to be tried again")
        return Exit.OK
    _list(terminal, found.values())
    return Exit.DIFFERENCE if found else Exit.OK


def _list(terminal: Terminal, deliveries: Iterable[Delivery]) -> None:
    rows = [
        (
            _name(delivery),
            instant(delivery.created_at),
            str(delivery.attempts),
            ", ".join(_customers(delivery)),
            delivery.error,
        )
        for delivery in deliveries
    ]
    terminal.result([dict(zip((c.name for c in COLUMNS), row, strict=True)) for row in rows])
    terminal.table(COLUMNS, rows, empty="nothing: all was delivered, or is to be")


def _customers(delivery: Delivery) -> list[str]:
    return sorted({notice.warning.customer_id for notice in delivery.notices})


def _name(delivery: Delivery) -> str:
    """How people name a delivery: receiver/id."""
    return f"{delivery.receiver}/{delivery.id}"
