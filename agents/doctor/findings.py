"""What `tocsin doctor` tells: one finding for each thing that it looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum, unique

from msgspec import Struct

from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.formats import duration

SKEW_MAX_S = 5
"""Seconds by which another machine's clock may differ from ours without a word."""

DISK_LOW_BYTES = 5 << 30
DISK_OUT_BYTES = 1 << 30


@unique
class Health(StrEnum):
    """How it stands with one thing."""

    FINE = "fine"
    CAUTION = "caution"
    WRONG = "wrong"


class Finding(Struct, frozen=True):
    """One thing looked at, how it stands, and how to mend it."""

    about: str
    health: Health
    what: str
    mend: str = ""


def fine(about: str, what: str) -> Finding:
    """There is nothing to mend."""
    return Finding(about, Health.FINE, what)


def caution(about: str, what: str, mend: str) -> Finding:
    """It works, and may not for long."""
    return Finding(about, Health.CAUTION, what, mend)


def wrong(about: str, what: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(about, Health.WRONG, what, mend)


def failed(about: str, error: TocsinError) -> Finding:
    """An error of ours as a finding: its remedy stands apart."""
    text, mend = str(error), error.mend
    return wrong(about, text.removesuffix(f"; {mend}") if mend else text, mend)


async def looked(about: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What a look finds; that it could not be taken is a finding, too."""
    try:
        return await look()
    except TocsinError as error:
        return [failed(about, error)]


def space(about: str, where: str, free_bytes: int, mend: str) -> Finding:
    """Whether a disk has room enough."""
    what = f"{free_bytes / (1 << 30):,.1f} GiB free at {where}"
    if free_bytes < DISK_OUT_BYTES:
        return wrong(about, what, mend)
    return caution(about, what, mend) if free_bytes < DISK_LOW_BYTES else fine(about, what)


def skew(about: str, their_ms: int, asked_ms: int, answered_ms: int) -> Finding:
    """Whether another machine's clock, read between two of our instants, agrees with ours."""
    ahead_s = (their_ms - answered_ms) // 1000
    behind_s = (asked_ms - their_ms) // 1000
    if max(ahead_s, behind_s) <= SKEW_MAX_S:
        return fine(about, "agrees with ours")
    told = f"{duration(ahead_s)} ahead of" if ahead_s > 0 else f"{duration(behind_s)} behind"
    mend = "let both machines keep time by NTP: days close, and keys expire, by the clock"
    return wrong(about, f"{about} is {told} ours", mend)


def worst(findings: Sequence[Finding]) -> Health:
    """The gravest of all."""
    order = list(Health)
    return max((finding.health for finding in findings), key=order.index, default=Health.FINE)
