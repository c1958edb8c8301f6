"""Consumer groups that brokers forget, as they do of one that has stood still for a week."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NonEmptyGroup, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

WITHIN_S = 60.0
POLL_S = 0.2


async def forget_group(client_options: dict[str, Any], group: str) -> None:
    """Delete a group's offsets, once its members are given up."""
    admin = AIOKafkaAdminClient(**client_options)
    await admin.start()
    deadline = time.monotonic() + WITHIN_S
    try:
        while True:
            coordinator = await admin.find_coordinator(group)
            answer: Any = await admin._client.send(coordinator, DeleteGroupsRequest([group]))
            ((_name, code),) = answer.results
            error = for_code(code)
            if error is not NonEmptyGroup:
                assert code == 0, error
                return
            assert time.monotonic() < deadline, f"{group} keeps its members"
            await asyncio.sleep(POLL_S)
    finally:
        await admin.close()
