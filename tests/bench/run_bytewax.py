"""The reference job on Bytewax: at least once, with recovery as its documentation shows.

run_bytewax.py RUN SERVERS EVENTS PREFIX: reads to the topics' ends and returns. Runs in the
environment of the peers, made from the requirements.lock beside this file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import job
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from measuring import Window

BATCH_RECORDS = 1_000
EPOCH = timedelta(seconds=10)
Crossing = tuple[str, int, int]


def build(run: str, servers: str, prefix: str, window: Window) -> Dataflow:
    """One flow over the three topics, keyed by customer."""

    def decode(message: KafkaSourceMessage[Any, Any]) -> tuple[str, tuple[int, dict[str, Any]]]:
        window.begin()
        kind, event = job.decode(message.value)
        return event["customer_id"], (kind, event)

    def watch(
        state: dict[str, Any] | None, item: tuple[int, dict[str, Any]]
    ) -> tuple[dict[str, Any], list[Crossing]]:
        folded = job.new_state() if state is None else state
        return folded, job.fold(folded, *item)

    def write(item: tuple[str, Crossing]) -> KafkaSinkMessage[bytes, bytes]:
        customer_id, crossing = item
        return KafkaSinkMessage(customer_id.encode(), json.dumps(crossing).encode())

    flow = Dataflow("reference")
    topics = [prefix + topic for topic in job.TOPICS]
    records = op.input(
        "sources", flow, KafkaSource([servers], topics, tail=False, batch_size=BATCH_RECORDS)
    )
    crossings = op.stateful_flat_map("fold", op.map("decode", records, decode), watch)
    written = op.map("encode", crossings, write)
    op.output("warnings", written, KafkaSink([servers], f"{run}-warnings"))
    return flow


def main(run: str, servers: str, events: int, prefix: str, folder: Path) -> None:
    """Process all records and report."""
    window = Window()
    init_db_dir(folder, 1)
    cli_main(
        build(run, servers, prefix, window),
        epoch_interval=EPOCH,
        recovery_config=RecoveryConfig(folder),
    )
    window.report(events)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(name))
    os._exit(0)
