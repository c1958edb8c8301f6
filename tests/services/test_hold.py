"""A storm of refusals: one topic of one partition waits, is not judged by, and loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain, pairwise
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.services.deployment import STALL_S, Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.entry.dead_letters import release
from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import (
    DEAD_LETTERS,
    INVOICES,
    JOURNAL,
    PAYMENTS,
    POLICIES,
    SOURCES,
)
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived
from tocsin.streams.ledger.ledger import ALL
from tocsin.streams.policy.reading import load_policy

PARTITIONS = 2
HELD = 0  # the partition that the storm hits
STORM = 60
DAYS = 110
POLL_S = 0.1
HELD_PAYMENTS = (PAYMENTS.topic_id,)
PATIENT = {"retirement-candidate", "deteriorating-relationship", "resumption-digest"}


def good_payer(facts: list[Fact]) -> tuple[str, list[Fact]]:
    """A customer of the storm's partition who pays every week's invoice two days early."""
    name = next(
        name
        for name in (f"PROMPT{number}" for number in range(99))
        if partition_of(name.encode(), PARTITIONS) == HELD
    )
    first = facts[0].instant
    told = []
    for week in range(DAYS // 7 - 3):
        at = first + week * 7 * MS_PER_DAY
        paid, due = at + 12 * MS_PER_DAY, at // MS_PER_DAY + 14
        invoice = InvoiceIssued(name, f"I{week}", at, due, 50_000, "EUR")
        payment = PaymentReceived(name, f"P{week}", paid, 50_000, "EUR", (f"I{week}",))
        told += [Fact(at, INVOICES.topic_id, invoice), Fact(paid, PAYMENTS.topic_id, payment)]
    return name, told


def story(deployment: Deployment) -> tuple[str, list[list[Fact]]]:
    """Who pays well; facts before the first storm, before the second, on hold, and after it."""
    facts = deployment.portfolio(customers=160, days=DAYS)
    prompt, more = good_payer(facts)
    told = sorted(chain(facts, more), key=lambda fact: fact[:2])
    first = told[0].instant
    cuts = [first + days * MS_PER_DAY for days in (0, 60, 85, 89, DAYS + 2)]
    return prompt, [
        [fact for fact in told if start <= fact.instant < end] for start, end in pairwise(cuts)
    ]


async def storm(deployment: Deployment, instant: int) -> None:
    """Payments that cannot be read, enough of them to put the topic on hold."""
    producer = AIOKafkaProducer(**deployment.settings.client_options())
    await producer.start()
    try:
        for number in range(STORM):
            await producer.send(
                deployment.settings.topic(PAYMENTS),
                b"garbage %d" % number,
                partition=HELD,
                timestamp_ms=instant,
            )
        await producer.flush()
    finally:
        await producer.stop()


async def journal_head(deployment: Deployment, partition: int) -> JournalRecord:
    settings = deployment.settings
    record = await last_record(settings.topic(JOURNAL), partition, settings.client_options())
    assert record is not None
    return deployment.codec.decode_journal(record.value)


async def eventually(check: Callable[[], Awaitable[bool]], *watched: Program) -> None:
    deadline = time.monotonic() + STALL_S
    while not await check():
        assert time.monotonic() < deadline
        for program in watched:
            assert program.is_running, program.log()[-3000:]
        await asyncio.sleep(POLL_S)


async def until_held(deployment: Deployment, worker: Program, after: int) -> JournalRecord:
    """Wait for a hold in the journal behind sequence `after`."""

    async def is_held() -> bool:
        head = await journal_head(deployment, HELD)
        return head.sequence > after and head.held == HELD_PAYMENTS

    await eventually(is_held, worker)
    return await journal_head(deployment, HELD)


async def until_others_are_read(deployment: Deployment, worker: Program) -> None:
    """Wait until everything is read but the payments on hold."""
    settings = deployment.settings
    ends = {
        (topic.topic_id, partition): 0 if last is None else last.offset + 1
        for topic in SOURCES
        for partition in range(PARTITIONS)
        for last in [await last_record(settings.topic(topic), partition, settings.client_options())]
    }
    del ends[PAYMENTS.topic_id, HELD]

    async def is_read() -> bool:
        heads = [await journal_head(deployment, number) for number in range(PARTITIONS)]
        read = {(r.topic_id, n): r.next for n, head in enumerate(heads) for r in head.ranges}
        return all(read[place] >= end for place, end in ends.items())

    await eventually(is_read, worker)


def position(head: JournalRecord) -> int:
    """Offset of the payment that is read next."""
    return next(read.next for read in head.ranges if read.topic_id == PAYMENTS.topic_id)


def release_by_command(deployment: Deployment, *more: str) -> None:
    command = deployment.started(
        "dead-letters", "release", "payments", "--partition", str(HELD), "--reason", "mended", *more
    )
    assert command.wait() == 0, command.log()


def rules_over_payments(deployment: Deployment) -> set[str]:
    document = first_event(deployment.settings, None).document
    policy, problems = load_policy(document, deployment.settings.horizon_days)
    assert policy is not None, problems
    without = {rule.name for rule in policy.plan(ALL, frozenset(HELD_PAYMENTS))}
    return {rule.name for rule in policy.plan(ALL, frozenset())} - without


async def of_customers(deployment: Deployment) -> list[RiskWarning]:
    """All warnings but those of the sources themselves, which only who lives through a hold has."""
    return [warning for warning in await deployment.warnings() if warning.customer_id]


def digest_of(warnings: Iterable[RiskWarning], partition: int) -> tuple[str, int]:
    digest = DecisionDigest()
    for warning in warnings:
        if partition_of(warning.customer_id.encode(), PARTITIONS) == partition:
            digest.add(warning)
    return digest.hexdigest(), digest.count


def since(
    warnings: Iterable[RiskWarning], instant: int, over_payments: set[str]
) -> Counter[tuple[int, bool]]:
    """Warnings after an instant, by partition, and by whether their rule reads payments."""
    return Counter(
        (partition_of(warning.customer_id.encode(), PARTITIONS), warning.rule in over_payments)
        for warning in warnings
        if warning.occurred_at > instant
    )


def open_episodes(warnings: Iterable[RiskWarning]) -> set[tuple[str, str, str]]:
    """What is open at the end: customer, rule and subject.

    Not the severity: that of an episode which passed its peak unseen may be one lower. Nor a rule
    that waits for weeks, which begin when the payments on hold are read.
    """
    found = set()
    for warning in warnings:
        if warning.rule in PATIENT:
            continue
        key = (warning.customer_id, warning.rule, warning.subject)
        (found.discard if warning.transition == "CLEARED" else found.add)(key)
    return found


async def assert_told_alike(deployment: Deployment) -> None:
    """Kafka, ClickHouse, journal and both replays say the same."""
    reconciliation = await reconcile(deployment.settings, wait_s=60.0)
    assert reconciliation.is_equal, [check.problems for check in reconciliation.journals]
    from_topics = await deployment.replayed()
    from_history = await deployment.replayed(from_history=True)
    assert from_topics.differences == from_history.differences == []
    assert from_history.digests == from_topics.digests


async def source_counts(deployment: Deployment) -> Counter[tuple[int, int]]:
    """Records of each source topic and partition."""
    settings = deployment.settings
    counts: Counter[tuple[int, int]] = Counter()
    for topic in SOURCES:
        records = await read_topic(settings, settings.topic(topic))
        counts.update((topic.topic_id, record.partition) for record in records)
    return counts


async def read_counts(deployment: Deployment) -> Counter[tuple[int, int]]:
    """Records that the journal says were read."""
    settings = deployment.settings
    counts: Counter[tuple[int, int]] = Counter()
    for record in await read_topic(settings, settings.topic(JOURNAL)):
        for read in deployment.codec.decode_journal(record.value).ranges:
            if read.count:
                counts[read.topic_id, record.partition] += read.count
    return counts


async def test_payments_on_hold_make_nobody_late_and_are_all_read_in_the_end(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("hold", broker, engine, tmp_path, partitions=PARTITIONS) as deployment:
        prompt, (before, during, behind, after) = story(deployment)
        over_payments = rules_over_payments(deployment)
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(before, deployment.settings)
        await deployment.until_decided(worker)

        await storm(deployment, before[-1].instant)
        held = await until_held(deployment, worker, -1)
        worker.kill()
        worker.start()
        await produce(during, deployment.settings)
        await until_others_are_read(deployment, worker)

        head = await journal_head(deployment, HELD)
        assert head.held == HELD_PAYMENTS
        assert position(head) == position(held), "a restart read on what was on hold"
        meanwhile = since(await of_customers(deployment), before[-1].instant, over_payments)
        assert meanwhile[HELD, True] == 0, "judged by payments that are on hold"
        assert meanwhile[HELD, False] > 0
        assert meanwhile[1 - HELD, True] > 0

        await storm(deployment, during[-1].instant)
        await produce(behind, deployment.settings)
        await until_others_are_read(deployment, worker)
        head = await journal_head(deployment, HELD)  # others' records went on meanwhile
        release_by_command(deployment)
        again = await until_held(deployment, worker, head.sequence)
        assert position(again) > position(held)
        release_by_command(deployment, "--drain")
        await deployment.until_decided(worker)
        assert (await journal_head(deployment, HELD)).held == ()
        meanwhile = since(await of_customers(deployment), before[-1].instant, over_payments)
        assert meanwhile[HELD, True] > 0, "nothing is judged although the backlog is read"
        await produce(after, deployment.settings)
        await deployment.until_decided(worker, audit)

        warnings = await of_customers(deployment)
        truth: list[RiskWarning] = []
        policy = Fact(0, POLICIES.topic_id, first_event(deployment.settings, None))
        told = chain([policy], before, during, behind, after)
        assert decide(told, deployment.convention, truth.append).refused == []
        assert not [w for w in warnings if w.customer_id == prompt and w.rule in over_payments]
        assert digest_of(warnings, 1 - HELD) == digest_of(truth, 1 - HELD)
        assert open_episodes(warnings) == open_episodes(truth)
        assert await read_counts(deployment) == await source_counts(deployment)
        letters = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
        assert Counter(letter.partition for letter in letters) == {HELD: 2 * STORM}
        await assert_told_alike(deployment)


@pytest.mark.parametrize("drain", [False, True])
async def test_a_hold_and_its_release_in_one_backlog_leave_no_record_behind(
    drain: bool, broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """As after `tocsin reset`: chunks that were taken before the hold come after the release."""
    name = f"backlog-{drain}".lower()
    async with deployed(
        name, broker, engine, tmp_path, partitions=PARTITIONS, chunk_records_max=40
    ) as deployment:
        _, (before, during, *after) = story(deployment)
        await produce(before, deployment.settings)
        await storm(deployment, before[-1].instant)
        await produce(during[:10], deployment.settings)
        await release(deployment.settings, PAYMENTS, HELD, reason="mended", drain=drain)
        await produce(chain(during[10:], *after), deployment.settings)

        audit, worker = deployment.started("audit"), deployment.started("worker")
        await deployment.until_decided(worker, audit)

        heads = [
            deployment.codec.decode_journal(record.value)
            for record in await read_topic(deployment.settings, deployment.settings.topic(JOURNAL))
        ]
        assert HELD_PAYMENTS in {head.held for head in heads}
        assert await read_counts(deployment) == await source_counts(deployment)
        await assert_told_alike(deployment)
