"""Where a program without a journal reads on: a record of its own for each partition that it reads.

They lie in the compacted topic `positions` and are written in the transactions that write what was
made of the records. Group offsets ride along for lag tools: brokers forget those of a group that
has stood still for a week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from tocsin.agents.kafka.brokers import Brokers
from tocsin.agents.kafka.changelog import read_to_end
from tocsin.agents.settings.errors import LostError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.journal import Output
from tocsin.agents.transactions.merger import Source
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import ReadPosition
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import POSITIONS

PARTITION: Final = 0  # all in one place, since one writes and reads it


class Places:
    """The places of one program, by source."""

    def __init__(self, topic: str, codec: Codec, clock: Callable[[], int]) -> None:
        """`topic` is the deployment's name of the topic of positions; `clock` tells epoch ms."""
        self._topic = topic
        self._codec = codec
        self._clock = clock
        self.known: dict[Source, ReadPosition] = {}
        self.kafka_ids: Mapping[str, bytes] = {}  # of the topics that are read now

    async def restore(self, client_options: Mapping[str, Any]) -> None:
        """Read what was written, after whoever wrote it was fenced. Raises LostError.

        Who goes on after a rebalance keeps what is known: the brokers may not show yet what a
        transaction wrote whose commit they have confirmed.
        """
        found: dict[Source, ReadPosition] = {}
        await read_to_end(self._topic, PARTITION, client_options, partial(self._take, found))
        self.known = found

    def _take(self, places: dict[Source, ReadPosition], key: bytes, value: bytes | None) -> None:
        if value is None:
            return
        try:
            found = self._codec.decode_position(value)
        except Refused as error:
            raise LostError(
                f"the record {key!r} of {self._topic} cannot be read: {error.detail}",
                mend="if a newer tocsin wrote it, run that one; see docs/recovery.md",
            ) from error
        places[Source(found.topic, found.partition)] = found

    @property
    def read_from(self) -> dict[str, bytes]:
        """Kafka's ids of topics of which something was read, as far as they are known."""
        return {place.topic: place.kafka_id for place in self.known.values() if place.next}

    def outputs(self, positions: Mapping[Source, int]) -> Iterable[Output]:
        """The records that say so, of places that have changed."""
        now = self._clock()
        for source, position in positions.items():
            kafka_id = self.kafka_ids.get(source.topic, b"")
            place = ReadPosition(*source, position, kafka_id)
            if self.known.get(source) == place:
                continue
            self.known[source] = place
            key = f"{source.topic}/{source.partition}".encode()
            value = self._codec.encode_position(place)
            yield Output(POSITIONS.topic_id, self._topic, PARTITION, key, value, (), now)


async def intake_places(
    brokers: Brokers, settings: Settings, codec: Codec
) -> dict[tuple[str, int], int]:
    """Where a deployment's intake reads on, as it says itself; empty before there was a topic."""
    topic = settings.topic(POSITIONS)
    if topic not in await brokers.partitions():
        return {}
    places = Places(topic, codec, lambda: 0)
    await places.restore(settings.client_options())
    return {source: place.next for source, place in places.known.items()}
