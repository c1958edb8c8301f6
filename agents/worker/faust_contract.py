"""The names of Faust, mode and aiokafka that `tocsin.agents.worker.faust_runtime` relies on.

Both packages are pinned exactly; this check says at start, by name, what a changed version lacks,
instead of letting a worker fail in the middle of a transaction.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import faust.streams
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, codec
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.transport import consumer as consumers
from faust.transport.drivers import aiokafka as driver

from tocsin.agents.settings.errors import ConfigurationError

VERSIONS = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}
SIGNATURES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ("self", "transport")),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", ("self",)),
    (driver.Consumer, "_new_consumer_thread", ("self",)),
    (driver.Consumer, "verify_event_path", ("self", "now", "tp")),
    (driver.Producer, "_settings_auth", ("self",)),
    (consumers.Consumer, "getmany", ("self", "timeout")),
    (consumers.Consumer, "on_partitions_revoked", ("self", "revoked")),
    (consumers.Consumer, "on_stop", ("self",)),
    (consumers.Consumer, "stop_flow", ("self",)),
    (consumers.Consumer, "resume_flow", ("self",)),
    (consumers.Consumer, "resume_partitions", ("self", "tps")),
    (consumers.Consumer, "_drain_messages", ("self", "fetcher")),
    (
        TableManager,
        "on_rebalance",
        ("self", "assigned", "revoked", "newly_assigned", "generation_id"),
    ),
    (TableManager, "on_actives_ready", ("self",)),
    (TableManager, "on_standbys_ready", ("self",)),
    (App, "on_rebalance_end", ("self",)),
    (AIOKafkaProducer, "create_batch", ("self",)),
    (AIOKafkaProducer, "send_batch", ("self", "batch", "topic", "partition")),
    (AIOKafkaProducer, "send_offsets_to_transaction", ("self", "offsets", "group_id")),
    # What `tocsin.agents.transactions.batches` stands in for.
    (BatchBuilder, "_build", ("self",)),
    (
        BatchBuilder,
        "_set_producer_state",
        ("self", "producer_id", "producer_epoch", "base_sequence"),
    ),
    (BatchBuilder, "record_count", ("self",)),
    (BatchBuilder, "close", ("self",)),
    (BatchBuilder, "closed", ("self",)),
    (PartitionRecords, "_consumer_record", ("self", "tp", "record")),
    (PartitionRecords, "_unpack_records", ("self",)),
    (AIOKafkaConsumer, "getmany", ("self", "partitions", "timeout_ms", "max_records")),
    (AIOKafkaConsumer, "end_offsets", ("self", "partitions")),
)


def problems() -> list[str]:
    """What the installed packages lack; empty if the runtime can rely on them."""
    found = [
        f"{name} {version(name)} is installed, {wanted} is needed"
        for name, wanted in VERSIONS.items()
        if version(name) != wanted
    ]
    for owner, name, parameters in SIGNATURES:
        function = getattr(owner, name, None)
        actual = tuple(inspect.signature(function).parameters) if function else None
        if actual != parameters:
            found.append(f"{owner.__name__}.{name} takes {actual}, not {parameters}")
    if not (codec.has_snappy() and codec.has_lz4() and codec.has_zstd()):
        found.append("cramjam is missing, without which compressed records can't be read")
    if faust.streams._CStreamIterator is None:
        # The iterator in plain Python acknowledges messages of an older generation.
        found.append("Faust's compiled stream iterator is missing; unset NO_CYTHON and reinstall")
    return found


def check() -> None:
    """Raise ConfigurationError if the runtime can't rely on the installed packages."""
    found = problems()
    if found:
        raise ConfigurationError(
            "the installed packages do not fit: " + "; ".join(found),
            mend="install the versions of the lock file",
        )
