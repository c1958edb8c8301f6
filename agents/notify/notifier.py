"""The notifier: reads warnings once, brings each to its receivers, forgets nothing in between.

One at a time works, others stand by. What a turn of the loop changed (positions, notices,
deliveries, budgets) is one Kafka transaction with the group's offsets, and only then acted upon: a
kill at any moment repeats at most the delivery under way, with its id. Each receiver has a task of
its own, so that an outage holds back nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.structs import TopicPartition

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.kafka.brokers import consuming, translating_failures
from tocsin.agents.kafka.readers import Reader, require_kept
from tocsin.agents.notify.config import Config, Receiver
from tocsin.agents.notify.customers import Customers
from tocsin.agents.notify.decisions import NotificationDecider
from tocsin.agents.notify.deliver import Outcome, Result, Sender
from tocsin.agents.notify.deliver_http import AlertmanagerSender
from tocsin.agents.notify.outbox import (
    DEAD,
    PARTITION,
    Delivery,
    Outbox,
    Position,
    Resend,
    piece_of,
    read_outbox,
)
from tocsin.agents.notify.sending import MessageTexts, sender_of
from tocsin.agents.observe.metrics import (
    DELIVERIES,
    DELIVERY,
    UNDELIVERED,
    UNDELIVERED_AGE,
    Metrics,
    Program,
)
from tocsin.agents.observe.probes import Probe, serve_probes
from tocsin.agents.observe.tracing import Attempt, Tracer, open_tracer, traces_of
from tocsin.agents.settings.errors import TrimmedError
from tocsin.agents.settings.exits import Exit, die
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.transaction import Chunk, Committer, Producers, Route, Transaction
from tocsin.agents.worker.faust_runtime import ExclusiveAssignor
from tocsin.schemas.contracts.catalog import CUSTOMERS, OUTBOX, WARNINGS

log = logging.getLogger(__name__)

GROUP: Final = 0  # one transactional producer: who starts it fences whoever had it

HELD_MAX: Final = 50_000  # notices and deliveries in memory; beyond it warnings wait on their topic
RECORDS_MAX: Final = 1000
POLL_MS: Final = 250
IDLE_S: Final = 0.5
MEASURE_MS: Final = 2_000


def group_of(settings: Settings) -> str:
    """The notifier's consumer group, and the prefix of its transactional id."""
    return f"{settings.app_id}-notify"


async def run_notify(settings: Settings, config: Config, stop: asyncio.Event) -> None:
    """Deliver until told to stop. Raises ConfigurationError, UnavailableError at the start.

    Later a failed transaction, or another notifier that took over, ends the process.
    """
    senders = {found.name: sender_of(found) for found in config.receivers}
    for topic in (WARNINGS, CUSTOMERS, OUTBOX):
        await require_topic(settings, topic)
    probe = Probe(Metrics(Program.NOTIFY), settings.stall_after_s)
    async with (
        translating_failures(settings),
        serve_probes(settings, settings.notify_port, probe, "notify_port"),
    ):
        notifier = Notifier(settings, config, senders, probe)
        try:
            await notifier.run(stop)
        finally:
            await notifier.close()


class Turn(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Tells what the group gives to this member."""

    def __init__(self, on_turn: Callable[[set[TopicPartition]], None]) -> None:
        self._on_turn = on_turn

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing: what comes next tells whether another has them."""

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Tell it."""
        self._on_turn(set(assigned))


class Notifier:
    """One deployment's notifier."""

    def __init__(
        self, settings: Settings, config: Config, senders: Mapping[str, Sender], probe: Probe
    ) -> None:
        self._settings = settings
        self._config = config
        self._senders = senders
        self._probe = probe
        self._codec = open_codec(settings)
        self._route = Route(OUTBOX.topic_id, settings.topic(OUTBOX))
        self._producers = Producers(group_of(settings), settings.producer_options())
        self._committer = Committer(group_of(settings), self._producers, die)
        self._customers = Customers(settings, self._codec)
        self._words = MessageTexts(config, self._customers)
        self._tracer = open_tracer(settings)
        self._consumer = _consumer(settings)
        self._outbox = Outbox(self._codec)
        self._desk: NotificationDecider
        self._wishes: list[Resend] = []
        self._wake = {name: asyncio.Event() for name in senders}
        self._writing = asyncio.Lock()
        self._stop: asyncio.Event
        self._mine: set[TopicPartition] = set()
        self._is_working = False
        self._turns: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait until it is this one's turn, restore, then work until `stop`."""
        self._stop = stop
        await self._consumer.start()
        self._consumer.subscribe([self._settings.topic(WARNINGS)], listener=Turn(self._on_turn))
        self._probe.is_started = True
        if not await self._until_assigned():
            return
        listening = asyncio.create_task(self._listen(await self._restore()))
        self._probe.is_ready = True
        work = [asyncio.create_task(self._take())]
        work += [asyncio.create_task(self._serve(found)) for found in self._config.receivers]
        try:
            # Told to stop, each ends after what it is doing; the first failure ends all.
            await _all_of([*work], listening)
        finally:
            for task in (listening, *work):
                task.cancel()
            await asyncio.gather(listening, *work, return_exceptions=True)
            await self._committer.drain()

    async def close(self) -> None:
        """Let go of all connections."""
        for sender in self._senders.values():
            await sender.close()
        await self._consumer.stop()
        await self._customers.stop()
        await self._producers.stop_all()

    async def _until_assigned(self) -> bool:
        """Stand by until all partitions are this one's; False if told to stop before."""
        while not self._mine:
            if self._stop.is_set():
                return False
            # Where to begin the outbox tells; the group's offset may be none, or lie before it.
            with suppress(NoOffsetForPartitionError, TrimmedError):
                await self._consumer.getmany(timeout_ms=POLL_MS, max_records=1)
        return True

    def _on_turn(self, assigned: set[TopicPartition]) -> None:
        """Take what the group gives; go where the outbox says, not where the group would."""
        if self._is_working and assigned != self._mine:
            die(Exit.TRANSACTION, "another notifier took over; a restart stands by")
        self._mine = assigned
        if self._is_working:
            self._seek()

    async def _restore(self) -> int:
        """Fence whoever worked before, read what it left, go on where it was.

        Returns the outbox's offset from which on wishes are heard.
        """
        await self._producers.start(GROUP)
        place = TopicPartition(self._route.topic, PARTITION)
        end = int((await self._consumer.end_offsets([place]))[place])
        count = await read_outbox(self._settings, self._outbox)
        await self._customers.start()
        zone = ZoneInfo(self._config.zone or self._settings.zone)
        self._desk = NotificationDecider(
            self._config, self._outbox, self._customers, self._codec, zone
        )
        self._wishes += self._outbox.all(Resend)
        await self._begin()
        log.info("notify_restored", extra={"records": count, "held": self._desk.held()})
        for name, left in sorted(self._desk.removed_receivers().items()):
            log.warning("receiver_is_not_configured", extra={"receiver": name, "held": left})
        return end

    async def _begin(self) -> None:
        """Go to the outbox's positions; the group's own offsets are for lag tools.

        Raises TrimmedError where the topic no longer has what comes next.
        """
        places = sorted(self._mine)
        begins = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        known = {found.partition: found.offset for found in self._outbox.all(Position)}
        first = begins if self._config.start == "earliest" else ends
        for place in places:
            offset = known.get(place.partition, first[place])
            require_kept(place.topic, place.partition, offset, begins[place], ends[place])
            self._outbox.put(Position(place.partition, offset))
        self._is_working = True
        self._seek()
        await self._write(())

    def _seek(self) -> None:
        for found in self._outbox.all(Position):
            place = TopicPartition(self._settings.topic(WARNINGS), found.partition)
            self._consumer.seek(place, found.offset)

    async def _take(self) -> None:
        """Read warnings, route them, release what is due; one transaction a turn."""
        measure_at = 0
        while not self._stop.is_set():
            self._turns[""] += 1
            records = await self._fetched()
            if records:
                await self._customers.catch_up()
            now = _now()
            self._desk.take(records, now)
            for place in self._consumer.assignment():
                self._desk.reach(place.partition, await self._consumer.position(place))
            wishes, self._wishes = self._wishes, []
            self._desk.resend(wishes)
            again = self._desk.next_release()
            if again is not None and again <= now:
                self._desk.release(now)
            await self._write(records)
            if records or wishes or again is not None:
                self._wake_all()
            if now >= measure_at:
                measure_at = now + MEASURE_MS
                self._measure(now)

    async def _fetched(self) -> list[Any]:
        """The next warnings; none while so much is held that they had better wait."""
        # Paused, not left alone: who does not ask for so long is put out of its group.
        if self._desk.held() >= HELD_MAX:
            self._consumer.pause(*self._consumer.assignment())
        else:
            self._consumer.resume(*self._consumer.paused())
        fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        return [record for place in sorted(fetched) for record in fetched[place]]

    async def _listen(self, offset: int) -> None:
        """Hear who wants a dead delivery to be tried again: `tocsin notify --resend`."""
        place = TopicPartition(self._route.topic, PARTITION)
        async with consuming(self._settings) as consumer:
            consumer.assign([place])
            consumer.seek(place, offset)
            async for record in consumer:
                if record.value and (record.key or b"").startswith(b"resend/"):
                    piece = piece_of(self._codec, record)
                    if isinstance(piece, Resend):
                        self._wishes.append(piece)

    async def _serve(self, receiver: Receiver) -> None:
        """Bring one receiver its deliveries, in order; tell an Alertmanager what is open."""
        sender, wake = self._senders[receiver.name], self._wake[receiver.name]
        told_at = 0
        while not self._stop.is_set():
            self._turns[receiver.name] += 1
            wake.clear()
            now = _now()
            delivery = self._desk.next_delivery(receiver, now)
            if delivery is not None:
                await self._deliver(delivery, receiver, sender)
            elif (
                isinstance(sender, AlertmanagerSender)
                and receiver.alertmanager is not None
                and now - told_at >= receiver.alertmanager.resend_s * 1000
            ):
                told_at = now
                await self._tell_again(receiver, sender, now)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), IDLE_S)

    async def _deliver(self, delivery: Delivery, receiver: Receiver, sender: Sender) -> None:
        await self._write(())  # it may have been made this moment: its id must be durable first
        attempt = None if self._tracer is None else span_of(self._tracer, delivery)
        trace = _trace_of(delivery) if attempt is None else attempt.traceparent
        message = self._words.message(delivery, receiver, trace)
        begun = time.monotonic()
        result = await sender.send(message, _now())
        seconds = time.monotonic() - begun
        after = self._desk.record_attempt(delivery, result, receiver, _now())
        await self._write(())
        self._tell(after, result, seconds)
        if attempt is not None:
            is_delivered = result.outcome is Outcome.DELIVERED
            attempt.end(_outcome(after, result), is_delivered=is_delivered)

    async def _tell_again(self, receiver: Receiver, sender: AlertmanagerSender, now: int) -> None:
        notices = self._desk.alerts(receiver)
        for begin in range(0, len(notices), RECORDS_MAX):
            part = notices[begin : begin + RECORDS_MAX]
            heads, lines = self._words.heads(part, receiver), self._words.lines(part, receiver)
            result = await sender.repeat(part, heads, lines, now)
            if result.outcome is not Outcome.DELIVERED:
                log.warning(
                    "alerts_not_repeated",
                    extra={"receiver": receiver.name, "reason": result.detail},
                )
                return

    def _tell(self, delivery: Delivery, result: Result, seconds: float) -> None:
        """Count and log an attempt; the reason bears neither address nor secret."""
        outcome = _outcome(delivery, result)
        metrics = self._probe.metrics
        metrics.add(DELIVERIES, 1, delivery.receiver, outcome)
        metrics.observe(DELIVERY, seconds, delivery.receiver)
        fields = {
            "receiver": delivery.receiver,
            "delivery": delivery.id,
            "warnings": len(delivery.notices),
            "attempts": delivery.attempts,
        }
        if result.outcome is Outcome.DELIVERED:
            log.info("delivered", extra=fields)
        else:
            log.warning(f"delivery_{outcome}", extra={**fields, "reason": result.detail})

    def _measure(self, now: int) -> None:
        """Tell how the loops get on, and what is left to do."""
        self._probe.progress("warnings", done=self._turns[""], waiting=1)
        for receiver in self._config.receivers:
            name = receiver.name
            count, age_s = self._desk.undelivered(receiver, now)
            self._probe.metrics.put(UNDELIVERED, count, name)
            self._probe.metrics.put(UNDELIVERED_AGE, age_s, name)
            # A receiver that is away is no reason to start anew; a loop that hangs is.
            self._probe.progress(name, done=self._turns[name], waiting=1)

    async def _write(self, records: Sequence[Any]) -> None:
        """Commit what changed, and the offsets of what was read; returns when it is durable."""
        async with self._writing:
            changes = self._outbox.drain()
            if not changes and not records:
                return
            transaction = Transaction(Chunk(GROUP, records, (), 0), frozenset())
            for _ in transaction:
                pass  # all are taken
            now = _now()
            for key, value in changes:
                transaction.send(self._route, key, value, now, partition=PARTITION)
            committed = asyncio.Event()
            self._committer.seal(transaction, None, None, committed.set)
            await committed.wait()

    def _wake_all(self) -> None:
        for event in self._wake.values():
            event.set()


def _consumer(settings: Settings) -> Reader:
    """The group's consumer: one member gets everything, the one whose name comes first.

    So the name begins with the start: who comes later stands by, and takes nothing away.
    """
    return Reader(
        **settings.client_options(),
        client_id=f"{group_of(settings)}-{_now()}",
        group_id=group_of(settings),
        partition_assignment_strategy=(ExclusiveAssignor,),
        session_timeout_ms=settings.session_timeout_s * 1000,
        heartbeat_interval_ms=settings.session_timeout_s * 1000 // 3,
    )


async def _all_of(work: Sequence[asyncio.Task[None]], listening: asyncio.Task[None]) -> None:
    """Wait until all the work has ended; raise what the first of them, or the listener, raises."""
    left = {*work, listening}
    while left - {listening}:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


def _outcome(delivery: Delivery, result: Result) -> str:
    """How an attempt ended, as the values of a label say it; `delivery` is as it is after it."""
    return "given_up" if delivery.state == DEAD else result.outcome.value


def span_of(tracer: Tracer, delivery: Delivery) -> Attempt:
    """Begin the span of an attempt at a delivery."""
    warnings = [(notice.warning.warning_id, notice.trace) for notice in delivery.notices]
    return tracer.delivering(delivery.receiver, delivery.id, delivery.attempts + 1, warnings)


def _trace_of(delivery: Delivery) -> str:
    """The trace to pass on where no span is made: that of its warnings, if it is one."""
    traces = traces_of(notice.trace for notice in delivery.notices)
    return traces[0] if len(traces) == 1 else ""


def _now() -> int:
    return time.time_ns() // 1_000_000
