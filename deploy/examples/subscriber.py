"""Print live warnings as they come: python subscriber.py HOST:PORT [TOPIC]

A group of its own gives each program every warning once; after a restart it goes on where it was.
"""

import asyncio
import io
import sys

import fastavro
from aiokafka import AIOKafkaConsumer

from tocsin.schemas.registry import FileRegistry

REGISTRY = FileRegistry()  # the packaged schemas; an enterprise's registry has the same ids


def read(value: bytes) -> dict:
    """A record's value: a zero byte, four bytes of schema id, then Avro written by that schema."""
    written = REGISTRY.by_id(int.from_bytes(value[1:5], "big"))
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), written.schema, None)


async def main(brokers: str, topic: str = "warnings") -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id="warning-printer",
        isolation_level="read_committed",  # without it, warnings of failed transactions show too
        auto_offset_reset="earliest",
    )
    async with consumer:
        async for record in consumer:
            warning = read(record.value)
            # What the loading of history found concerns nobody; what is muted, nobody now.
            if warning["phase"] == "LIVE" and not warning["muted_by"]:
                head = f"{warning['as_of']} {warning['severity']} {warning['text_en']}"
                print(f"{head}\n  {warning['action_en']}", flush=True)  # noqa: T201 - its purpose


asyncio.run(main(*sys.argv[1:]))
