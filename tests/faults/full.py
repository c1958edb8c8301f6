"""The whole policy in a fault run: a generated portfolio, judged by the product's own desk.

Whether the desk is right is for other tests. Here it is handed the records in the order that the
judge finds by itself, one after the other, so that what faults, chunks and restarts do to order,
presence and state shows against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from aiokafka import ConsumerRecord

from tests.faults import wire
from tests.faults.judge import Judge, Partition
from tests.faults.load import Fact
from tests.faults.reference import Expected
from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import with_closings
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import SOURCES
from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState

DAYS = 400
EVENTS_PER_CUSTOMER = 150
Outputs = Counter[int]


def portfolio(settings: Settings, seed: int, events: int) -> Iterator[Fact]:
    """The first so many events of a generated portfolio, encoded."""
    codec, convention = open_codec(settings), convention_of(settings)
    customers = max(events // EVENTS_PER_CUSTOMER, 4)
    facts = Portfolio(Request(customers=customers, days=DAYS, seed=seed), convention).facts()
    for number, (instant, topic_id, event) in enumerate(with_closings(facts, convention)):
        if number >= events:
            return
        customer_id = getattr(event, "customer_id", None)
        key = None if customer_id is None else customer_id.encode()
        yield Fact(wire.SOURCES[topic_id], key, codec.encode(topic_id, event), instant)


class FullJudge(Judge):
    """Expects what a desk decides over the records in the order of their time."""

    def __init__(self, partitions: Sequence[Partition], settings: Settings) -> None:
        super().__init__(partitions)
        self.settings = settings

    def _fold(
        self,
        number: int,
        ordered: list[tuple[int, int, int, ConsumerRecord]],
        chunk_of: dict[tuple[int, int], int],
    ) -> tuple[list[Expected], list[tuple[int, ConsumerRecord]], Outputs]:
        codec, outputs = open_codec(self.settings), Outputs()
        state = PartitionState()
        desk = DecisionEngine(convention_of(self.settings), Ledgers(), state, {}, number)
        expected: list[Expected] = []
        refused: list[tuple[int, ConsumerRecord]] = []
        for timestamp, rank, offset, record in ordered:
            desk.begin()
            try:
                event = codec.decode(SOURCES[rank].topic_id, record.value)
            except Refused:
                refused.append((rank, record))
                outputs[chunk_of[rank, offset]] += 1
                continue
            outcome = desk.process(rank, number, offset, timestamp, event)
            if isinstance(outcome, Refusal):
                refused.append((rank, record))
            found = [_step(warning) for warning in desk.warnings]
            outputs[chunk_of[rank, offset]] += len(found) + isinstance(outcome, Refusal)
            expected += found
        return expected, refused, outputs


def _step(warning: RiskWarning) -> Expected:
    return Expected(**{name: getattr(warning, name) for name in Expected.__dataclass_fields__})
