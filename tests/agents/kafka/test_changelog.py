"""The reader of one partition, around a consumer that misbehaves when it is stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tocsin.agents.kafka import changelog


class LeakyConsumer:
    """Ends with the cancellation of a fetch of its own, as aiokafka's does amid a retry."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        raise asyncio.CancelledError

    def assign(self, _sources: Any) -> None:
        """Nothing to read."""

    async def beginning_offsets(self, sources: Any) -> dict[Any, int]:
        return dict.fromkeys(sources, 0)

    async def end_offsets(self, sources: Any) -> dict[Any, int]:
        return dict.fromkeys(sources, 0)


def test_a_fetch_that_its_consumer_cancels_does_not_end_the_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changelog, "committed_reader", lambda _options: LeakyConsumer())

    last = asyncio.run(changelog.read_last("journal", 0, {}))

    assert last is None
