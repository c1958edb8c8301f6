"""What a receiver made of a delivery, and what every way of delivering has in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum, unique
from typing import Protocol

from msgspec import Struct

from tocsin.agents.notify.outbox import Notice
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.secret import NO_SECRET, Secret, read_secret


@unique
class Outcome(Enum):
    """How an attempt ended; the values are labels of metrics."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # the same request will not be taken another time
    FAILED = "failed"  # it may be, later


class Result(Struct, frozen=True):
    """An attempt's end. `detail` bears no address and no secret."""

    outcome: Outcome
    detail: str = ""
    retry_after_s: int = 0


DELIVERED = Result(Outcome.DELIVERED)


class Message(Struct, frozen=True, kw_only=True):
    """What is to be delivered, in words and as data. `id` is the idempotency key.

    `title` is that of the whole, `heads` and `lines` are what is said of each notice, whatever
    else is delivered with it.
    `trace` is the `traceparent` for receivers that take headers, empty if there is none.
    """

    id: str
    title: str
    heads: Sequence[str]
    lines: Sequence[str]
    notices: Sequence[Notice]
    data: Mapping[str, object]
    trace: str = ""

    @property
    def text(self) -> str:
        """All lines, an empty one between two warnings."""
        return "\n\n".join(self.lines)


class Sender(Protocol):
    """Brings messages to one receiver, one at a time."""

    async def send(self, message: Message, now: int) -> Result:
        """Try once, within the receiver's time; never raises for what the receiver does."""

    async def close(self) -> None:
        """Let go of connections."""


def secret_of(file: str, variable: str, what: str) -> Secret:
    """A secret of a receiver, from its file or its environment variable; none if neither is told.

    Raises InputError.
    """
    try:
        if file:
            found = read_secret(file)
        elif variable:
            found = Secret(os.environ.get(variable, ""))
        else:
            return NO_SECRET
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{what}: cannot read {file}: {reason}") from error
    if not found:
        where = file or f"variable {variable}"
        raise InputError(f"{what}: {where} is empty or not set")
    return found
