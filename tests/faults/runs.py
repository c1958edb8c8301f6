"""One fault run: a deployment of its own is fed, befallen by its schedule, healed, and judged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import PolicyViolationError

from tests.faults import wire
from tests.faults.feeding import TROUBLE, Feeder
from tests.faults.full import FullJudge, portfolio
from tests.faults.judge import (
    Judge,
    Partition,
    Rows,
    Verdict,
    committed_offsets,
    offsets_agree,
    plain,
    read_all,
)
from tests.faults.load import generate, mistimed
from tests.faults.proxy import FULL, READ_ONLY, Proxy
from tests.faults.registered import Registry
from tests.faults.schedule import (
    CODECS,
    OVERTAKEN,
    REGISTRY,
    Schedule,
    Timed,
    draw,
    draw_registry,
)
from tests.faults.stage import (
    Broker,
    Engine,
    Member,
    environ_with,
    limit_files,
    policy_text,
    prepare_topics,
)
from tests.groups import forget_group
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.contracts.catalog import TOPICS

PARTITIONS = 3
EVENTS = 3_000
PER_SECOND = 350.0
SESSION_TIMEOUT_S = 3
LONG_SESSION_S = 60  # where whoever is frozen is to stay a member of the group
CHUNK_RECORDS = 20
STALL_S = 75.0  # without any progress: more than a broker's transaction timeout of 60
RUN_WITHIN_S = 600.0
STARVED_SHARE = 0.7  # of its ticks that the harness must have had for a standstill to be a finding
TICK_S = 0.1
AUDIT_STALL_S = 30.0
FULL_BYTES = 4096
CLOCK_JUMPS = (-86_400, -3_600, 7_200, 400 * 86_400)
BEGUN_WITHIN_S = 150.0
POLL_S = 0.1
ALLOWED_WITHIN_S = 10.0  # a topic's new setting is known to every broker
TOUCHED_WITHIN_S = 5.0  # how much longer weather stays until something has come into it
DEFECTS = {1, 2, 72}  # codes that no fault explains: the log is kept to look at


@dataclass
class Outcome:
    """What is recorded of a run."""

    seed: int
    planned: list[str]
    observed: list[str] = field(default_factory=list)
    kills: int = 0
    verdict: str = "unverified"
    why: str = ""
    note: str = ""
    seconds: float = 0.0
    codes: dict[str, list[int]] = field(default_factory=dict)
    counts: Verdict = field(default_factory=Verdict)

    def line(self) -> dict[str, Any]:
        """One line of the results."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "counts"}
        return {**own, "seconds": round(self.seconds, 1), **self.counts.told()}


class StarvedError(Exception):
    """The machine had no time for the run: nothing can be said about it."""


class GivenUpError(Exception):
    """The product did not come to an end of its work, or would not go on: a finding."""


class Run:
    """The parts of one run, and what can be done to them."""

    def __init__(
        self,
        seed: int,
        broker: Broker,
        folder: Path,
        schedule: Schedule,
        *,
        broken: tuple[str, ...] = (),
        events: int = EVENTS,
        per_second: float = PER_SECOND,
        is_full: bool = False,
        registry: Registry | None = None,
    ) -> None:
        """`is_full`: the packaged policy over a generated portfolio, instead of three rules."""
        self.is_full = is_full
        self.registry = registry
        self.seed, self.broker, self.schedule = seed, broker, schedule
        self.folder, self.events, self.per_second = folder, events, per_second
        self.app_id = folder.name
        self.prefix = f"{self.app_id}."
        self.outcome = Outcome(seed, schedule.names)
        self._chance = Random(seed + 1)
        self._seen = folder / "seen"
        self._seen.mkdir(parents=True)
        self._clock = folder / "clock"
        plan = {
            "points": [
                {"point": p.point, "nth": p.nth, "do": p.do} for p in schedule.points
            ],
            "broken": list(broken),
            "clock": str(self._clock),
        }  # fmt: skip
        (folder / "plan.json").write_text(json.dumps(plan))
        self._faults = {
            "FAULTS_PLAN": str(folder / "plan.json"),
            "FAULTS_SEEN": str(self._seen),
        }
        self.engine = Engine(folder / "engine", self._faults)
        self.door = Proxy(0, self._chance)  # before ClickHouse
        self._how, _, self._codec = schedule.compression.partition("-")
        codec = self._codec if self._how == "compress" else None
        self.feeder = Feeder(broker.servers, self.prefix, PARTITIONS, codec)
        self._session_s = SESSION_TIMEOUT_S
        if schedule.refusal == "trim-frozen-worker":
            self._session_s = LONG_SESSION_S
        self._kept: list[Partition] | None = None  # what was read of topics before they were cut
        self.workers: list[Member] = []
        self.audit: Member | None = None
        self._environ: dict[str, str] = {}
        self._journal: AIOKafkaConsumer | None = None
        self._reached: dict[tuple[str, int], int] = {}
        self._begun = asyncio.Event()
        self._evolved, self._missed = asyncio.Event(), asyncio.Event()
        self._one_broker = asyncio.Lock()  # of several brokers one is away at a time
        self._following: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._ticks = 0

    async def play(self) -> Outcome:
        """Do it all; trouble of the harness's own leaves the run unverified."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(RUN_WITHIN_S):
                await self._prepare()
                await (self._refuse() if self.schedule.refusal else self._befall())
        except GivenUpError as error:
            self.outcome.verdict, self.outcome.why = "broken", str(error)
        except StarvedError as error:
            self.outcome.verdict, self.outcome.why = "unverified", str(error)
        except Exception as error:  # whatever it is, nothing has been verified
            self.outcome.verdict, self.outcome.why = "unverified", f"harness: {error!r}"
        finally:
            await self._clear()
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    async def _prepare(self) -> None:
        if self._is_proxied:
            await self.broker.open_proxy()
        environ = {**os.environ, **self._faults}
        base = environ_with(
            environ,
            bootstrap_servers=self.broker.servers,
            data_dir=self.folder / "data",
            app_id=self.app_id,
            topic_prefix=self.prefix,
            partitions=PARTITIONS,
            replication_factor=self.broker.count,
            clock="feed",
            log_level="WARNING",
            session_timeout_s=self._session_s,
            compression=self._codec if self._how == "compress" else "none",
            chunk_records_max=CHUNK_RECORDS,
        )
        if self.registry is not None:
            await self.registry.open_proxy()
            base = environ_with(base, registry_url=self.registry.url)
        settings = load(environ={k: v for k, v in base.items() if k.startswith("TOCSIN_")},
                        discover=False)  # fmt: skip
        self._settings = settings
        text = None if self.is_full else policy_text()
        await asyncio.gather(prepare_topics(settings, text), self.engine.start())
        if self._how == "recompress":
            await self._let_broker_compress(settings)
        if self.registry is not None:
            await self.registry.adopt(self.prefix)
        self.door = Proxy(urlsplit(self.engine.url).port or 0, self._chance)
        port = await self.door.start()
        Rows(self.engine.url, "default", "tocsin", self.engine.token).ask(
            f"CREATE DATABASE `{self.app_id}`"
        )
        self._environ = environ_with(
            base,
            bootstrap_servers=self.broker.proxied if self._is_proxied else self.broker.servers,
            clickhouse_url=f"http://127.0.0.1:{port}/{self.app_id}",
            clickhouse_user="tocsin",
            clickhouse_password=self.engine.token,
        )
        for _ in range(self.schedule.workers):
            self._add_worker()
        self.audit = self._member("audit")
        self.audit.start()
        self._following = asyncio.create_task(self._follow())
        self._ticking = asyncio.create_task(self._tick())

    async def _let_broker_compress(self, settings: Settings) -> None:
        async with connect(settings) as brokers:
            for topic in (*wire.SOURCES, *wire.OUTPUTS):
                await brokers.set_topic(self.prefix + topic, {"compression.type": self._codec})

    @property
    def _is_proxied(self) -> bool:
        return self.broker.count == 1 and any(
            timed.kind.startswith("net-") for timed in self.schedule.timed
        )

    def _member(self, command: str) -> Member:
        number = len(self.workers)
        environ = environ_with(self._environ, web_port=0, audit_port=0)
        return Member(command, environ, self.folder / f"{command}-{number}.log")

    def _add_worker(self) -> Member:
        worker = self._member("worker")
        self.workers.append(worker)
        worker.start()
        return worker

    async def _befall(self) -> None:
        feeding = asyncio.create_task(self._feed())
        watching = asyncio.create_task(self._continue_zombies())
        befalling = [asyncio.create_task(self._do(timed)) for timed in self.schedule.timed]
        try:
            await asyncio.gather(feeding, *befalling)
            await self._heal()
            await self._until_decided()
        finally:
            for task in (feeding, watching, *befalling):
                task.cancel()
            await asyncio.gather(feeding, watching, *befalling, return_exceptions=True)
        for worker in self.workers:
            await worker.stop()
        await self._judge()

    async def _feed(self) -> None:
        """Write all facts; with a registry, the later half by a schema that nobody has met yet."""
        if self.registry is None:
            await self.feeder.run(self._facts(), self.per_second)
            return
        facts = generate(self.seed, self.events)
        await self.feeder.run(list(islice(facts, self.events // 2)), self.per_second)
        await self.registry.evolve(self.prefix)
        self._evolved.set()
        await self._missed.wait()
        await self.feeder.run(list(facts), self.per_second)

    def _facts(self) -> list[Any]:
        if self.is_full:
            return list(portfolio(self._settings, self.seed, self.events))
        return list(mistimed(generate(self.seed, self.events), self.schedule.mistimed))

    async def _judge(self, *, is_whole: bool = True) -> None:
        outcome = self.outcome
        partitions = await read_all(
            self.broker.servers, self.prefix, (*wire.SOURCES, *wire.OUTPUTS), PARTITIONS
        )
        for now, kept in zip(partitions, self._kept or [], strict=False):
            now.update({topic: kept[topic] for topic in wire.SOURCES})
        judge = Judge(partitions, is_whole=is_whole)
        if self.is_full and is_whole:
            judge = FullJudge(partitions, self._settings)
        outcome.counts = judge.judge()
        problems = outcome.counts.problems
        told = await committed_offsets(self.broker.servers, self.app_id, self.prefix, PARTITIONS)
        lost = "payments-" if self.schedule.refusal == "recreated-topic" else None
        problems += [  # Kafka forgets the offsets of a topic that is deleted
            found
            for found in offsets_agree(partitions, told)
            if lost is None or not found.startswith(lost)
        ]
        problems += await self._audited(partitions)
        self._note_observed()
        if problems:
            outcome.verdict, outcome.why = "broken", problems[0]
        elif not outcome.observed:
            outcome.verdict, outcome.why = "unverified", "no fault was observed"
        elif {*REGISTRY} & {*outcome.planned} - {*outcome.observed}:
            outcome.verdict, outcome.why = "unverified", "nobody missed the registry"
        else:
            outcome.verdict = "ok"

    async def _audited(self, partitions: Any) -> list[str]:
        """Wait for ClickHouse to have as many rows as there are records; then compare all."""
        if self.schedule.refusal == "corrupt-state":
            return await self._audit_refuses()
        if self.schedule.refusal == "trim-frozen-audit":
            return await self._audit_is_cut(partitions)
        rows = Rows(self.engine.url, self.app_id, "tocsin", self.engine.token)
        due = {topic: sum(len(p[topic]) for p in partitions) for topic in wire.HISTORY}
        before: dict[str, int] = {}
        since, ticks = time.monotonic(), self._ticks
        while True:
            try:
                found = await asyncio.to_thread(rows.counts)
                if found == due:
                    break
                if found != before:
                    before, since, ticks = found, time.monotonic(), self._ticks
            except OSError:  # tables are not made yet, or the engine starts again
                await self._revive()
            if time.monotonic() > since + AUDIT_STALL_S or (
                self.audit and self.audit.refusal is not None
            ):
                self._require_time(since, ticks)
                break
            await asyncio.sleep(POLL_S)
        self.outcome.counts.rows = sum(due.values())
        if self.audit is not None:
            code = await self.audit.stop()
            self.outcome.codes["audit"] = self.audit.codes
            if code not in (0, -signal.SIGTERM, -signal.SIGKILL):
                return [f"the audit ended with {code}: {self.audit.log()}"]
        try:
            return await asyncio.to_thread(lambda: list(rows.differences(partitions)))
        except OSError as error:
            return [f"ClickHouse cannot be read: {error}"]

    async def _audit_refuses(self) -> list[str]:
        """Wait for the audit to end over the broken state record as the worker did."""
        assert self.audit is not None
        since, ticks = time.monotonic(), self._ticks
        while Exit.SINK not in self.audit.codes:
            if time.monotonic() > since + AUDIT_STALL_S:
                self._require_time(since, ticks)
                return [f"the audit took the broken state: {self.audit.codes} {self.audit.log()}"]
            await asyncio.sleep(POLL_S)
        await self.audit.stop()
        self.outcome.codes["audit"] = self.audit.codes
        return []

    async def _audit_is_cut(self, partitions: list[Partition]) -> list[str]:
        """That every table has a beginning of its topic's partitions, and nothing after the gap."""
        rows = Rows(self.engine.url, self.app_id, "tocsin", self.engine.token)
        self.outcome.codes["audit"] = self._sink.codes
        problems = []
        for topic in wire.SOURCES:
            told = await asyncio.to_thread(rows.places, topic)
            for number, partition in enumerate(partitions):
                due = [record.offset for record in partition[topic]]
                found = [offset for place, offset in told if place == number]
                if found != due[: len(found)]:
                    problems.append(f"table {topic}: partition {number} has rows after the gap")
        return problems

    def _note_observed(self) -> None:
        outcome = self.outcome
        if self._codec and self._is_compressed():
            outcome.observed.append(self.schedule.compression)
        for number, worker in enumerate(self.workers):
            outcome.codes[f"worker-{number}"] = worker.codes
            if set(worker.codes) & DEFECTS:
                outcome.note = worker.log()
        if self.schedule.mistimed and outcome.counts.refused:
            outcome.observed.append(self.schedule.mistimed)
        names = sorted(path.name for path in self._seen.iterdir())
        planned = {point.name for point in self.schedule.points}
        outcome.observed += [name for name in names if name in planned]
        outcome.kills = sum(codes.count(-9) for codes in outcome.codes.values())
        outcome.kills += sum(
            name in ("broker-kill", "engine-kill", "registry-kill") or "in-insert" in name
            for name in outcome.observed
        )

    def _is_compressed(self) -> bool:
        """Whether sources and outputs lie at the broker as they were to be compressed."""
        topics = ("invoices", "payments", "warnings", "journal", "ledgers")
        number = CODECS[self._codec]
        return all(number in self.broker.codecs_of(self.prefix + topic) for topic in topics)

    # What is done to the parts.

    async def _do(self, timed: Timed) -> None:
        if not timed.is_early:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._begun.wait(), BEGUN_WITHIN_S)
        await asyncio.sleep(timed.at_s)
        act = getattr(self, "_" + timed.kind.replace("-", "_"))
        if await act(timed.lasting_s):
            self.outcome.observed.append(timed.kind)

    def _any_worker(self) -> Member:
        running = [worker for worker in self.workers if worker.pid]
        return self._chance.choice(running or self.workers)

    async def _worker_kill(self, _lasting_s: float) -> bool:
        return self._any_worker().signal(signal.SIGKILL)

    async def _worker_term(self, _lasting_s: float) -> bool:
        return self._any_worker().signal(signal.SIGTERM)

    async def _worker_freeze(self, lasting_s: float) -> bool:
        return await _frozen(self._any_worker(), lasting_s)

    async def _audit_kill(self, _lasting_s: float) -> bool:
        return self._sink.signal(signal.SIGKILL)

    async def _audit_term(self, _lasting_s: float) -> bool:
        return self._sink.signal(signal.SIGTERM)

    async def _audit_freeze(self, lasting_s: float) -> bool:
        return await _frozen(self._sink, lasting_s)

    @property
    def _sink(self) -> Member:
        assert self.audit is not None
        return self.audit

    async def _engine_kill(self, lasting_s: float) -> bool:
        was_up = self.engine.is_up
        self.engine.kill()
        await asyncio.sleep(lasting_s)
        await self._revive()
        return was_up

    async def _engine_slow(self, lasting_s: float) -> bool:
        self.door.weather.delay_s = 0.3
        return await self._passed(self.door, lasting_s)

    async def _engine_read_only(self, lasting_s: float) -> bool:
        self.door.weather.refusal = READ_ONLY
        return await self._passed(self.door, lasting_s)

    async def _engine_full(self, lasting_s: float) -> bool:
        self.door.weather.refusal = FULL
        return await self._passed(self.door, lasting_s)

    async def _registry_kill(self, lasting_s: float) -> bool:
        registry = await self._unmet()
        registry.kill()
        self._missed.set()
        before = registry.proxy.callers
        await asyncio.sleep(lasting_s)
        asked = registry.proxy.callers > before
        await registry.revive()
        return asked

    async def _registry_away(self, lasting_s: float) -> bool:
        registry = await self._unmet()
        registry.proxy.weather.is_cut = True
        self._missed.set()
        return await self._passed(registry.proxy, lasting_s)

    async def _unmet(self) -> Registry:
        """The registry, once it has a schema that nobody has met; nobody remembers one on disk."""
        assert self.registry is not None
        await self._evolved.wait()
        shutil.rmtree(self._settings.data_path / "schemas", ignore_errors=True)
        return self.registry

    async def _broker_kill(self, lasting_s: float) -> bool:
        async with self._one_broker:
            was_up = self.broker.is_up
            self._chance.choice(self.broker.nodes).kill()
            await asyncio.sleep(lasting_s)
            await self.broker.restart()
        return was_up

    async def _broker_full(self, lasting_s: float) -> bool:
        """No file may grow any more: Kafka takes its disk for broken and ends."""
        node = self._chance.choice(self.broker.nodes)
        if node.returncode is not None:
            return False
        limit_files(node.pid, FULL_BYTES)
        deadline = time.monotonic() + max(lasting_s, 4.0)
        while node.returncode is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process
            await asyncio.sleep(POLL_S)
        ended = node.returncode is not None
        if not ended:
            limit_files(node.pid, None)
        await self.broker.restart()
        return ended

    async def _net_delay(self, lasting_s: float) -> bool:
        self.broker.proxy.weather.delay_s = self._chance.uniform(0.02, 0.2)
        return await self._passed(self.broker.proxy, lasting_s)

    async def _net_partition(self, lasting_s: float) -> bool:
        self.broker.proxy.weather.is_cut = True
        return await self._passed(self.broker.proxy, lasting_s)

    async def _net_loss(self, lasting_s: float) -> bool:
        self.broker.proxy.weather.is_lossy = True
        return await self._passed(self.broker.proxy, lasting_s)

    async def _clock_jump(self, _lasting_s: float) -> bool:
        self._clock.write_text(str(self._chance.choice(CLOCK_JUMPS)))
        await asyncio.sleep(1.0)
        return any(path.name.startswith("clock-") for path in self._seen.iterdir())

    async def _scale(self, lasting_s: float) -> bool:
        """From however many to three, and back to one."""
        while len(self.workers) < 3:
            self._add_worker()
        await asyncio.sleep(lasting_s)
        for worker in self.workers[1:]:
            await worker.stop()
        return True

    async def _passed(self, proxy: Proxy, lasting_s: float) -> bool:
        before = proxy.weather.touched
        await asyncio.sleep(lasting_s)
        for _ in range(round(TOUCHED_WITHIN_S / POLL_S)):
            if proxy.weather.touched > before:
                break
            await asyncio.sleep(POLL_S)
        proxy.clear()
        return proxy.weather.touched > before

    async def _continue_zombies(self) -> None:
        """Wake those that stopped themselves, when the others have given them up."""
        woken: set[str] = set()
        while True:
            for path in self._seen.glob("stop-*"):
                pid = path.read_text()
                if path.name not in woken and pid:
                    woken.add(path.name)
                    await asyncio.sleep(SESSION_TIMEOUT_S + self._chance.uniform(1.0, 3.0))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGCONT)
            await asyncio.sleep(POLL_S)

    async def _heal(self) -> None:
        self.broker.proxy.clear()
        self.door.clear()
        self._clock.unlink(missing_ok=True)
        await self.broker.restart()
        if self.registry is not None:
            self.registry.proxy.clear()
            await self.registry.revive()
        await self._revive()

    async def _revive(self) -> None:
        if not self.engine.is_up:
            await self.engine.start()

    # How far it is.

    async def _until_decided(self) -> None:
        """Wait for the journal to have reached the end of every source topic."""
        ends = await self._ends()
        before, since, ticks = 0, time.monotonic(), self._ticks
        while not all(self._reached.get(place, 0) >= end - 1 for place, end in ends.items() if end):
            if (done := sum(self._reached.values())) != before:
                before, since, ticks = done, time.monotonic(), self._ticks
            for worker in self.workers:
                if worker.refusal is not None:
                    raise self._given_up(f"a worker ended with {worker.refusal}: {worker.log()}")
            if time.monotonic() > since + STALL_S:
                self._require_time(since, ticks)
                lag = {p: (self._reached.get(p), e) for p, e in ends.items()
                       if self._reached.get(p, 0) < e - 1}  # fmt: skip
                raise self._given_up(f"stalled: {lag}; {self.workers[0].log()}")
            await self._revive()
            await asyncio.sleep(POLL_S)

    async def _tick(self) -> None:
        """Count how often the harness itself is let run."""
        while True:
            await asyncio.sleep(TICK_S)
            self._ticks += 1

    def _require_time(self, since: float, ticks: int) -> None:
        share = (self._ticks - ticks) * TICK_S / (time.monotonic() - since)
        if share < STARVED_SHARE:
            raise StarvedError(f"the machine was too busy: {share:.0%} of the ticks")

    def _given_up(self, why: str) -> GivenUpError:
        self._note_observed()
        return GivenUpError(why)

    async def _ends(self) -> dict[tuple[str, int], int]:
        places = {
            TopicPartition(self.prefix + topic, number): (topic, number)
            for topic in wire.SOURCES
            for number in range(PARTITIONS)
        }
        async with AIOKafkaConsumer(bootstrap_servers=self.broker.servers) as consumer:
            return {places[p]: e for p, e in (await consumer.end_offsets(list(places))).items()}

    async def _follow(self) -> None:
        """Read the journal as it grows: how far the workers are."""
        self._journal = AIOKafkaConsumer(
            bootstrap_servers=self.broker.servers, isolation_level="read_committed",
            enable_auto_commit=False, auto_offset_reset="earliest",
        )  # fmt: skip
        await self._journal.start()
        self._journal.assign(
            [TopicPartition(f"{self.prefix}journal", number) for number in range(PARTITIONS)]
        )
        while True:
            for place, records in (await self._journal.getmany(timeout_ms=200)).items():
                self._begun.set()
                for span in plain(wire.decode("journal", records[-1].value))["ranges"]:
                    reached = wire.SOURCES[span["topic_id"]], place.partition
                    self._reached[reached] = span["next"]

    async def _clear(self) -> None:
        members = [*self.workers, *([self.audit] if self.audit else [])]
        for member in members:
            member.is_wanted = False
            member.signal(signal.SIGKILL)
        await asyncio.gather(*(member.stop() for member in members))
        if self._is_proxied:
            await self.broker.proxy.stop()
        if self.registry is not None:
            await self.registry.proxy.stop()
            await self.registry.revive()
        for task in (self._following, self._ticking):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        with contextlib.suppress(*TROUBLE):
            await self.broker.restart()
            await self.feeder.close()
            if self._journal is not None:
                await self._journal.stop()
            await self._drop_topics()
        await self.door.stop()
        await self.engine.stop()
        if self.outcome.verdict == "ok":
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _drop_topics(self) -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        await client.start()
        try:
            await client.delete_topics([self.prefix + topic.name for topic in TOPICS])
        finally:
            await client.close()

    # Broken ground: the product must refuse it, and say so.

    async def _overtake(self) -> None:
        """Freeze a reader, delete what it has not read, let it go on: it must not."""
        facts, reader = self._facts(), self.workers[0]
        half, rest = len(facts) // 2, len(facts) * 3 // 4
        if self.schedule.refusal == "trim-frozen-audit":
            reader = self._sink
        await self.feeder.run(facts[:half], self.per_second * 3)
        await self._until_decided()
        await self._until_copied()
        reader.signal(signal.SIGSTOP)
        await self.feeder.run(facts[half:rest], self.per_second * 3)
        if reader is self._sink:
            await self._until_decided()
        else:
            await self._until_copied()
        self._kept = await read_all(self.broker.servers, self.prefix, wire.SOURCES, PARTITIONS)
        firsts = await self._cut()
        if self.schedule.refusal == "trim-zombie-worker":
            await asyncio.sleep(SESSION_TIMEOUT_S * 2)
        await self.feeder.run(facts[rest:], self.per_second * 3)
        reader.signal(signal.SIGCONT)
        await self._until_refused(reader, firsts)
        if reader is self._sink:
            await self._until_decided()
        later = await read_all(self.broker.servers, self.prefix, wire.SOURCES, PARTITIONS)
        for kept, more in zip(self._kept, later, strict=True):
            for topic in wire.SOURCES:
                known = {record.offset for record in kept[topic]}
                kept[topic] += [r for r in more[topic] if r.offset not in known]
        for worker in self.workers:
            await worker.stop()
        await self._judge(is_whole=reader is self._sink)

    async def _cut(self) -> dict[tuple[str, int], int]:
        """Delete all that the topics of facts have, as retention may; return where they begin."""
        ends = {place: end for place, end in (await self._ends()).items() if end}
        cut = {place: end for place, end in ends.items() if place[0] not in ("policies", "clock")}
        client = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        await client.start()
        try:
            await client.delete_records(
                {
                    TopicPartition(self.prefix + topic, number): RecordsToDelete(before_offset=end)
                    for (topic, number), end in cut.items()
                }
            )
        finally:
            await client.close()
        return cut

    async def _until_refused(self, reader: Member, firsts: dict[tuple[str, int], int]) -> None:
        """Wait for a reader's last word: where it is, and where the topic begins."""
        since, ticks = time.monotonic(), self._ticks
        while reader.refusal is None:
            if reader is not self._sink and any(
                self._reached.get(place, 0) > first for place, first in firsts.items()
            ):
                raise self._given_up("a worker has decided what comes after a gap")
            if time.monotonic() > since + STALL_S:
                self._require_time(since, ticks)
                raise self._given_up(f"{self.schedule.refusal}: it did not stop; {reader.log()}")
            await asyncio.sleep(POLL_S)
        named = re.search(r"(\S+)-(\d) begins at offset (\d+), but (\d+) comes next", reader.log())
        if reader.refusal != Exit.RESTORE or named is None:
            raise self._given_up(f"it ended with {reader.refusal}: {reader.log()}")
        topic, number, first, wanted = named.groups()
        place = topic.removeprefix(self.prefix), int(number)
        if int(first) != firsts.get(place) or int(wanted) >= int(first):
            raise self._given_up(f"it names another gap than {firsts.get(place)}: {named[0]}")
        self.outcome.observed.append(f"{self.schedule.refusal} refused with {reader.refusal}")

    async def _until_copied(self, topics: tuple[str, ...] = wire.SOURCES) -> None:
        """Wait for the audit to have a row for every record that there is, of sources or others."""
        partitions = await read_all(self.broker.servers, self.prefix, topics, PARTITIONS)
        due = {topic: sum(len(p[topic]) for p in partitions) for topic in topics}
        rows = Rows(self.engine.url, self.app_id, "tocsin", self.engine.token)
        since, ticks = time.monotonic(), self._ticks
        while True:
            with contextlib.suppress(OSError):  # tables are not made yet
                found = await asyncio.to_thread(rows.counts)
                if all(found[topic] >= count for topic, count in due.items()):
                    return
            if time.monotonic() > since + STALL_S:
                self._require_time(since, ticks)
                raise self._given_up(f"the audit stalled: {self._sink.log()}")
            await asyncio.sleep(POLL_S)

    async def _refuse(self) -> None:
        if self.schedule.refusal in OVERTAKEN:
            await self._overtake()
            return
        facts = self._facts()
        await self.feeder.run(facts[: len(facts) // 2], self.per_second * 3)
        await self._until_decided()
        for worker in self.workers:
            await worker.stop()
        if self.schedule.refusal == "expired-group":
            await self._forget(facts[len(facts) // 2 :])
            return
        breaks: dict[str, Callable[[], Awaitable[None]]] = {
            "corrupt-state": self._corrupt_state,
            "trim-changelog": self._trim_changelog,
            "few-partitions": self._few_partitions,
            "recreated-topic": self._recreate_read,
        }
        await breaks[self.schedule.refusal]()
        await self.feeder.run(facts[len(facts) // 2 :], self.per_second * 3)
        worker = self._add_worker()
        since, ticks = time.monotonic(), self._ticks
        while worker.refusal is None:
            if time.monotonic() > since + STALL_S:
                self._require_time(since, ticks)
                raise self._given_up(f"{self.schedule.refusal}: nobody refused; {worker.log()}")
            await asyncio.sleep(POLL_S)
        self.outcome.observed.append(f"{self.schedule.refusal} refused with {worker.refusal}")
        is_mended = self.schedule.refusal == "few-partitions"
        if is_mended:
            await self._recreate("engagements", PARTITIONS)
            self._add_worker()
            self.workers.remove(worker)
            await self._until_decided()
        await self._judge(is_whole=is_mended)

    async def _forget(self, rest: list[Any]) -> None:
        """The brokers forget the group's offsets: work goes on where the journal ends."""
        await forget_group({"bootstrap_servers": self.broker.servers}, self.app_id)
        told = await committed_offsets(self.broker.servers, self.app_id, self.prefix, PARTITIONS)
        assert not any(told.values()), told
        self.outcome.observed.append(self.schedule.refusal)
        self._add_worker()
        await self.feeder.run(rest, self.per_second * 3)
        await self._until_decided()
        for worker in self.workers:
            await worker.stop()
        await self._judge()

    async def _recreate_read(self) -> None:
        """Make a topic anew of which much was read; what was read is known from before."""
        await self._until_copied(wire.HISTORY)
        await self._sink.stop()
        self._kept = await read_all(self.broker.servers, self.prefix, wire.SOURCES, PARTITIONS)
        await self._recreate("payments", PARTITIONS)

    async def _corrupt_state(self) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.broker.servers) as producer:
            for number in range(PARTITIONS):
                await producer.send_and_wait(
                    f"{self.prefix}ledgers", b"\0\0\0\0\x08\x04broken", key=b"cC001",
                    partition=number,
                )  # fmt: skip

    async def _trim_changelog(self) -> None:
        name = f"{self.prefix}ledgers"
        client = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        async with connect(load(environ=self._own_settings(), discover=False)) as brokers:
            spans = await brokers.spans([name])
            await brokers.set_topic(name, {"cleanup.policy": "delete"})  # else it is not allowed
            await client.start()
            try:
                await _allowed(
                    lambda: client.delete_records(
                        {
                            TopicPartition(*place): RecordsToDelete(before_offset=end)
                            for place, (_, end) in spans.items()
                        }
                    )
                )
            finally:
                await client.close()
            await brokers.set_topic(name, {"cleanup.policy": "compact"})

    async def _few_partitions(self) -> None:
        await self._recreate("engagements", PARTITIONS - 1)

    async def _recreate(self, topic: str, partitions: int) -> None:
        """Make a topic anew that nothing was ever written to."""
        name, configs = self.prefix + topic, {"retention.ms": "-1", "retention.bytes": "-1"}
        async with connect(load(environ=self._own_settings(), discover=False)) as brokers:
            await brokers.delete([name])
            await brokers.create(
                name, partitions, self.broker.count, {"cleanup.policy": "delete", **configs}
            )

    def _own_settings(self) -> dict[str, str]:
        return {k: v for k, v in self._environ.items() if k.startswith("TOCSIN_")}


async def _allowed(request: Callable[[], Awaitable[object]]) -> None:
    """Ask until the broker has heard from its controller that the policy is another one."""
    async with asyncio.timeout(ALLOWED_WITHIN_S):
        while True:
            try:
                await request()
                return
            except PolicyViolationError:
                await asyncio.sleep(POLL_S)


async def _frozen(member: Member, lasting_s: float) -> bool:
    """Stop a process for a while."""
    pid = member.pid
    if not member.signal(signal.SIGSTOP):
        return False
    await asyncio.sleep(lasting_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    return True


def run_of(
    seed: int,
    broker: Broker,
    folder: Path,
    *,
    broken: tuple[str, ...] = (),
    schedule: Schedule | None = None,
    events: int = EVENTS,
    is_full: bool = False,
    registry: Registry | None = None,
) -> Run:
    """The run of a seed, with the schedule that follows from it unless another is given.

    Of a cluster, two brokers more are lost, one after the other; a registry, if there is one, too.
    """
    drawn = draw if registry is None else draw_registry
    chosen = schedule or drawn(seed, events / PER_SECOND)
    if broker.count > 1:
        losses = (Timed("broker-kill", 1.0, 3.0), Timed("broker-kill", 4.0, 3.0))
        chosen = replace(chosen, timed=chosen.timed + losses)
    return Run(
        seed, broker, folder, chosen,
        broken=broken, events=events, is_full=is_full, registry=registry,
    )  # fmt: skip
