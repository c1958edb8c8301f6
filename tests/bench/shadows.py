"""A shadow: what a candidate policy beside the one in force costs in memory and in time.

In process, on one desk. Memory is what the allocator gives for ledgers and stands that are read
back from their persisted form, as after a restart; time is CPU, with and without the candidate in
turn.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from services import Broker, tell

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.facts.convention import Convention
from tocsin.streams.ledger import state_records as states
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import STATE_VERSION, LoadedPartition, PartitionState
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import load_policy

ROUNDS = 3
TARGET = 1 / 3


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Decide a portfolio with and without a candidate, then weigh what each keeps."""
    settings = load({}, environ={}, config=None)
    convention = convention_of(settings)
    published = first_event(settings, None)
    policy, _ = load_policy(published.document, convention.horizon_days)
    if policy is None:
        raise ValueError("the packaged policy does not fit the conventions")
    request = Request(customers=options["policy_customers"], days=options["policy_days"])
    generated = (Fact(*fact) for fact in Portfolio(request, convention).facts())
    facts = [Fact(0, POLICIES.topic_id, published), *with_closings(generated, convention)]
    tell(f"shadow: {len(facts):,} events")
    plain, shadowed = [], []
    for _ in range(ROUNDS):
        plain.append(_decided(facts, convention, None)[0])
        took, desk = _decided(facts, convention, policy)
        shadowed.append(took)
    ledgers, stands = _weighed(desk)
    count, events = len(desk.ledgers), len(facts)
    return {
        "customers": count,
        "events": events,
        "ledger_bytes": round(ledgers / count),
        "stand_bytes": round(stands / count),
        "of_ledger": round(stands / ledgers, 3),
        "plain_us": round(median(plain) / events * 1e6, 1),
        "shadowed_us": round(median(shadowed) / events * 1e6, 1),
    }


def _decided(
    facts: Sequence[Fact], convention: Convention, candidate: Policy | None
) -> tuple[float, DecisionEngine]:
    """CPU seconds of deciding all, and the desk afterwards; the candidate is the policy itself."""
    desk = DecisionEngine(convention, Ledgers(), PartitionState(), {})
    if candidate is not None:
        desk.attach(candidate, {}, None)
    began = time.process_time()
    for number, fact in enumerate(facts):
        step = None
        while step is not Step.DONE:
            desk.begin()
            step = desk.process(fact.topic_id, 0, number, fact.instant, fact.event)
    return time.process_time() - began, desk


def _weighed(desk: DecisionEngine) -> tuple[int, int]:
    """Bytes of the ledgers and of the stands, each read back from what is persisted of it."""
    lines = []
    for customer_id, ledger in desk.ledgers.items():
        ledger.is_touched = True
        ledger.dirty = {
            **{"i" + key: one for key, one in ledger.invoices.items()},
            **ledger.funds,
            **{"k" + key: one for key, one in ledger.complaints.items()},
            **{"d" + key: one for key, one in ledger.disputes.items()},
            **{"o" + key: one for key, one in ledger.orders.items()},
            **ledger.entries,
            **ledger.cases,
        }
        lines += states.changes(customer_id, ledger)
    if desk.shadow is None:
        raise TypeError("the desk has no shadow")
    bodies = dict(desk.shadow.stands)

    def ledgers() -> object:
        loaded = LoadedPartition()
        for key, _, body in lines:
            states.load(loaded, key, STATE_VERSION, body)
        loaded.finish()
        return loaded.ledgers

    def stands() -> object:  # bodies as cut out of a changelog, under the ids of the ledgers
        return {key: bytes(bytearray(body)) for key, body in bodies.items()}

    return _bytes_of(ledgers), _bytes_of(stands)


def _bytes_of(make: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    kept = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return size


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print sizes and times."""
    console.print(
        f"shadow over {found['customers']:,} customers, {found['events']:,} events: a stand takes "
        f"{found['stand_bytes']:,} bytes, a ledger {found['ledger_bytes']:,}, a share of "
        f"{found['of_ledger']} (at most {TARGET:.2f}); an event {found['shadowed_us']} µs of CPU, "
        f"without {found['plain_us']}"
    )
