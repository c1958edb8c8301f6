"""A fetch of the consumer's thread, without Faust and without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

from tocsin.agents.faust_runtime import ConsumerThread
from tocsin.agents.merger import Source

SOURCE = Source("invoices", 0)


class HeldUp:
    """A consumer whose group is being rebalanced: what is asked for waits for the end of it."""

    def __init__(self) -> None:
        self.was_cancelled = False

    async def getmany(self, *partitions: Any, timeout_ms: int, max_records: int) -> dict[Any, Any]:
        assert timeout_ms > 0
        assert max_records >= len(partitions)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        raise AssertionError("nothing ends this wait")


class Thread(ConsumerThread):
    """The thread's way to fetch, around a given consumer."""

    def __init__(self, consumer: HeldUp) -> None:
        self._given = consumer

    def _ensure_consumer(self) -> Any:
        return self._given


def test_a_fetch_that_a_rebalance_holds_up_ends_empty() -> None:
    """The revoke waits for the fetch in flight, and the rebalance for the revoke."""
    consumer = HeldUp()

    async def fetch() -> Any:
        return await asyncio.wait_for(Thread(consumer)._fetch([SOURCE], 0.01), 60)

    fetched = asyncio.run(fetch())

    assert fetched.records == {}
    assert fetched.positions == {}
    assert consumer.was_cancelled
