"""Where a consumer group goes on reading, asked so that an error is never taken for "nowhere".

A coordinator that is still reading its log after a restart answers with an error for the request
as a whole and no partitions. aiokafka 0.14 looks only at the errors of partitions, for consumers
and administrators alike, and so finds that nothing was ever committed: who believed it would read
everything again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

WAIT_ATTEMPTS = 100
WAIT_INTERVAL_S = 0.1

Answer = TypeVar("Answer")


class Administrator(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's client, which raises where the answer on a group's offsets is an error."""

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        response = await super()._send_request(request, node_id)
        if isinstance(request, OffsetFetchRequest) and response.error_code:
            raise for_code(response.error_code)("a group's offsets")
        return response


async def of_coordinator(
    client: Administrator, group_id: str, ask: Callable[[int], Awaitable[Answer]]
) -> Answer:
    """Ask the broker that leads the group; a fresh cluster appoints it only now."""
    attempts_left = WAIT_ATTEMPTS
    while True:
        try:
            return await ask(await client.find_coordinator(group_id))
        except (
            GroupCoordinatorNotAvailableError,
            GroupLoadInProgressError,
            NotCoordinatorForGroupError,
        ):
            attempts_left -= 1
            if not attempts_left:
                raise
            await asyncio.sleep(WAIT_INTERVAL_S)


async def committed_offsets(client: Administrator, group_id: str) -> dict[tuple[str, int], int]:
    """Where the group goes on reading, per (topic, partition), if it ever committed there."""

    async def ask(coordinator: int) -> dict[tuple[str, int], int]:
        found = await client.list_consumer_group_offsets(group_id, coordinator)
        return {(tp.topic, tp.partition): entry.offset for tp, entry in found.items()}

    return await of_coordinator(client, group_id, ask)
