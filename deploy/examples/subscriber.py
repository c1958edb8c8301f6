"""Print live warnings as they come: python subscriber.py HOST:PORT [TOPIC] [REGISTRY]

REGISTRY is the base of a schema registry's Confluent API; without one the packaged schemas are
used. A group of its own gives each program every warning once; after a restart it goes on where it
was. Read CloudEvents' identity, `ce_id` and `ce_source`, to do things once for each warning.
"""

import asyncio
import io
import json
import sys
import urllib.request
from functools import cache

import fastavro
from aiokafka import AIOKafkaConsumer

from tocsin.schemas.contracts.registry import FileRegistry


@cache
def written_by(schema_id: int, registry: str) -> dict:
    """The schema of an id, which never changes."""
    if not registry:
        return FileRegistry().by_id(schema_id).schema
    with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}", timeout=10) as answer:  # noqa: S310 - as given
        return json.loads(json.load(answer)["schema"])


def read(value: bytes, registry: str) -> dict:
    """A record's value: a zero byte, four bytes of schema id, then Avro written by that schema."""
    schema = written_by(int.from_bytes(value[1:5], "big"), registry)
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)


async def main(brokers: str, topic: str = "warnings", registry: str = "") -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id="warning-printer",
        isolation_level="read_committed",  # without it, warnings of failed transactions show too
        auto_offset_reset="earliest",
    )
    async with consumer:
        async for record in consumer:
            warning = read(record.value, registry)
            # What the loading of history found concerns nobody; what is muted, nobody now.
            if warning["phase"] == "LIVE" and not warning["muted_by"]:
                head = f"{warning['as_of']} {warning['severity']} {warning['text_en']}"
                print(f"{head}\n  {warning['action_en']}", flush=True)  # noqa: T201 - its purpose


asyncio.run(main(*sys.argv[1:]))
