"""What is counted per chunk, transaction and sweep."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.transactions.transaction import Chunk, Route, Transaction
from tocsin.agents.worker.meter import Meter
from tocsin.schemas.codec.records import RefusalEntry


class Record(NamedTuple):
    """What a meter needs of a record."""

    topic: str
    partition: int
    offset: int


def values(metrics: Metrics, name: str) -> dict[str, float]:
    """Series of a metric, by their labels as text."""
    lines = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", metrics.text().decode(), re.MULTILINE)
    return {labels: float(value) for labels, value in lines}


def test_a_transaction_is_counted_once_it_is_committed() -> None:
    metrics = Metrics(Program.WORKER)
    meter = Meter(metrics, {"invoices": 3, "payments": 4})
    records: list[Any] = [
        Record("invoices", 1, 0),
        Record("invoices", 1, 1),
        Record("payments", 1, 0),
    ]
    transaction = Transaction(Chunk(1, records, (), 0), frozenset())
    for _ in transaction:
        pass
    transaction.send(Route(16, "warnings"), b"C1", b"", 0)
    transaction.refuse(RefusalEntry(4, 1, 0, "NO_SUCH"))
    transaction.refuse(RefusalEntry(-1, 1, 0, "FOREIGN_CONTROL"))

    meter.committed(transaction, 0.02)

    consumed = values(metrics, "messaging_client_consumed_messages_total")
    assert sorted(consumed.values()) == [1.0, 2.0]
    assert list(values(metrics, "messaging_client_sent_messages_total").values()) == [1.0]
    assert values(metrics, "tocsin_refusals_total") == {
        'code="NO_SUCH",topic="payments"': 1.0,
        'code="FOREIGN_CONTROL",topic="foreign"': 1.0,
    }
    assert meter.committed_of[1] == 1


def test_a_sweep_lasts_from_its_first_turn_to_its_last() -> None:
    metrics = Metrics(Program.WORKER)
    meter = Meter(metrics, {})

    meter.swept(0, 0, 0.0, is_unfinished=False)
    meter.swept(0, 500, 0.0, is_unfinished=True)
    meter.swept(1, 7, 0.0, is_unfinished=False)
    assert values(metrics, "tocsin_sweep_duration_seconds_count") == {"": 1.0}
    meter.swept(0, 3, 0.0, is_unfinished=False)
    meter.swept(0, 0, 0.0, is_unfinished=False)

    assert values(metrics, "tocsin_sweep_duration_seconds_count") == {"": 2.0}
    assert values(metrics, "tocsin_sweep_customers_total") == {"": 510.0}
