"""What warnings do not say of a customer: name, segment, country, who answers for it.

Read from the topic `customers`, whole at the start and then up to its end before each batch of
warnings: what was on the topic when a warning was read is known when it is routed.
"""

from __future__ import annotations

from typing import Final

from aiokafka.structs import TopicPartition
from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.kafka.changelog import committed_reader
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import CUSTOMERS
from tocsin.streams.facts.events import CustomerUpdated

POLL_MS: Final = 200
RECORDS_MAX: Final = 5000


class Customer(Struct, frozen=True, gc=False):
    """The part of a customer's data that routing and words need."""

    name: str | None = None
    segment: str | None = None
    country: str | None = None
    owner: str | None = None


UNKNOWN: Final = Customer()


class Customers:
    """The latest data of every customer."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._codec = codec
        self._guard = open_decrypting_guard(settings)
        self._places = [
            TopicPartition(settings.topic(CUSTOMERS), partition)
            for partition in range(settings.partitions)
        ]
        self._consumer = committed_reader(settings.client_options())
        self._known: dict[str, Customer] = {}

    async def start(self) -> None:
        """Connect, and read all that is there."""
        await self._consumer.start()
        self._consumer.assign(self._places)
        for place, first in (await self._consumer.beginning_offsets(self._places)).items():
            self._consumer.seek(place, first)
        await self.catch_up()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Read up to the end as it is now."""
        ends = await self._consumer.end_offsets(self._places)
        behind = {place for place in self._places if await self._position(place) < ends[place]}
        while behind:
            fetched = await self._consumer.getmany(
                *behind, timeout_ms=POLL_MS, max_records=RECORDS_MAX
            )
            for records in fetched.values():
                for record in records:
                    self._take(record.value)
            behind = {place for place in behind if await self._position(place) < ends[place]}

    def get(self, customer_id: str) -> Customer:
        """What is known of a customer; an encrypted name is opened now, as far as it still can."""
        known = self._known.get(customer_id, UNKNOWN)
        return replace(known, name=self._guard.naming(customer_id, known.name) or None)

    async def _position(self, place: TopicPartition) -> int:
        return int(await self._consumer.position(place))

    def _take(self, value: bytes | None) -> None:
        try:
            event = self._codec.decode(CUSTOMERS.topic_id, value)
        except Refused:  # the worker sends it to the dead letters
            return
        if isinstance(event, CustomerUpdated):
            self._known[event.customer_id] = Customer(
                event.name, event.segment, event.country, event.owner
            )
