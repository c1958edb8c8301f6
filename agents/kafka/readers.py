"""The consumer of every program: it reads on where it was put, or not at all.

By default a client whose next record was deleted, by retention or by somebody, goes on at the first
or the last that there is, and tells nobody. Nothing here does: who is overtaken stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from tocsin.agents.settings.errors import TrimmedError

FAREWELL_S: Final = 0.1
"""How long a reader that stops waits for the brokers' end of a TLS connection."""

LEAVING_S: Final = 5.0
"""The same of a member of a group, which takes its leave of the group first."""


class Reader(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's consumer of committed records, which never resets by itself and commits nothing.

    It begins where it is sought to. Reading raises TrimmedError where the brokers no longer have
    the record that comes next.
    """

    def __init__(self, **options: Any) -> None:
        chosen = {"isolation_level": "read_committed", "enable_auto_commit": False, **options}
        super().__init__(**{**chosen, "auto_offset_reset": "none"})

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        """Give what has come since the last call; wait for it at most so long."""
        try:
            found: Mapping[TopicPartition, Sequence[Any]] = await super().getmany(
                *partitions, timeout_ms=timeout_ms, max_records=max_records
            )
        except OffsetOutOfRangeError as error:
            raise await self._trimmed(error) from error
        return found

    async def getone(self, *partitions: TopicPartition) -> Any:
        """Wait for a record; what iterates over the consumer comes by here, too."""
        try:
            return await super().getone(*partitions)
        except OffsetOutOfRangeError as error:
            raise await self._trimmed(error) from error

    async def stop(self) -> None:
        """Leave the group, if there is one, and close the connections.

        A reader mostly stops while a fetch is under way, and then the broker's end of a TLS
        connection may stay open: uvloop waits for it for 30 s. So what is still open is cut.
        """
        writers = [connection._writer for connection in self._client._conns.values()]
        transports = [writer.transport for writer in writers if writer]
        encrypted = [each for each in transports if each.get_extra_info("sslcontext")]
        stopping = asyncio.ensure_future(super().stop())
        try:
            patience = LEAVING_S if self._group_id else FAREWELL_S
            await asyncio.wait([stopping], timeout=patience if encrypted else None)
        finally:
            for transport in encrypted:
                transport.abort()
        await stopping

    async def _trimmed(self, error: OffsetOutOfRangeError) -> TrimmedError:
        ((place, wanted),) = error.args[0].items()
        first = (await self.beginning_offsets([place]))[place]
        end = (await self.end_offsets([place]))[place]
        return overtaken(place.topic, place.partition, wanted, first, end)


def overtaken(topic: str, partition: int, wanted: int, first: int, end: int) -> TrimmedError:
    """The error of a reader that wants an offset which is not among those from `first` to `end`."""
    if wanted < first:
        return TrimmedError(
            f"{topic}-{partition} begins at offset {first}, but {wanted} comes next: "
            f"{first - wanted} offsets were deleted before they were read",
            mend="bring them back, or let worker or intake go on behind them with "
            f"`tocsin gap accept {topic}/{partition}`; docs/recovery.md has more on records "
            "deleted unread",
        )
    return TrimmedError(
        f"{topic}-{partition} has offsets {first} to {end}, but {wanted} comes next: it was made "
        "anew or cut short",
        mend="bring it back, or see docs/recovery.md for topics that are lost",
    )


def require_kept(
    topic: str, partition: int, wanted: int, first: int, end: int | None = None
) -> None:
    """Raise TrimmedError unless reading can go on at `wanted`.

    `first` and `end` are the brokers' first offset and end; without an end none is looked at.
    """
    if wanted < first or (end is not None and wanted > end):
        raise overtaken(topic, partition, wanted, first, first if end is None else end)
