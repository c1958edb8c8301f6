"""What worker and intake count as they go: once per chunk, transaction, sweep or restore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from time import monotonic

from tocsin.agents.observe import metrics as known
from tocsin.agents.observe.metrics import Metrics
from tocsin.agents.transactions.transaction import Transaction
from tocsin.streams.decide.risk_warning import RiskWarning

FOREIGN = "foreign"  # what the intake refuses has no topic of ours

_topic = attrgetter("topic")
_kind = attrgetter("rule", "severity", "transition")


class Meter:
    """Counts for one program. `topic_ids` are those of its sources, by name."""

    def __init__(self, metrics: Metrics, topic_ids: Mapping[str, int]) -> None:
        self._metrics = metrics
        self._topics = {topic_id: topic for topic, topic_id in topic_ids.items()}
        self._sweeps: dict[int, float] = {}  # when the sweep in progress began, by partition
        self.committed_of: Counter[int] = Counter()  # transactions, by group

    def merged(self, wait_s: float) -> None:
        """A chunk was taken that waited so long for other topics."""
        self._metrics.observe(known.MERGE_WAIT, wait_s)

    def decided(self, duration_s: float) -> None:
        """An agent's turn over a chunk has ended."""
        self._metrics.observe(known.PROCESS, duration_s)

    def committed(self, transaction: Transaction, duration_s: float) -> None:
        """A transaction is committed, so long after its turn."""
        metrics = self._metrics
        metrics.observe(known.COMMIT, duration_s)
        self.committed_of[transaction.partition] += 1
        for topic, count in Counter(map(_topic, transaction.taken)).items():
            metrics.add(known.CONSUMED, count, topic)
        for topic, count in Counter(map(_topic, transaction.outputs)).items():
            metrics.add(known.SENT, count, topic)
        for entry in transaction.refusals:
            metrics.add(known.REFUSALS, 1, self._topics.get(entry.topic_id, FOREIGN), entry.code)

    def warned(self, warnings: Sequence[RiskWarning]) -> None:
        """A turn raised these."""
        for (rule, severity, transition), count in Counter(map(_kind, warnings)).items():
            self._metrics.add(known.WARNINGS, count, rule, severity, transition)
        for rule, count in Counter(found.rule for found in warnings if found.muted_by).items():
            self._metrics.add(known.MUTED, count, rule)

    def swept(self, partition: int, customers: int, began_s: float, *, is_unfinished: bool) -> None:
        """A turn that began then (monotonic) visited customers; the sweep may go on in the next."""
        if customers:
            self._metrics.add(known.SWEPT, customers)
            self._sweeps.setdefault(partition, began_s)
        if not is_unfinished and partition in self._sweeps:
            self._metrics.observe(known.SWEEP, monotonic() - self._sweeps.pop(partition))

    def restored(self, duration_s: float) -> None:
        """A partition's state was read back."""
        self._metrics.observe(known.RESTORE, duration_s)
