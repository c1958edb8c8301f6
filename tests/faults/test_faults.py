"""A short part of the fault campaign: seeded runs, and defects that the judge must find.

The whole of it: `make faults ARGS="--runs 200"`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.judge import Judge
from tests.faults.load import Fact, generate
from tests.faults.runs import Outcome, run_of
from tests.faults.schedule import (
    COMPRESSIONS,
    MISTIMED,
    OVERTAKEN,
    POINTS,
    REFUSALS,
    TIMED,
    Point,
    Schedule,
    Timed,
    draw,
)
from tests.faults.soak import slope
from tests.faults.stage import Broker

EVENTS = 1_200
CONTROL_RUNS_MAX = 3
SEED = 20_261_122
# What follows from the seeds above is for the campaign; here each kind of fault comes up.
COMBINED = (
    Schedule(
        2,
        (Timed("worker-kill", 1.0, 0.0), Timed("engine-kill", 2.0, 0.5)),
        (Point("worker", "after-send", 6), Point("audit", "after-insert", 3)),
        compression="compress-zstd",
    ),
    Schedule(
        2,
        (Timed("audit-kill", 0.5, 0.0),),
        (Point("worker", "before-send", 8, "stop"), Point("audit", "migration", 4)),
        compression="recompress-lz4",
    ),
    Schedule(
        1,
        (Timed("net-partition", 0.5, 4.0), Timed("clock-jump", 1.0, 1.0)),
        (Point("worker", "after-commit", 10),),
        compression="recompress-gzip",
        mistimed="future-stamps",
    ),
    Schedule(
        1,
        (Timed("broker-kill", 1.5, 0.5),),
        (Point("worker", "before-commit", 4),),
        compression="compress-snappy",
        mistimed="junk-at-the-head",
    ),
)
CONTROLS = {
    "no-transactions": Schedule(1, points=(Point("worker", "amid-send", 25),)),
    "no-merge": Schedule(1, points=(Point("worker", "after-commit", 10),)),
    "no-fencing": Schedule(2, points=(Point("worker", "before-send", 12, "stop"),)),
    "dirty-restore": Schedule(1, points=(Point("worker", "after-send", 10),)),
    "warnings-outside": Schedule(1, points=(Point("worker", "after-send", 12),)),
    "progress-first": Schedule(1, points=(Point("audit", "after-progress", 1),)),
    "resets-itself": Schedule(1, refusal="trim-frozen-worker"),
}


pytestmark = pytest.mark.timeout(900)  # of which a quiet machine needs a few


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker for all; who kills it starts it again."""
    running = Broker(tmp_path_factory.mktemp("faults"), Random(SEED))
    asyncio.run(running.start())
    yield running
    asyncio.run(running.stop())


def told(outcome: Outcome) -> str:
    """What to show of a run that is not as it should be."""
    return f"{outcome.planned} {outcome.line()}"


@pytest.mark.parametrize("number", range(len(COMBINED)))
async def test_nothing_is_lost_doubled_or_reordered_by_faults_together(
    broker: Broker, tmp_path: Path, number: int
) -> None:
    run = run_of(
        SEED + number, broker, tmp_path / f"c{number}", schedule=COMBINED[number], events=EVENTS
    )

    outcome = await run.play()

    assert outcome.verdict == "ok", told(outcome)
    wanted = {point.name for point in COMBINED[number].points} | {COMBINED[number].compression}
    assert wanted <= set(outcome.observed), told(outcome)
    assert outcome.counts.events > EVENTS
    assert outcome.counts.warnings > 50


@pytest.mark.parametrize("kind", ["corrupt-state", "recreated-topic", *OVERTAKEN])
async def test_broken_ground_is_refused_and_not_worked_on(
    broker: Broker, tmp_path: Path, kind: str
) -> None:
    run = run_of(SEED, broker, tmp_path / kind, schedule=Schedule(1, refusal=kind), events=EVENTS)

    outcome = await run.play()

    assert outcome.observed == [f"{kind} refused with 71"], told(outcome)
    assert outcome.verdict == "ok", told(outcome)


@pytest.mark.parametrize("name", CONTROLS)
async def test_each_negative_control_is_found(broker: Broker, tmp_path: Path, name: str) -> None:
    schedule = CONTROLS[name]
    outcomes: list[Outcome] = []
    # A kill falls where it falls: one that leaves no trace is no proof of anything.
    while len(outcomes) < CONTROL_RUNS_MAX and not is_found(outcomes):
        folder = tmp_path / f"{name}-{len(outcomes)}"
        run = run_of(
            SEED + len(outcomes), broker, folder, broken=(name,), events=EVENTS, schedule=schedule
        )
        outcomes.append(await run.play())

    assert is_found(outcomes), "\n".join(map(told, outcomes))


def is_found(outcomes: list[Outcome]) -> bool:
    """Whether the last run is found broken."""
    return bool(outcomes) and outcomes[-1].verdict == "broken"


def test_a_schedule_follows_from_its_seed_and_all_faults_come_up() -> None:
    drawn = [draw(seed, 8.0) for seed in range(1, 400)]

    assert drawn == [draw(seed, 8.0) for seed in range(1, 400)]
    kinds = {timed.kind for schedule in drawn for timed in schedule.timed}
    points = {point.point for schedule in drawn for point in schedule.points}
    assert kinds == set(TIMED)
    assert points == {point for some in POINTS.values() for point in some}
    assert {schedule.refusal for schedule in drawn} == {"", *REFUSALS}
    assert {schedule.mistimed for schedule in drawn} == {"", *MISTIMED}
    assert {schedule.compression for schedule in drawn} == {"", *COMPRESSIONS}
    assert "stop" in {point.do for schedule in drawn for point in schedule.points}


def test_the_load_follows_from_its_seed_and_is_in_the_order_of_time() -> None:
    facts = list(generate(3, 500))

    assert facts == list(generate(3, 500))
    assert [fact.timestamp for fact in facts] == sorted(fact.timestamp for fact in facts)
    assert {fact.topic for fact in facts} == {"clock", "invoices", "payments", "complaints"}


def test_records_that_nobody_read_are_found() -> None:
    facts: list[Fact] = list(generate(3, 300))
    records = [_Record(fact, offset) for offset, fact in enumerate(facts)]
    topics = ("policies", "clock", "customers", "invoices", "payments", "complaints", "engagements")
    partition = {
        topic: [record for record in records if record.topic == topic] for topic in topics
    } | {topic: [] for topic in ("warnings", "journal", "dead-letters", "ledgers")}

    verdict = Judge([partition]).judge()  # type: ignore[list-item]  # as much of a record as it uses

    assert verdict.lost > 0
    assert any("never read" in problem for problem in verdict.problems)


def test_a_slope_is_not_bent_by_an_outlier() -> None:
    level = [(float(second), 100.0) for second in range(0, 300, 10)]
    rising = [(second, value + second / 10) for second, value in level]

    assert slope([*level, (300.0, 900.0)]) == 0
    assert slope(rising) == pytest.approx(0.1)


class _Record:
    def __init__(self, fact: Fact, offset: int) -> None:
        self.topic, self.offset = fact.topic, offset
        self.timestamp, self.key, self.value = fact.timestamp, fact.key, fact.value
        self.headers: tuple[tuple[str, bytes], ...] = ()
