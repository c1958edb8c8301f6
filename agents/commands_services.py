"""`tocsin up`, `worker`, `audit`, `intake`: the programs that keep running; `migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from tocsin.agents import logs
from tocsin.agents.exits import Exit
from tocsin.agents.options import GivenPath, connected, run
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Terminal


@click.command("up")
@click.option("--registry", "with_registry", is_flag=True, help="A schema registry too, for good.")
@connected
def up(settings: Settings, terminal: Terminal, with_registry: bool) -> int:
    """Run an embedded Kafka and ClickHouse over the data folder until Ctrl-C.

    Other commands find them through the folder. The first start fetches Kafka once. With --registry
    a new folder gets an Apicurio schema registry as well (158 MB, once), and keeps it.
    """
    from tocsin.agents import embedded

    return run(embedded.up(settings.data_path, with_registry=with_registry, tell=terminal.say))


@click.command("worker")
@connected
def worker(settings: Settings, terminal: Terminal) -> None:
    """Read the events, keep the ledgers, publish the warnings; until Ctrl-C or SIGTERM.

    Any number may run: they share the partitions. Each ends with its own exit code when it
    cannot go on, and is safe to start again at once.
    """
    from tocsin.agents.clock_keeper import with_clock
    from tocsin.agents.rights import require_rights
    from tocsin.agents.worker import run_worker

    logs.configure(settings.log_level, settings.log_format)
    settings = run(with_clock(settings))
    run(require_rights(settings, "worker"))
    run_worker(settings)


@click.command("audit")
@connected
def audit(settings: Settings, terminal: Terminal) -> Exit:
    """Copy every record into ClickHouse, once, until Ctrl-C or SIGTERM; sets the tables up."""
    from tocsin.agents.audit import SinkError

    logs.configure(settings.log_level, settings.log_format)
    try:
        run(_audit(settings))
    except SinkError as error:
        terminal.note(f"error: {error}", style="red")
        return Exit.SINK
    return Exit.OK


@click.command("intake")
@click.argument("mapping", type=GivenPath())
@connected
def intake(settings: Settings, terminal: Terminal, mapping: Path) -> None:
    """Bring foreign topics in: any key, any partition count, JSON or Avro, mapped field by field.

    MAPPING is a YAML file that says which topics, and which of their fields are ours.
    """
    from tocsin.agents.intake import run_intake

    logs.configure(settings.log_level, settings.log_format)
    run_intake(settings, mapping)


@click.command("migrate")
@connected
def migrate(settings: Settings, terminal: Terminal) -> None:
    """Bring ClickHouse to the tables and views that this version needs."""
    from tocsin.agents import migrate as migrations
    from tocsin.agents.views import compare_views
    from tocsin.agents.wire import open_clickhouse

    client = open_clickhouse(settings)
    try:
        done = migrations.migrate(client)
        is_newer = compare_views(client).is_newer
    finally:
        client.close()
    terminal.result(done)
    for name in done:
        terminal.say(f"applied {name}")
    if not done:
        terminal.say("nothing to apply", style="green")
    if is_newer:
        terminal.say("the views are those of a newer tocsin and were left as they are")


async def _audit(settings: Settings) -> None:
    from tocsin.agents.audit import run_sink
    from tocsin.agents.metrics import Metrics, Program
    from tocsin.agents.probes import Probe, serve_probes
    from tocsin.agents.rights import require_rights
    from tocsin.agents.supervisor import stop_on_signals
    from tocsin.agents.wire import require_clickhouse

    require_clickhouse(settings)
    await require_rights(settings, "audit")
    stop = asyncio.Event()
    stop_on_signals(stop)
    probe = Probe(Metrics(Program.AUDIT), settings.stall_after_s)
    async with serve_probes(settings, settings.audit_port, probe, "audit_port"):
        await run_sink(settings, stop, probe=probe)
