"""`tocsin worker`, `tocsin intake`, `tocsin replay`: the programs that decide, and decide again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from tocsin.agents.app import convention_of
from tocsin.agents.clickhouse import connect
from tocsin.agents.exits import Exit
from tocsin.agents.options import connected
from tocsin.agents.policies import checked
from tocsin.agents.replay import ClickHouseLog, Decided, KafkaLog, Log, Replay, Report, decide
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Terminal
from tocsin.agents.wire import open_codec
from tocsin.schemas import jsonlines
from tocsin.schemas.catalog import POLICIES
from tocsin.schemas.jsonlines import Fact
from tocsin.schemas.policy_file import default_policy_text
from tocsin.streams.decisions import RiskWarning
from tocsin.streams.events import PolicyPublished


@click.command()
@connected
def worker(settings: Settings, terminal: Terminal) -> None:
    """Keep ledgers and give warnings, until stopped.

    Any number of workers share the partitions. Ends with exit code 70 to 73 when it can't go on;
    all but 73 may simply be started again.
    """
    from tocsin.agents.worker import run_worker

    run_worker(settings)


@click.command()
@click.argument("mapping", type=click.Path(dir_okay=False, path_type=Path))
@connected
def intake(settings: Settings, terminal: Terminal, mapping: Path) -> None:
    """Map foreign topics to tocsin's own, as the file MAPPING says, until stopped.

    Several may run: one reads, the others stand by.
    """
    from tocsin.agents.intake import run_intake

    run_intake(settings, mapping)


@click.command()
@click.option("--events", type=click.Path(path_type=Path), help="JSON Lines, a file or a folder.")
@click.option("--policy", type=click.Path(dir_okay=False, path_type=Path), help="Policy file.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write warnings here.")
@click.option("--from-history", is_flag=True, help="Read ClickHouse instead of Kafka.")
@connected
def replay(
    settings: Settings,
    terminal: Terminal,
    events: Path | None,
    policy: Path | None,
    out: Path | None,
    from_history: bool,
) -> Exit:
    """Decide again: from topics and journal, or, with --events, from a file without Kafka.

    Over the journal every decision must come out byte for byte: exit code 1 tells a difference,
    5 that another version of the domain logic had decided.
    """
    if events is not None:
        decided = decide_file(events, policy, settings, out)
        terminal.result(decided)
        terminal.facts(
            [
                ("events", f"{decided.events:,}"),
                ("warnings", f"{decided.warnings:,}"),
                ("refused", f"{len(decided.refused):,}"),
                ("decision digest", decided.decision_digest),
            ]
        )
        return Exit.OK
    report = asyncio.run(replay_journal(settings, from_history=from_history))
    terminal.result({**msgspec.structs.asdict(report), "warning_ids": len(report.warning_ids)})
    terminal.facts(
        [
            ("transactions", f"{report.transactions:,}"),
            ("records", f"{report.records:,}"),
            ("warnings", f"{report.warnings:,}"),
            ("refusals", f"{report.refusals:,}"),
            ("decision digest", report.decision_digest),
            ("differences", f"{report.differing:,}"),
        ]
    )
    for difference in report.differences:
        terminal.say(difference, style="red")
    return report.exit_code


def decide_file(events: Path, policy: Path | None, settings: Settings, out: Path | None) -> Decided:
    """Run the events of files under a policy file, the packaged one if None is given."""
    convention = convention_of(settings)
    facts = jsonlines.with_closings(jsonlines.read([events], convention), convention)
    text = default_policy_text() if policy is None else policy.read_text("utf-8")
    published = publish_first(text, str(policy or "packaged"), settings)
    if out is None:
        return decide((published, *facts), convention)
    with out.open("wb") as lines:

        def write(warning: RiskWarning) -> None:
            lines.write(msgspec.json.encode(warning) + b"\n")

        return decide((published, *facts), convention, write)


def publish_first(text: str, where: str, settings: Settings) -> Fact:
    """Make the fact by which a policy is in force before any event."""
    policy, document = checked(text, where, settings.horizon_days)
    event = PolicyPublished(policy.name, policy.version, 0, document, text)
    return Fact(0, POLICIES.topic_id, event)


async def replay_journal(settings: Settings, *, from_history: bool = False) -> Report:
    """Replay every partition."""
    log: Log = KafkaLog(settings)
    if from_history:
        log = ClickHouseLog(
            connect(
                settings.clickhouse_url,
                user=settings.clickhouse_user,
                password=settings.clickhouse_password.reveal(),
            )
        )
    runner = Replay(
        settings.app_id, settings.partitions, open_codec(settings), convention_of(settings), log
    )
    for partition in range(settings.partitions):
        await runner.partition(partition)
    return runner.report
