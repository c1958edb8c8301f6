"""Negative controls: the product broken on purpose, to show that the judge sees it.

Each takes the command that is starting and changes this process only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import wraps
from typing import Any


def no_transactions(command: str) -> None:
    """Each batch, and the offsets, are committed by themselves."""
    if command != "worker":
        return
    from aiokafka import AIOKafkaProducer

    begin, commit = AIOKafkaProducer.begin_transaction, AIOKafkaProducer.commit_transaction
    send, send_offsets = AIOKafkaProducer.send_batch, AIOKafkaProducer.send_offsets_to_transaction

    @wraps(send)
    async def send_alone(self: Any, *args: Any, **named: Any) -> Any:
        await begin(self)
        delivered = await send(self, *args, **named)
        await delivered
        await commit(self)
        return delivered

    @wraps(send_offsets)
    async def offsets_alone(self: Any, *args: Any) -> None:
        await begin(self)
        await send_offsets(self, *args)
        await commit(self)

    AIOKafkaProducer.send_batch = send_alone  # type: ignore[method-assign]  # broken on purpose
    AIOKafkaProducer.send_offsets_to_transaction = offsets_alone  # type: ignore[method-assign]  # too
    for name in ("begin_transaction", "commit_transaction"):
        _empty(AIOKafkaProducer, name)


def _empty(owner: Any, name: str) -> None:
    @wraps(getattr(owner, name))
    async def nothing(*_args: Any, **_named: Any) -> None:
        """What a transaction would have done."""

    setattr(owner, name, nothing)


def no_merge(command: str) -> None:
    """Whatever a topic has is taken at once, one topic after the other."""
    if command != "worker":
        return
    from tocsin.agents import merger

    plain = merger.Merger.take

    def take(self: Any, _is_caught_up: Any, limit: int) -> Any:
        return plain(self, lambda _source: True, limit)

    merger.merge_order = lambda keys: list(range(sum(map(len, keys))))
    merger.Merger.take = take  # type: ignore[method-assign]  # broken on purpose


def no_fencing(command: str) -> None:
    """Each process has transactional ids of its own: nobody fences a zombie."""
    if command != "worker":
        return
    from aiokafka import AIOKafkaProducer

    plain = AIOKafkaProducer.__init__

    @wraps(plain)
    def made(self: Any, *args: Any, transactional_id: Any = None, **named: Any) -> None:
        own = transactional_id and f"{transactional_id}-{os.getpid()}"
        plain(self, *args, transactional_id=own, **named)

    AIOKafkaProducer.__init__ = made  # type: ignore[method-assign]  # broken on purpose


def dirty_restore(command: str) -> None:
    """State is restored from aborted records too."""
    if command != "worker":
        return
    from tocsin.agents import changelog

    plain = changelog.Reader

    def dirty(**named: Any) -> Any:
        return plain(**{**named, "isolation_level": "read_uncommitted"})

    changelog.Reader = dirty  # type: ignore[assignment,misc]  # broken on purpose


def resets_itself(command: str) -> None:
    """Who finds that its next record was deleted goes on at the earliest that there is."""
    if command != "worker":
        return
    from aiokafka import AIOKafkaConsumer

    plain = AIOKafkaConsumer.__init__

    @wraps(plain)
    def made(self: Any, *args: Any, **named: Any) -> None:
        plain(self, *args, **{**named, "auto_offset_reset": "earliest"})

    AIOKafkaConsumer.__init__ = made  # type: ignore[method-assign]  # broken on purpose


def warnings_outside(command: str) -> None:
    """Warnings go out at once, by a producer without transaction."""
    if command != "worker":
        return
    from aiokafka import AIOKafkaProducer

    from tocsin.agents import transactions

    plain = transactions.Committer.seal
    ready: list[Any] = []
    going: set[Any] = set()

    async def send(options: Any, outputs: list[Any]) -> None:
        if not ready:
            ready.append(AIOKafkaProducer(**options))
            await ready[0].start()
        for out in outputs:
            await ready[0].send_and_wait(
                out.topic, out.value, key=out.key, partition=out.partition,
                timestamp_ms=out.timestamp, headers=list(out.headers),
            )  # fmt: skip

    def seal(self: Any, transaction: Any, *args: Any) -> None:
        early = [out for out in transaction.outputs if out.topic.endswith("warnings")]
        if early:
            transaction.outputs = [out for out in transaction.outputs if out not in early]
            task = asyncio.create_task(send(self._producers._options, early))
            going.add(task)
            task.add_done_callback(going.discard)
        plain(self, transaction, *args)

    transactions.Committer.seal = seal  # type: ignore[method-assign]  # broken on purpose


def progress_first(command: str) -> None:
    """The sink says that it has rows before it has them."""
    if command != "audit":
        return
    from tocsin.agents import audit

    insert, write = audit.Writer._insert, audit.write_progress
    waiting: list[Callable[[], None]] = []

    def later(self: Any, *args: Any) -> None:
        waiting.append(lambda: insert(self, *args))

    def first(*args: Any) -> None:
        write(*args)
        from tests.faults.launch import reach

        reach("after-progress")
        while waiting:
            waiting.pop(0)()

    audit.Writer._insert = later  # type: ignore[method-assign]  # broken on purpose
    audit.write_progress = first


def away_is_unknown(_command: str) -> None:
    """A schema is said to be unknown while the registry does not answer."""
    from tocsin.agents import registry_client
    from tocsin.agents.errors import UnavailableError

    plain = registry_client.HttpRegistry.by_id

    def by_id(self: Any, schema_id: int) -> Any:
        try:
            return plain(self, schema_id)
        except UnavailableError:
            return None

    registry_client.HttpRegistry.by_id = by_id  # type: ignore[method-assign]  # broken on purpose


VARIANTS: dict[str, Callable[[str], None]] = {
    "no-transactions": no_transactions,
    "no-merge": no_merge,
    "no-fencing": no_fencing,
    "dirty-restore": dirty_restore,
    "warnings-outside": warnings_outside,
    "progress-first": progress_first,
    "away-is-unknown": away_is_unknown,
    "resets-itself": resets_itself,
}
