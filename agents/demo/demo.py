"""The main job, whole: services, worker and audit over a portfolio, history first, then live days.

Nothing here is a shortcut: broker, engine, worker and audit are the programs of production, each a
process of its own. At the end three independent tellings are compared: the warnings topic, its
history in ClickHouse, and a replay of the journal.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from shlex import quote
from typing import Any

from msgspec import Struct
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tocsin.agents.audit.reconcile import Reconciliation, reconcile
from tocsin.agents.clickhouse.history import read_range
from tocsin.agents.demo.stories import SPAN_DAYS, STORIES, story_facts
from tocsin.agents.demo.telling import tell_stories
from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.deployment.topics import apply
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.embedded.services import Embedded
from tocsin.agents.embedded.supervisor import Program
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.brokers import Brokers, connect
from tocsin.agents.kafka.reading import follow, read_topic
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.replay.replay import Decided, KafkaLog, Replay, Report, decide
from tocsin.agents.settings.data_folder import holds_records
from tocsin.agents.settings.errors import InputError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import address_of
from tocsin.agents.settings.settings import DEMO_FOLDER, Settings, load
from tocsin.agents.transactions.record_digests import PROCESSED_AT, RecordDigest
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    COMPLAINTS,
    CUSTOMERS,
    ENGAGEMENTS,
    INVOICES,
    PAYMENTS,
    POLICIES,
    WARNINGS,
)
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import CustomerUpdated, WentLive
from tocsin.streams.ledger.state_records import LIVE

LOOPBACK = "127.0.0.1"
LIVE_DAYS = 10
LIVE_DAY_S = 1.0
STALL_TIMEOUT_S = 90.0
POLL_S = 0.1
CARDS_A_DAY_MAX = 3
FACT_TOPICS = (CUSTOMERS, INVOICES, PAYMENTS, COMPLAINTS, ENGAGEMENTS)


class DemoRequest(Struct, frozen=True, kw_only=True):
    """What the user asked to see."""

    customers: int = 280
    days: int = 550  # rules look back a year: what begins and ends takes longer
    seed: int = 1
    events: Path | None = None
    language: str = "en"
    is_paced: bool = True  # live days take a second each, for eyes
    stays: bool = True  # services stay up after the summary, until Ctrl-C


class Outcome(Struct, frozen=True, kw_only=True):
    """What was measured; `lost` and `doubled` against an independent replay."""

    events: int
    warnings: int
    told: int
    warnings_lost: int
    warnings_doubled: int
    audit_missing: int
    audit_doubled: int
    disagreements: list[str]
    replay_digest_equal: bool
    decision_digest: str
    events_per_second: int
    by_rule: dict[str, int]
    by_severity: dict[str, int]

    @property
    def is_sound(self) -> bool:
        """Whether everything agrees."""
        return self.replay_digest_equal and not (
            self.warnings_lost or self.warnings_doubled or self.audit_missing or self.audit_doubled
        )


def folder_of(settings: Settings) -> Path:
    """Where the demo runs: over the data folder if one is given, else beside everything else's.

    Raises InputError if a folder is given that holds records of another kind: each run begins anew.
    """
    if "data_dir" not in settings.origins:
        return settings.data_path / DEMO_FOLDER
    if holds_records(settings.data_path):
        raise InputError(
            f"{settings.data_path} holds records that no demo made, and a demo begins without any",
            mend=f"give it a new folder by {settings.origins['data_dir']}, or delete this one",
        )
    return settings.data_path


async def run_demo(
    wish: DemoRequest, settings: Settings, terminal: Terminal, stop: asyncio.Event
) -> Exit:
    """Show the main job; returns the exit code. Raises the tree's errors."""
    _require_sound(wish, settings)
    folder = folder_of(settings)
    terminal.note(f"starting Kafka and the ClickHouse engine over {folder}")
    async with Embedded(folder, is_fresh=True, tell=terminal.note) as services:
        demo = Demo(wish, services, terminal)
        outcome = await _unless_stopped(demo.run(), services, stop)
        if outcome is None:
            return Exit.INTERRUPTED
        demo.tell(outcome)
        if wish.stays and not stop.is_set():
            terminal.note(f"in another terminal: export TOCSIN_DATA_DIR={quote(str(folder))}")
            terminal.note("services stay up; stop with Ctrl-C")
            await services.watch(stop)
    terminal.result(outcome)
    return Exit.OK if outcome.is_sound else Exit.DIFFERENCE


def _require_sound(wish: DemoRequest, settings: Settings) -> None:
    """Raise InputError for a wish that cannot be met, before anything is started for it."""
    if wish.events is not None:
        with open_events(settings, [wish.events]):
            pass  # every line of it was looked at
    elif problems := _request(wish).problems():
        raise InputError("; ".join(problems))


def _request(wish: DemoRequest) -> Request:
    return Request(customers=wish.customers, days=wish.days, seed=wish.seed)


async def _unless_stopped(work: Any, services: Embedded, stop: asyncio.Event) -> Outcome | None:
    """Run until done, until the user stops it, or until a program gives up."""
    running = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(services.watch(stop))
    await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
    for task in (running, watching):
        if not task.done():
            task.cancel()
    await asyncio.wait({running, watching})
    if not watching.cancelled():
        watching.result()
    return None if running.cancelled() else running.result()


class Demo:
    """One run over running services."""

    def __init__(self, wish: DemoRequest, services: Embedded, terminal: Terminal) -> None:
        self._wish = wish
        self._services = services
        self._terminal = terminal
        self._environ = {
            **os.environ,
            "TOCSIN_BOOTSTRAP_SERVERS": services.bootstrap_servers,
            "TOCSIN_CLICKHOUSE_URL": services.clickhouse_url,
            "TOCSIN_CLICKHOUSE_USER": services.services.clickhouse_user,
            "TOCSIN_CLICKHOUSE_PASSWORD_FILE": services.services.token_path,
            "TOCSIN_DATA_DIR": str(services.folder),
            "TOCSIN_CLOCK": "feed",
            "TOCSIN_LOG_LEVEL": "WARNING",
            "TOCSIN_WEB_PORT": "0",
            "TOCSIN_AUDIT_PORT": "0",
            "TOCSIN_WEB_HOST": LOOPBACK,
            "TOCSIN_CONSOLE_PORT": str(free_port()),
        }
        self.settings = load(environ=self._environ, discover=False)
        self._names: dict[str, str] = {}
        self._story_facts: list[Fact] = []
        self._story_warnings: list[RiskWarning] = []
        self._total, self._ended_at = 0, 0.0

    async def run(self) -> Outcome:
        """History, go-live, live days, and the comparison of the three tellings."""
        convention = convention_of(self.settings)
        history, live = self._split(convention)
        await apply(self.settings)
        await self._load(history)
        await self._start("audit")
        await self._start("worker")
        await self._catch_up(len(history))
        if self._wish.stays:
            await self._start("web")
        going_live = Fact(live[0].instant, CLOCK.topic_id, WentLive("feed"))
        self._terminal.heading("live")
        await self._play([[going_live], *_days(live, convention)])
        self._terminal.note("comparing topic, ClickHouse and replay")
        return await self._compare([*history, going_live, *live])

    def _split(self, convention: Convention) -> tuple[list[Fact], list[Fact]]:
        """All facts, cut where the live days begin."""
        facts = self._facts(convention)
        if not facts:
            raise UnavailableError("there is no event to show")
        last = convention.business_date(facts[-1].instant)
        cut = convention.closes_at(last - LIVE_DAYS - 1)
        place = next((i for i, fact in enumerate(facts) if fact.instant >= cut), len(facts))
        return facts[:place], facts[place:]

    def _facts(self, convention: Convention) -> list[Fact]:
        wish = self._wish
        if wish.events is not None:
            with open_events(self.settings, [wish.events]) as given:
                facts = list(given.facts())
        else:
            facts = list(with_closings(portfolio_facts(wish, convention), convention))
        self._names = {
            fact.event.customer_id: fact.event.name or ""
            for fact in facts
            if isinstance(fact.event, CustomerUpdated)
        }
        return facts

    async def _load(self, history: Sequence[Fact]) -> None:
        with self._progress("history to Kafka", len(history)) as advance:
            await produce(history, self.settings, progress=advance)

    async def _start(self, name: str) -> None:
        await self._services.supervisor.start(
            Program(
                name=name,
                argv=[sys.executable, "-m", "tocsin.agents.commands.cli", name],
                environ=self._environ,
                log_path=self._services.folder / "logs" / f"{name}.log",
                stop_within_s=30.0,
            )
        )

    async def _catch_up(self, total: int) -> None:
        """Wait until the worker has decided everything, and note when that was."""
        with self._progress("deciding the history", total) as advance:
            async for done in self._positions():
                advance(min(done, total))
        self._total, self._ended_at = total, time.time()

    async def _positions(self) -> Any:
        """Yield how many facts are decided and committed, until all that was written is."""
        async with connect(self.settings) as brokers:
            deadline, before = time.monotonic() + STALL_TIMEOUT_S, -1
            while True:
                done, is_end = await self._decided(brokers)
                yield done
                if is_end:
                    return
                if done != before:
                    deadline, before = time.monotonic() + STALL_TIMEOUT_S, done
                elif time.monotonic() > deadline:
                    raise UnavailableError(
                        f"the worker has decided nothing for {STALL_TIMEOUT_S:.0f} s; see "
                        f"{self._services.folder / 'logs' / 'worker.log'}"
                    )
                await asyncio.sleep(POLL_S)

    async def _decided(self, brokers: Brokers) -> tuple[int, bool]:
        settings = self.settings
        names = {settings.topic(topic) for topic in (*FACT_TOPICS, CLOCK)}
        committed = await brokers.committed(settings.app_id)
        ends = {place: end for place, (_, end) in (await brokers.spans(names)).items()}
        facts = {settings.topic(topic) for topic in FACT_TOPICS}
        done = sum(offset for (name, _), offset in committed.items() if name in facts)
        # The last offset of a partition is the marker of the transaction that wrote it.
        is_end = all(committed.get(place, 0) >= end - 1 for place, end in ends.items() if end)
        return done, is_end

    async def _play(self, days: Iterable[Sequence[Fact]]) -> None:
        """Write day after day, and print the warnings that come of it."""
        printing = asyncio.ensure_future(self._print_warnings())
        try:
            for day in days:
                await produce(day, self.settings)
                if self._wish.is_paced:
                    await asyncio.sleep(LIVE_DAY_S)
            async for _ in self._positions():
                pass
            await asyncio.sleep(POLL_S)
        finally:
            printing.cancel()
            await asyncio.wait({printing})

    async def _print_warnings(self) -> None:
        """Print live warnings as they come: the gravest of each day whole, the others counted."""
        codec = open_codec(self.settings)
        view = WarningView(names=self._names, language=self._wish.language)  # type: ignore[arg-type]  # checked by the command
        shown: Counter[int] = Counter()
        async for record in follow(self.settings, self.settings.topic(WARNINGS), is_whole=True):
            warning = codec.decode_warning(record.value)
            if warning.phase != LIVE or warning.transition not in ("RAISED", "ESCALATED"):
                continue
            if warning.severity in ("HIGH", "CRITICAL") and (
                shown[warning.as_of] < CARDS_A_DAY_MAX
            ):
                shown[warning.as_of] += 1
                cards.print_warning(self._terminal, warning, view)

    async def _compare(self, facts: Sequence[Fact]) -> Outcome:
        settings, codec = self.settings, open_codec(self.settings)
        reconciliation = await reconcile(settings, wait_s=120.0)
        convention, log = convention_of(settings), KafkaLog(settings)
        report = await Replay(settings.app_id, settings.partitions, codec, convention, log).all()
        records = await read_topic(settings, settings.topic(WARNINGS))
        warnings = [codec.decode_warning(record.value) for record in records]
        self._story_warnings = [warning for warning in warnings if warning.customer_id in STORIES]
        self._story_facts = [
            fact for fact in facts if getattr(fact.event, "customer_id", "") in STORIES
        ]
        decided = await asyncio.to_thread(self._decide, facts)
        wanted = Counter(report.warning_ids)
        found = Counter(warning.warning_id for warning in warnings)
        audited = await asyncio.to_thread(self._audited)
        disagreements = _disagreements(settings, records, report, decided, reconciliation)
        return Outcome(
            events=len(facts),
            warnings=len(warnings),
            warnings_lost=_short(wanted, found) + _short(wanted, audited),
            warnings_doubled=_short(found, wanted) + _short(audited, wanted),
            audit_missing=reconciliation.missing,
            audit_doubled=reconciliation.doubled,
            disagreements=disagreements,
            replay_digest_equal=not disagreements,
            decision_digest=report.decision_digest,
            events_per_second=self._rate(records),
            by_rule=_counted(warning.rule for warning in warnings),
            told=sum(not warning.muted_by for warning in warnings),
            by_severity=_counted(warning.severity for warning in warnings),
        )

    def _rate(self, records: Iterable[Any]) -> int:
        """History events a second, from the turn of the first warning to the end of the history."""
        began = min((int(dict(record.headers)[PROCESSED_AT]) for record in records), default=0)
        return round(self._total / (self._ended_at - began / 1000)) if began else 0

    def _decide(self, facts: Sequence[Fact]) -> Decided:
        """Decide everything once more in this process, without Kafka or journal."""
        policy = Fact(0, POLICIES.topic_id, first_event(self.settings, None))
        return decide(chain([policy], facts), convention_of(self.settings))

    def _audited(self) -> Counter[str]:
        """Warning ids in ClickHouse, with how often each is there."""
        codec, found = open_codec(self.settings), Counter[str]()
        client = open_clickhouse(self.settings, is_reader=True)
        try:
            for partition in range(self.settings.partitions):
                for record in read_range(client, WARNINGS.topic_id, partition):
                    found[codec.decode_warning(record.value).warning_id] += 1
        finally:
            client.close()
        return found

    def tell(self, outcome: Outcome) -> None:
        """Print the summary."""
        terminal, folder = self._terminal, self._services.folder
        convention = convention_of(self.settings)
        tell_stories(terminal, self._story_facts, self._story_warnings, convention)
        terminal.heading("summary")
        terminal.facts(
            [
                ("events", f"{outcome.events:,}"),
                ("warnings", f"{outcome.warnings:,}"),
                ("  told, not muted", f"{outcome.told:,}"),
                *((f"  {name}", f"{count:,}") for name, count in outcome.by_severity.items()),
                *((f"  {name}", f"{count:,}") for name, count in outcome.by_rule.items()),
                ("events a second", f"{outcome.events_per_second:,} while deciding the history"),
                ("lost, doubled", f"{outcome.warnings_lost}, {outcome.warnings_doubled} warnings"),
                ("in ClickHouse", f"{outcome.audit_missing} records missing, "
                                  f"{outcome.audit_doubled} doubled"),
                ("replay", "equal, byte for byte" if outcome.replay_digest_equal else "DIFFERS"),
                ("decision digest", outcome.decision_digest),
            ]
        )  # fmt: skip
        for disagreement in outcome.disagreements:
            terminal.say(disagreement, style="red")
        if self._wish.stays:
            option = f"--data-dir {folder}"
            terminal.heading("look at it in a browser")
            terminal.say(f"  {address_of(LOOPBACK, self.settings.console_port)}")
            terminal.heading("try next, in another terminal")
            for command in ("warnings --open", "customer C000001", "doctor", "replay", "sql"):
                terminal.say(f"  tocsin {command} {option}")

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        console = self._terminal.note_console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)
        if not console.is_terminal:
            self._terminal.note(f"{title}: {total:,} events")


def portfolio_facts(wish: DemoRequest, convention: Convention) -> Iterator[Fact]:
    """The made-up portfolio, and where it is long enough the customers that are told of."""
    request = _request(wish)
    drawn = Portfolio(request, convention).facts()
    written = story_facts(request.last, convention) if wish.days >= SPAN_DAYS else []
    return merge(drawn, written, key=itemgetter(0, 1))


def _days(facts: Sequence[Fact], convention: Convention) -> Iterator[list[Fact]]:
    """The facts of each business day; a day's closing goes with the day that it opens."""
    for _, day in groupby(facts, key=lambda fact: convention.business_date(fact.instant)):
        yield list(day)


def _short(wanted: Counter[str], found: Counter[str]) -> int:
    """How many of the wanted were not found, each as often as it was wanted."""
    return sum((wanted - found).values())


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _disagreements(
    settings: Settings,
    records: Iterable[Any],
    report: Report,
    decided: Decided,
    reconciliation: Reconciliation,
) -> list[str]:
    """Where topic, journal, ClickHouse, replay and a plain run over the events differ."""
    digests: dict[int, RecordDigest] = {p: RecordDigest() for p in range(settings.partitions)}
    for record in records:
        digests[record.partition].add(
            [(WARNINGS.topic_id, record.key, record.value, record.headers)]
        )
    found = list(report.differences)
    if {p: digest.digest().hex() for p, digest in digests.items()} != report.digests:
        found.append("the warnings topic has other bytes than the replay")
    if decided.decision_digest != report.decision_digest:
        found.append("a plain run over the events decides otherwise than the replay")
    if not reconciliation.is_equal:
        found.append("ClickHouse and Kafka differ: `tocsin verify` tells where")
    return found
