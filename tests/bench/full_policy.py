"""A policy on a generated portfolio: where the time of an event goes.

The default policy has all rules; the basic one the ten that a customer's money, complaints and
orders alone can raise, without score, classes, overrides and collection.

In process, the real keeper, desk, store and journal are measured by phases; then the same records
go through a worker of production on the broker, exactly once, and its CPU is counted. What the
worker takes beyond decode, fold and assess is everything else: fetch, merge, digests, state,
batches, commit.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from operator import attrgetter
from typing import Any
from unittest.mock import patch

import job
import own_job
import records
import yaml
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord
from measuring import Phases
from peers import own_interpreter
from rich.console import Console
from rich.table import Table
from services import HERE, Broker, environ_of, run_to_line, settings_of, tell

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.policies import checked, publish
from tocsin.agents.deployment.produce import produce
from tocsin.agents.deployment.topics import apply
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.replay.replay import decide
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions import transaction as transactions
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source, head_merge
from tocsin.agents.transactions.transaction import BATCH_BYTES_MAX, Chunk, Output, Transaction
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.agents.worker.main import calm_collector
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import POLICIES, SOURCES, WARNINGS
from tocsin.schemas.policies.policy_file import default_policy_text
from tocsin.streams.decide import engine as desk
from tocsin.streams.decide import judge
from tocsin.streams.facts.events import PolicyPublished
from tocsin.streams.fold import ageing

BASIC_RULES = (
    "overdue-amount",
    "overdue-age",
    "credit-utilisation",
    "late-share",
    "delay-trend",
    "complaint-count",
    "complaint-rate",
    "return-rate",
    "silent-customer",
    "ledger-limit-exceeded",
)
NOT_BASIC = ("collection", "score", "grades", "strategy", "classes", "overrides")
DOMAIN = ("decode", "fold", "assess")
SEALING = ("encode state", "journal and digests", "batches", "seal")
CHUNK_RECORDS = 4_000
REST_US_TARGET = 7.0
EVENTS_PER_SECOND_MIN = 1_000
START_WITHIN_S = 60.0


def reference_rest(
    own: Mapping[str, Any], form: str, events: int, customers: int
) -> dict[str, float]:
    """CPU per event of the reference job on tocsin, and what is left without decode and fold.

    Decode and fold are measured alone, in the same form over the same records in time order.
    """
    own_form, _ = own_job.FORMS[form]()
    step = own_form.step
    fold_s = 0.0
    values: list[bytes] = []

    def fold() -> float:
        began = time.thread_time()
        for value in values:
            step(value)
        return time.thread_time() - began

    for kind, _, _, event in records.generate(events, customers):
        values.append(job.encode(kind, event))
        if len(values) == CHUNK_RECORDS:
            fold_s += fold()
            values.clear()
    fold_s += fold()
    whole, folding = own["cpu_seconds"] / events * 1e6, fold_s / events * 1e6
    return {
        "cpu_us_per_event": round(whole, 2),
        "fold_us_per_event": round(folding, 2),
        "rest_us_per_event": round(whole - folding, 2),
    }


def basic_policy_text() -> str:
    """The ten rules as the default policy has them, and nothing else of it."""
    policy = yaml.safe_load(default_policy_text())
    policy["name"] = "basic"
    policy["rules"] = {name: policy["rules"][name] for name in BASIC_RULES}
    for rule in policy["rules"].values():
        rule.pop("inhibited_by", None)  # by rules that are left out
    kept = {name: value for name, value in policy.items() if name not in NOT_BASIC}
    return yaml.safe_dump(kept, allow_unicode=True, sort_keys=False)


async def measure(
    broker: Broker, app_id: str, text: str, customers: int, days: int
) -> dict[str, Any]:
    """Generate, measure in process, then end to end by the policy of `text`."""
    environ = environ_of(broker, app_id)
    settings = settings_of(environ)
    convention = convention_of(settings)
    policy = Fact(0, POLICIES.topic_id, published(text, settings.horizon_days))
    tell(f"generating {customers:,} customers over {days} days")
    portfolio = Portfolio(Request(customers=customers, days=days), convention)
    facts = list(with_closings(portfolio.facts(), convention))
    found = in_process([policy, *facts], settings)
    tell("producing them and starting the worker")
    await apply(settings)
    copies = settings.partitions  # of the packaged policy
    if text != default_policy_text():
        await publish(settings, text, app_id, policy.instant)
        copies *= 2
    produced = await produce(facts, settings)
    count = produced.records + copies
    before = broker.cpu_seconds
    line = await run_to_line(
        [str(own_interpreter()), str(HERE / "run_worker.py"), str(count)],
        broker.folder,
        START_WITHIN_S + count / EVENTS_PER_SECOND_MIN,
        environ,
    )
    line["broker_cpu_seconds"] = round(broker.cpu_seconds - before, 3)
    wrong = await _difference(settings, [policy, *facts])
    return {**line, **wrong, **_divided(line, found, count)}


def published(text: str, horizon_days: int) -> PolicyPublished:
    """The record that puts a policy's text in force."""
    policy, document = checked(text, "of the benchmark", horizon_days)
    return PolicyPublished(policy.name, policy.version, 0, document, text)


def _divided(
    line: Mapping[str, Any], in_process: Mapping[str, float], count: int
) -> dict[str, Any]:
    """Divide the worker's CPU among the phases.

    The worker measures deciding and sealing as a whole, for each transaction; how these divide is
    known from the run in process. What neither has is the runtime's: fetch, merge, commit.
    """
    keep_us, seal_us, cpu_us = (
        line[name] / count * 1e6 for name in ("keep_cpu_seconds", "seal_cpu_seconds", "cpu_seconds")
    )
    sealing = sum(in_process[name] for name in SEALING)
    keeping = sum(in_process.values()) - sealing
    worker = {
        name: us * (seal_us / sealing if name in SEALING else keep_us / keeping)
        for name, us in in_process.items()
    }
    worker["fetch, merge, commit"] = cpu_us - keep_us - seal_us
    domain_us = sum(worker[name] for name in DOMAIN)
    return {
        "phases_in_process_us": dict(in_process),
        "phases_us": {name: round(us, 3) for name, us in worker.items()},
        "cpu_us_per_event": round(cpu_us, 2),
        "domain_us_per_event": round(domain_us, 2),
        "rest_us_per_event": round(cpu_us - domain_us, 2),
    }


async def _difference(settings: Settings, facts: Sequence[Fact]) -> dict[str, int]:
    """Compare the committed warnings with what one desk decides over the facts in time order."""
    expected: Counter[str] = Counter()

    def count(warning: Any) -> None:
        expected[warning.warning_id] += 1

    decide(facts, convention_of(settings), count)
    found = Counter(
        dict(record.headers)["ce_id"].decode()
        for record in await read_topic(settings, settings.topic(WARNINGS))
    )
    return {
        "missing": (expected - found).total(),
        "spurious": (found - expected).total(),
        "expected": expected.total(),
    }


def in_process(facts: Sequence[Fact], settings: Settings) -> dict[str, float]:
    """Measure the CPU of the whole, then how it is divided among the phases."""
    chunks = list(_chunks(facts, settings))
    count = sum(len(chunk.records) for chunk in chunks)
    before = gc.get_threshold()
    calm_collector()  # as a worker does
    began = time.thread_time()
    Bench(settings).run(chunks)
    cpu_s = time.thread_time() - began
    phases = Phases()
    phases.calibrate()
    with ExitStack() as stack:
        for target, name, phase in _MEASURED:
            measured = phases.timed(phase, getattr(target, name))
            stack.enter_context(patch.object(target, name, measured))
        bench = Bench(settings, phases)
        phases.timed("seal", bench.run)(chunks)
    gc.unfreeze()
    gc.set_threshold(*before)
    return phases.us_per(count, cpu_s)


# The real functions, and the phase that each one's own time belongs to.
_MEASURED: tuple[tuple[Any, str, str], ...] = (
    (desk, "check", "fold"),
    (desk, "evolve", "fold"),
    (ageing, "forget", "fold"),
    (ageing, "update_commitments_on", "fold"),
    (judge, "schedule_silence_ends", "fold"),
    (judge, "assess", "assess"),
    (judge, "advance", "assess"),
    (judge, "clear_withdrawn", "assess"),
    (judge, "mark_muted", "assess"),
    (judge.Collector, "update", "assess"),
    (judge.Scorer, "update", "assess"),
    (judge.Scorer, "pass_day", "assess"),
    (judge.Scorer, "review", "assess"),
    (judge.RuleSelection, "met_overrides", "assess"),
    (judge.RuleSelection, "variant", "assess"),
    (judge.RuleSelection, "rules_after", "assess"),
    (judge.RuleSelection, "rules_due", "assess"),
    (desk.DecisionEngine, "process", "desk: routing"),
    (desk.DecisionEngine, "_catch_up", "desk: day closings"),
    (PartitionProcessor, "keep", "keeper"),
    (LedgerStore, "drain", "encode state"),
    (Journal, "append", "journal and digests"),
    (transactions, "pack", "batches"),
    (transactions, "line_batches", "batches"),
)


class Batches:
    """Makes batches as the worker's producer does, without one."""

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BATCH_BYTES_MAX, 0, is_transactional=True)


class Bench:
    """One process's worth of partitions, driven as the worker drives them, without a broker."""

    def __init__(self, settings: Settings, phases: Phases | None = None) -> None:
        self._codec = open_codec(settings)
        if phases is not None:
            self._measure(phases)
        self._routes = Routes.of(settings.topic)
        self._keeper = PartitionProcessor(
            settings.app_id, self._codec, self._routes, settings.partitions
        )
        self._convention = convention_of(settings)
        self._topics = [settings.topic(topic) for topic in SOURCES]
        self._stores: dict[int, tuple[LedgerStore, Journal]] = {}

    def _measure(self, phases: Phases) -> None:
        """Count what the codec takes."""
        codec: Any = self._codec
        readers = codec.reader
        codec.reader = lambda topic_id: phases.timed("decode", readers(topic_id))
        codec.encode_warning = phases.timed("encode warnings", codec.encode_warning)

    def run(self, chunks: Sequence[Chunk]) -> None:
        """Take all chunks, each to its end."""
        for chunk in chunks:
            rest: Chunk | None = chunk
            while rest is not None:
                rest = self._turn(rest)

    def _turn(self, chunk: Chunk) -> Chunk | None:
        store, journal = self._partition(chunk.group)
        transaction = Transaction(chunk, frozenset())
        self._keeper.keep(transaction, store, b"0")
        lines, value = transactions.journal_transaction(transaction, journal, store)
        transactions.line_batches(lines, 0)
        route = self._routes.journal
        written = Output(route.topic_id, route.topic, chunk.group, None, value, (), 0)
        transactions.pack(Batches(), [*transaction.outputs, written])
        return transaction.rest()

    def _partition(self, number: int) -> tuple[LedgerStore, Journal]:
        if number not in self._stores:
            sources = [Source(topic, number) for topic in self._topics]
            journal = Journal(sources, self._routes.topic_ids, self._codec)
            store = LedgerStore(number, self._convention, self._codec)
            store.finish(journal, is_new=True)
            self._stores[number] = store, journal
        return self._stores[number]


def _chunks(facts: Sequence[Fact], settings: Settings) -> Iterator[Chunk]:
    """The facts as the consumer hands them over: encoded, by partition, merged, in chunks."""
    codec, partitions = open_codec(settings), settings.partitions
    names = {topic.topic_id: settings.topic(topic) for topic in SOURCES}
    queues: dict[tuple[int, int], list[Any]] = {
        (partition, topic_id): [] for partition in range(partitions) for topic_id in names
    }
    for instant, topic_id, event in facts:
        value = codec.encode(topic_id, event)
        customer_id = getattr(event, "customer_id", None)
        key = None if customer_id is None else customer_id.encode()
        places = range(partitions) if key is None else (partition_of(key, partitions),)
        for partition in places:
            queue = queues[partition, topic_id]
            queue.append(_record(names[topic_id], partition, len(queue), instant, key, value))
    merged = [
        head_merge([queues[partition, topic_id] for topic_id in names], attrgetter("timestamp"))
        for partition in range(partitions)
    ]
    for start in range(0, max(map(len, merged)), CHUNK_RECORDS):
        for partition, found in enumerate(merged):
            if found[start : start + CHUNK_RECORDS]:
                yield Chunk(partition, found[start : start + CHUNK_RECORDS], (), 0)


def _record(
    topic: str, partition: int, offset: int, instant: int, key: bytes | None, value: bytes
) -> ConsumerRecord:
    return ConsumerRecord(
        topic, partition, offset, instant, 0, key, value, None, len(key or b""), len(value), ()
    )


def show(policy: str, console: Console, found: Mapping[str, Any]) -> None:
    """Print the phases, and the worker as a whole."""
    table = Table("phase", title=f"{policy} policy, µs per event")
    table.add_column("worker", justify="right")
    table.add_column("in process", justify="right")
    alone = found["phases_in_process_us"]
    for name, us in sorted(found["phases_us"].items(), key=lambda item: -item[1]):
        table.add_row(name, f"{us:.2f}", f"{alone[name]:.2f}" if name in alone else "")
    table.add_section()
    table.add_row("sum", f"{found['cpu_us_per_event']:.2f}", f"{sum(alone.values()):.2f}")
    console.print(table)
    is_reached = found["rest_us_per_event"] <= REST_US_TARGET
    console.print(
        f"{policy} policy, worker on the broker: {found['events']:,} records, "
        f"{found['events_per_second']:,} events/s; CPU {found['cpu_us_per_event']} µs per event, "
        f"decode, fold and assess {found['domain_us_per_event']}, everything else "
        f"{found['rest_us_per_event']} (target {REST_US_TARGET}: "
        f"{'reached' if is_reached else 'missed'}); of {found['expected']:,} warnings "
        f"{found['missing']} missing, {found['spurious']} spurious"
    )
