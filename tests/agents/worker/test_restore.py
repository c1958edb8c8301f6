"""What a rebalance reads anew: what somebody else may have written, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError, TopicAuthorizationFailedError

from tocsin.agents.settings.errors import TrimmedError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.merger import Source
from tocsin.agents.worker.faust_runtime import Restore


class Producers:
    """Stands for the transactional producers: those of groups that are kept go on."""

    def __init__(self) -> None:
        self.started: set[int] = set()

    def groups(self) -> set[int]:
        return self.started

    async def start(self, group: int) -> None:
        self.started.add(group)


class Places:
    """Counts how often it is read anew, and after whose start."""

    def __init__(self, producers: Producers) -> None:
        self.producers = producers
        self.read: list[set[int]] = []

    async def restore(self, _options: Any) -> None:
        self.read.append(set(self.producers.started))


async def test_who_keeps_its_group_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a confirmed commit the brokers may still show the place before it, for a moment."""
    producers = Producers()
    places = Places(producers)

    async def nothing(*_given: Any) -> None:
        """What comes before and after is tested elsewhere."""

    wiring = SimpleNamespace(
        new_store=None, sources=("erp",), places=places, client_options={}, group_of=lambda _: 0
    )
    consumer = SimpleNamespace(
        assignment=lambda: [Source("erp", 0)], _thread=SimpleNamespace(pause=nothing)
    )
    app: Any = SimpleNamespace(
        runtime=SimpleNamespace(wiring=wiring, producers=producers),
        consumer=consumer,
        consumer_generation_id=0,
    )
    restore = Restore.__new__(Restore)
    restore.app = app
    monkeypatch.setattr(restore, "_resume", nothing)
    monkeypatch.setattr(restore, "_load", nothing)
    monkeypatch.setattr(restore, "_is_stale", lambda _generation: False)

    for generation in (1, 2):
        await restore._restore(generation)

    assert places.read == [{0}], "read once, and after the fence"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NodeNotReadyError("node 1"), Exit.UNAVAILABLE),
        (TimeoutError("nothing comes"), Exit.UNAVAILABLE),
        (TopicAuthorizationFailedError("journal"), Exit.CONFIGURATION),
        (TrimmedError("begins at offset 9", mend="bring them back"), Exit.RESTORE),
    ],
)
def test_what_is_away_while_it_is_restored_may_come_back(error: Exception, code: Exit) -> None:
    told: list[Exit] = []
    restore = Restore.__new__(Restore)
    wiring = SimpleNamespace(fatal=lambda code, _text: told.append(code))
    restore.app = SimpleNamespace(runtime=SimpleNamespace(wiring=wiring))  # type: ignore[assignment]

    restore._fail(error)

    assert told == [code]
