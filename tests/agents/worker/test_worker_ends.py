"""With which code a worker ends: brokers that are away are told apart from a defect."""

from __future__ import annotations

from typing import NoReturn

import faust
import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
)

from tocsin.agents.settings.exits import Exit
from tocsin.agents.worker import main as worker


class EndedError(Exception):
    """Stands in for the end of the process."""


@pytest.fixture(autouse=True)
def _ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(code: Exit, message: str) -> NoReturn:
        raise EndedError(code, message)

    monkeypatch.setattr(worker, "die", die)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KafkaConnectionError("no broker"), Exit.UNAVAILABLE),
        (KafkaTimeoutError("no offsets in 40000 ms"), Exit.UNAVAILABLE),
        (ConnectionRefusedError("nobody listens"), Exit.UNAVAILABLE),
        (TopicAuthorizationFailedError("no right"), Exit.AGENT),
        (ValueError("a defect"), Exit.AGENT),
    ],
)
def test_a_failure_is_told_by_its_cause(error: Exception, code: Exit) -> None:
    with pytest.raises(EndedError) as ended:
        worker.end(error)

    assert ended.value.args[0] is code


async def test_brokers_that_go_away_at_the_start_end_it_as_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(_self: faust.Worker) -> None:
        raise KafkaConnectionError("unable to bootstrap")

    monkeypatch.setattr(faust.Worker, "start", start)
    starting = worker.BoundedWorker.__new__(worker.BoundedWorker)

    with pytest.raises(EndedError) as ended:
        await starting.start()

    assert ended.value.args[0] is Exit.UNAVAILABLE
