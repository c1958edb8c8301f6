"""A deployment's records whole: what the topics no longer hold is read from ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from msgspec import structs

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import next_offset, read_pages
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import APPEND_ONLY, Topic


class WholeLog:
    """The topics, and before their first offset the history. Get one with `open_whole_log`."""

    def __init__(
        self,
        settings: Settings,
        client: ClickHouse | None,
        spans: Mapping[tuple[str, int], tuple[int, int]],
    ) -> None:
        self._settings = settings
        self._client = client
        self._spans = spans

    def name(self, topic: Topic) -> str:
        """Name with the deployment's prefix."""
        return self._settings.topic(topic)

    async def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a partition, in batches, in offset order.

        Raises ConfigurationError if the topic holds less than ClickHouse, or begins late and there
        is no ClickHouse. Whether nothing lacks in between, the journal's digests tell.
        """
        name = self.name(topic)
        first, end = self._spans.get((name, partition), (0, 0))
        if self._client is None:
            if first > 0:
                raise ConfigurationError(
                    f"{name}-{partition} begins at offset {first}, and no ClickHouse is known that "
                    "has what was before",
                    mend="set clickhouse_url",
                )
        else:
            known = next_offset(self._client, topic, partition)
            if known > end:
                raise ConfigurationError(
                    f"{name}-{partition} ends at offset {end}, but ClickHouse has it up to "
                    f"{known}: the topic was made anew",
                    mend="see docs/recovery.md for topics that are lost",
                )
            for page in read_pages(self._client, topic, partition, end=first):
                yield [structs.replace(record, topic=name) for record in page]
        options = self._settings.client_options()
        async with aclosing(batches(name, partition, options, first=first)) as kept:
            async for batch in kept:
                yield batch


async def open_whole_log(settings: Settings, client: ClickHouse | None) -> WholeLog:
    """Ask where each topic begins now. Raises UnavailableError."""
    async with connect(settings) as brokers:
        spans = await brokers.spans(map(settings.topic, APPEND_ONLY))
    return WholeLog(settings, client, spans)
