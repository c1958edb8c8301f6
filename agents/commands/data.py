"""`tocsin generate`, `produce`, `replay`, `verify`: events made, sent, decided again, compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import IO

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tocsin.agents.anchors.checking import SOURCES, Verdict, check_anchors
from tocsin.agents.audit.reconcile import Reconciliation, reconcile
from tocsin.agents.commands.options import GivenPath, Number, TargetPath, connected, run
from tocsin.agents.commands.values import Day
from tocsin.agents.deployment.connections import convention_of, open_clickhouse
from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.families import DEFAULT, FAMILIES
from tocsin.agents.generate.portfolio import DEFAULT_UNTIL, Request
from tocsin.agents.queries.journal_marks import JournalMark, is_kept, read_mark
from tocsin.agents.queries.warnings import warning_json
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.replay.cores import replay_all
from tocsin.agents.replay.replay import Decided, Report, decide
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import EPOCH
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import JOURNAL, POLICIES
from tocsin.streams.decide.engine import PolicyMissing
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import DayClosed

Progressed = Callable[[int], None]

FILE = GivenPath()
WHERE = GivenPath(is_folder_too=True)
TARGET = TargetPath()
LINES_SHOWN = 20


@click.command("generate")
@click.option("--customers", default=1_000, show_default=True)
@click.option("--days", default=365, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Same seed, same events.")
@click.option("--until", type=Day(), default=DEFAULT_UNTIL.isoformat(), show_default=True)
@click.option("--currency", default="EUR", show_default=True)
@click.option(
    "--family",
    type=click.Choice(tuple(FAMILIES)),
    default=DEFAULT,
    show_default=True,
    help="How its customers buy and pay: docs/portfolios.md.",
)
@click.option("--out", type=TARGET, default=Path("events.jsonl"), show_default=True)
@click.option("--truth", type=TARGET, help="Who turns bad, and when; beside the events if not.")
@connected
def generate(
    settings: Settings,
    terminal: Terminal,
    *,
    customers: int,
    days: int,
    seed: int,
    until: int,
    currency: str,
    family: str,
    out: Path,
    truth: Path | None,
) -> None:
    """Write a made-up portfolio's events as JSON Lines, and in another file the truth about it.

    Nothing depends on today or this machine. The truth says which customers turn bad and when; no
    part of tocsin reads it.
    """
    from tocsin.agents.generate import generator

    last = EPOCH + timedelta(days=until)
    request = Request(customers=customers, days=days, seed=seed, until=last, currency=currency)
    if problems := request.problems():
        raise click.UsageError("; ".join(problems))
    told = truth or out.with_name(f"{out.stem}-truth.jsonl")
    with counting(terminal, "generating") as progress:
        done = generator.generate(
            request,
            convention_of(settings),
            out,
            told,
            assumptions=FAMILIES[family],
            progress=progress,
        )
    terminal.result({"events": str(out), "truth": str(told), **msgspec.to_builtins(done)})
    rows = [(kind, f"{count:,}") for kind, count in done.by_type.items()]
    terminal.table([Column("event"), Column("count", right=True)], rows)
    terminal.say(f"{done.facts:,} events of {done.customers:,} customers in {out}, truth in {told}")


@click.command("produce")
@click.argument("paths", metavar="FILE_OR_FOLDER...", nargs=-1, required=True, type=WHERE)
@click.option("--rate", type=Number(0, min_open=True), metavar="N", help="Events a second at most.")
@connected
def produce(
    settings: Settings, terminal: Terminal, paths: tuple[Path, ...], rate: float | None
) -> None:
    """Send JSON Lines of events to the topics, in the order of their time.

    Every line is checked before the first is sent: nothing goes if the worker would refuse some of
    it. Where the deployment's clock is feed, the business days of the events are closed with them;
    otherwise closings are left to that clock.
    """
    from tocsin.agents.deployment.clock_keeper import with_clock
    from tocsin.agents.deployment.produce import produce as send
    from tocsin.agents.kafka.rights import require_rights

    with open_events(settings, paths) as given:  # wrong lines are told before Kafka is asked
        run(require_rights(settings, "producer"))
        settings = run(with_clock(settings))
        is_closing = settings.clock == "feed"  # a deployment has one clock
        _foresee(settings, terminal, given.facts(is_closing=is_closing))
        closings = 0

        def counted() -> Iterator[Fact]:
            nonlocal closings
            for fact in given.facts(is_closing=is_closing):
                closings += isinstance(fact.event, DayClosed)
                yield fact

        with counting(terminal, "sending") as progress:
            done = run(send(counted(), settings, events_per_second=rate, progress=progress))
    terminal.result({**msgspec.to_builtins(done), "closings": closings, "clock": settings.clock})
    terminal.say(
        f"sent {done.facts - closings:,} events and {closings:,} closings of days as "
        f"{done.records:,} records; the clock is {settings.clock}"
    )


def _foresee(settings: Settings, terminal: Terminal, facts: Iterator[Fact]) -> None:
    """Look at all facts before the first is sent. Raises what tells those that would be refused."""
    from tocsin.agents.deployment.foresight import Foresight, open_days

    foresight = Foresight(settings, run(open_days(settings)))
    foresight.look(facts)
    if foresight.found:
        raise foresight.refusal
    if caution := foresight.caution(time.time_ns() // 1_000_000):
        terminal.note(f"caution: {caution}", style="yellow")


@click.command("replay")
@click.option("--events", "paths", multiple=True, type=WHERE, help="Decide these; needs no Kafka.")
@click.option("--policy", type=FILE, help="By this policy; the packaged one if not given.")
@click.option("--out", type=TARGET, help="Write the warnings as JSON Lines.")
@click.option("--history", is_flag=True, help="Read from ClickHouse, not from the topics.")
@connected
def replay(
    settings: Settings,
    terminal: Terminal,
    *,
    paths: tuple[Path, ...],
    policy: Path | None,
    out: Path | None,
    history: bool,
) -> Exit:
    """Decide again what was decided, and tell whether it comes out the same.

    Without --events the journal leads: exit code 1 if a warning or a ledger differs, 5 if the
    journal was written by another version of the domain logic.
    """
    if not paths:
        if policy or out:
            raise click.UsageError("--policy and --out go with --events")
        with counting(terminal, "replaying") as progress:
            report = run(replay_all(settings, history=history, progress=progress))
        show_report(terminal, report)
        return report.exit_code
    first = _policy_fact(settings, policy)
    with (
        open_events(settings, paths) as given,
        _writing(out) as file,
        counting(terminal, "deciding") as progress,
    ):
        facts = chain([first], given.facts())
        decided = _decide(settings, facts, file, progress)
    _show_decided(terminal, decided)
    return Exit.OK


@click.command("verify")
@click.option(
    "--wait",
    "wait_s",
    type=Number(0),
    default=30.0,
    show_default=True,
    help="Seconds for the audit.",
)
@click.option("--anchor", type=FILE, help="Compare with what this anchor says, and those before.")
@click.option("--only", type=click.Choice(SOURCES), help="With --anchor: look at these alone.")
@click.option("--mark", metavar="MARK", help="Look for the journal's mark that stands on a paper.")
@connected
def verify(
    settings: Settings,
    terminal: Terminal,
    *,
    wait_s: float,
    anchor: Path | None,
    only: str | None,
    mark: str | None,
) -> Exit:
    """Compare Kafka, ClickHouse and the journal, record by record; exit code 1 if they differ.

    With --anchor each is compared with what was signed instead: whatever was changed, taken out,
    added, swapped or cut off since then is named, by topic, partition and offset. With --mark it
    only tells whether the journal still has the record that a demand, letter or dossier names.
    """
    if mark is not None:
        if anchor is not None or only:
            raise click.UsageError("--mark goes alone")
        return _show_mark(settings, terminal, read_mark(mark))
    if anchor is not None:
        sources = [only] if only else list(SOURCES)
        return _show_verdict(terminal, run(check_anchors(settings, anchor, sources, wait_s=wait_s)))
    if only:
        raise click.UsageError("--only goes with --anchor")
    open_clickhouse(
        settings, is_reader=True
    ).close()  # tells what is missing before anything is read
    found = run(reconcile(settings, wait_s=wait_s))
    terminal.result({**msgspec.to_builtins(found), "is_equal": found.is_equal})
    _show_reconciliation(terminal, found)
    return Exit.OK if found.is_equal else Exit.DIFFERENCE


def _show_mark(settings: Settings, terminal: Terminal, mark: JournalMark) -> Exit:
    is_found = is_kept(settings, mark)
    terminal.result({"mark": str(mark), "is_kept": is_found})
    place = f"{JOURNAL.name}/{mark.partition}/{mark.offset}"
    terminal.say(
        f"{place} is as the paper says"
        if is_found
        else f"{place} is not there, or was changed since the paper was made"
    )
    return Exit.OK if is_found else Exit.DIFFERENCE


@contextmanager
def counting(terminal: Terminal, what: str) -> Iterator[Progressed]:
    """A progress line that shows a growing count; silent where no one looks."""
    console = terminal.note_console
    columns = (TextColumn(what), BarColumn(pulse_style="cyan"), TextColumn("{task.completed:,}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda count: bar.update(task, completed=count)


def _policy_fact(settings: Settings, path: Path | None) -> Fact:
    event = first_event(settings, path)
    return Fact(event.effective_from, POLICIES.topic_id, event)


@contextmanager
def _writing(out: Path | None) -> Iterator[IO[bytes] | None]:
    """The file to write to, under its name when it is whole; none if none is wanted."""
    if out is None:
        yield None
        return
    with writing_whole(out) as file:
        yield file


def _decide(
    settings: Settings, facts: Iterator[Fact], file: IO[bytes] | None, progress: Progressed
) -> Decided:
    view = WarningView()

    def write(warning: RiskWarning) -> None:
        if file is not None:
            file.write(msgspec.json.encode(warning_json(warning, view)) + b"\n")

    def counted() -> Iterator[Fact]:
        for number, fact in enumerate(facts):
            if number % 1000 == 0:
                progress(number)
            yield fact

    try:
        return decide(counted(), convention_of(settings), write)
    except PolicyMissing as error:
        raise ConfigurationError(f"no policy is in force: {error}") from error


def show_report(terminal: Terminal, report: Report, **more: int) -> None:
    """Print what a replay found; `more` goes into the result for programs."""
    fields = msgspec.to_builtins(report)
    del fields["warning_ids"]  # as many as there are warnings; counts and digests say the same
    terminal.result({**fields, **more, "is_equal": report.exit_code is Exit.OK})
    terminal.facts(
        [
            ("transactions", f"{report.transactions:,}"),
            ("records", f"{report.records:,}"),
            ("warnings", f"{report.warnings:,}"),
            ("refusals", f"{report.refusals:,}"),
            ("decision digest", report.decision_digest),
            *((f"partition {number}", digest) for number, digest in report.digests.items()),
        ]
    )
    if report.readable:
        terminal.say(
            f"{report.readable:,} refused records could be read by now: tocsin dead-letters resend",
            style="yellow",
        )
    for line in report.differences:
        terminal.say(line, style="red")
    if report.other_logic:
        versions = ", ".join(map(str, sorted(set(report.other_logic))))
        terminal.say(f"the journal was written by logic version {versions}", style="yellow")
    if report.differing:
        terminal.say(f"{report.differing} journal records came out differently", style="red")
    elif not report.other_logic:
        terminal.say("every warning and ledger came out the same", style="green")


def _show_decided(terminal: Terminal, decided: Decided) -> None:
    terminal.result(decided)
    terminal.facts(
        [
            ("events", f"{decided.events:,}"),
            ("warnings", f"{decided.warnings:,}"),
            ("refused", f"{len(decided.refused):,}"),
            ("decision digest", decided.decision_digest),
        ]
    )
    for line in decided.refused[:20]:
        terminal.say(line, style="yellow")


def _show_reconciliation(terminal: Terminal, found: Reconciliation) -> None:
    names = ("topic", "partition", "Kafka", "ClickHouse", "missing", "surplus", "doubled", "differ")
    rows = [
        (
            entry.topic,
            *(
                str(number)
                for number in (
                    entry.partition,
                    entry.in_kafka,
                    entry.in_history,
                    entry.missing,
                    entry.surplus,
                    entry.doubled,
                    entry.differing,
                )
            ),
        )
        for entry in found.differences
    ]
    terminal.table([Column(names[0]), *(Column(name, right=True) for name in names[1:])], rows)
    for check in found.journals:
        for problem in check.problems:
            terminal.say(f"journal of partition {check.partition}: {problem}", style="red")
    if found.is_equal:
        terminal.say(f"{found.records:,} records, nothing differs", style="green")
    else:
        terminal.say("Kafka, ClickHouse and journal differ", style="bold red")


def _show_verdict(terminal: Terminal, verdict: Verdict) -> Exit:
    """Print what became of anchored records, and return the exit code."""
    anchor = verdict.anchor
    terminal.result(
        {
            "anchor": anchor.file,
            "made_at": anchor.made_at,
            "anchors": verdict.anchors,
            "records": verdict.records,
            "is_unchanged": verdict.is_unchanged,
            "faults": verdict.faults,
            "problems": verdict.problems,
            "unproven": verdict.unproven,
        }
    )
    shown = [*verdict.faults, *map(str, verdict.problems)]
    for line in shown[:LINES_SHOWN]:
        terminal.say(line, style="red")
    if len(shown) > LINES_SHOWN:
        terminal.say(f"and {len(shown) - LINES_SHOWN} more; --json has all", style="red")
    for gap in verdict.unproven[:LINES_SHOWN]:
        terminal.say(f"not checked: {gap}", style="yellow")
    if len(verdict.unproven) > LINES_SHOWN:
        terminal.say(f"and {len(verdict.unproven) - LINES_SHOWN} more not checked", style="yellow")
    told = f"{verdict.records:,} records up to {anchor.made_at} ({verdict.anchors} anchors)"
    if shown:
        terminal.say(f"{told}: not as they were signed", style="bold red")
        return Exit.DIFFERENCE
    terminal.say(f"{told}: unchanged{', as far as told' if verdict.unproven else ''}")
    return Exit.OK
