"""An error of the coordinator is never taken for a group that has committed nothing."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from tocsin.agents.kafka import group_offsets
from tocsin.agents.kafka.group_offsets import Administrator, committed_offsets

PLACE = ("shop.invoices", 2)
THERE = OffsetFetchResponse_v3(0, [(PLACE[0], [(PLACE[1], 41, "", 0)])], 0)


def failed(error: type[Any]) -> OffsetFetchResponse_v3:
    """As brokers answer that can say nothing of any partition."""
    return OffsetFetchResponse_v3(0, [], error.errno)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[OffsetFetchResponse_v3]:
    """What the coordinator answers, one after the other."""
    queue: list[OffsetFetchResponse_v3] = []

    async def send(_client: Any, _request: Any, _node: int | None = None) -> Any:
        return queue.pop(0)

    async def find(_client: Any, _group: str) -> int:
        return 1

    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", send)
    monkeypatch.setattr(AIOKafkaAdminClient, "find_coordinator", find)
    monkeypatch.setattr(group_offsets, "WAIT_INTERVAL_S", 0.0)
    return queue


async def test_a_coordinator_that_still_loads_is_asked_again(
    answers: list[OffsetFetchResponse_v3],
) -> None:
    answers += [failed(GroupLoadInProgressError), failed(GroupLoadInProgressError), THERE]

    assert await committed_offsets(Administrator(), "shop") == {PLACE: 41}
    assert answers == []


async def test_one_that_refuses_is_an_error_and_not_a_beginning(
    answers: list[OffsetFetchResponse_v3],
) -> None:
    answers.append(failed(GroupAuthorizationFailedError))

    with pytest.raises(GroupAuthorizationFailedError):
        await committed_offsets(Administrator(), "shop")
