"""Mutants of good input, how long each may take, and what became of them."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

CPU_S_MAX = 10
"""Processor time that one mutant may take: a thousand times what the slowest takes."""

_MUTATIONS = (0, 1, 1, 1, 2, 4)
_EXTREMES = (
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80" * 12, b"\xfe\xff\xff\xff\x0f", b"\0" * 9,
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "\u202e".encode(), b"NaN", b"-1", b"1e999999999", b"null",
    b"9" * 40, b"9" * 5_000, b"[" * 2_000, b"{}", b'""', b"\n", b": ", b"- ", b"&a [*a]",
    b"!!python/object:x", b"2025-02-30",
)  # fmt: skip


class TooSlowError(Exception):
    """A mutant took more than its time."""


class Run(Struct):
    """A target's mutants: how many, from which seed, where files may be written, what they met."""

    count: int
    seed: int
    folder: Path
    done: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def refuse(self, code: str) -> None:
        """A mutant was refused with a code."""
        self.codes[code] += 1

    def mutants(self, seeds: Sequence[bytes]) -> Iterator[bytes]:
        """Yield mutants of good input, the same for the same seed."""
        chance = random.Random(self.seed)
        with self.each_in_time():
            for _ in range(self.count):
                found = bytearray(chance.choice(seeds))
                for _ in range(chance.choice(_MUTATIONS)):
                    _mutate(found, chance, seeds)
                self.next()
                yield bytes(found)

    def next(self) -> None:
        """One more mutant: its time begins."""
        self.done += 1
        signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)

    @contextmanager
    def each_in_time(self) -> Iterator[None]:
        """Interrupt the mutant that takes too long."""

        def late(_number: int, _frame: object) -> None:
            raise TooSlowError(f"mutant {self.done} of seed {self.seed}")

        before = signal.signal(signal.SIGPROF, late)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


def _mutate(found: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    place = chance.randrange(len(found) + 1)
    end = min(len(found), place + chance.choice((1, 1, 2, 8, 64)))
    match chance.randrange(6):
        case 0 if place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        case 1:
            del found[place:end]
        case 2:
            found[place:place] = found[place:end] * chance.choice((1, 2, 50))
        case 3:
            found[place:end] = chance.choice(_EXTREMES)
        case 4:
            other = chance.choice(seeds)
            found[place:] = other[min(place, len(other)) :]
        case _:
            del found[place:]
