"""Which faults befall a run, and when: all of it follows from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

POINTS = {
    "worker": (
        "before-send", "amid-send", "after-send", "before-commit", "after-commit",
        "restore", "rebalance",
    ),
    "audit": ("migration", "before-insert", "after-insert", "before-progress", "after-progress"),
    "engine": ("in-insert",),
}  # fmt: skip
# How often at most each is passed before it is the place; 40 times, of those in a transaction.
NTH_MAX = {
    "rebalance": 1,
    "migration": 20,
    "in-insert": 20,
    "before-insert": 25,
    "after-insert": 25,
    "before-progress": 4,
    "after-progress": 4,
    "amid-send": 120,
}
# How often each kind is drawn.
TIMED = {
    "worker-kill": 6,
    "worker-term": 3,
    "worker-freeze": 4,
    "audit-kill": 3,
    "audit-term": 1,
    "audit-freeze": 1,
    "engine-kill": 2,
    "engine-slow": 1,
    "engine-read-only": 1,
    "engine-full": 1,
    "broker-kill": 3,
    "broker-full": 1,
    "net-delay": 2,
    "net-partition": 2,
    "net-loss": 2,
    "clock-jump": 2,
    "scale": 3,
}
REGISTRY = ("registry-kill", "registry-away")
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# Who compresses by which: whoever writes, or the broker, by the setting of what is written to.
COMPRESSIONS = tuple(f"{how}-{codec}" for how in ("compress", "recompress") for codec in CODECS)
COMPRESSED_SHARE = 0.4  # of runs whose ground is not broken
# Wrong times in the load: of what cannot be read, at the head of a topic; of facts in its middle.
MISTIMED = ("junk-at-the-head", "future-stamps")
MISTIMED_SHARE = 0.3
CHOSEN_SHARE = 0.45  # of faults that happen at a chosen point instead of a random moment
ZOMBIE_SHARE = 0.25  # of those in a worker's transaction that stop it instead of killing it
EARLY_SHARE = 0.15  # of the others that may come while programs still start
OVERTAKEN = ("trim-frozen-worker", "trim-zombie-worker", "trim-frozen-audit")
REFUSALS = (
    "corrupt-state", "trim-changelog", "few-partitions", *OVERTAKEN, "recreated-topic",
    "expired-group",
)  # fmt: skip
REFUSAL_EVERY = 16  # runs; the broken ground must be refused, not worked on


@dataclass(frozen=True, slots=True)
class Point:
    """A place at which a program kills (or stops) itself when it passes there the nth time."""

    program: str
    point: str
    nth: int
    do: str = "kill"

    @property
    def name(self) -> str:
        """The name of the file that tells that it happened."""
        return f"{self.do}-{self.point}-{self.nth}"


@dataclass(frozen=True, slots=True)
class Timed:
    """Something done to a program or its surroundings.

    `at_s` counts from the first transaction, or from the start if the fault is an early one.
    """

    kind: str
    at_s: float
    lasting_s: float
    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that befalls one run."""

    workers: int
    timed: tuple[Timed, ...] = ()
    points: tuple[Point, ...] = ()
    refusal: str = ""
    compression: str = ""
    mistimed: str = ""

    @property
    def names(self) -> list[str]:
        """What is planned, for the record."""
        own = [timed.kind for timed in self.timed] + [point.name for point in self.points]
        return own + [name for name in (self.refusal, self.compression, self.mistimed) if name]


def draw(seed: int, feed_s: float) -> Schedule:
    """The schedule of a seed."""
    chance = Random(seed)
    if seed % REFUSAL_EVERY == 0:
        kind = REFUSALS[seed // REFUSAL_EVERY % len(REFUSALS)]
        return Schedule(1, refusal=kind)
    timed: list[Timed] = []
    points: list[Point] = []
    for _ in range(chance.choice((1, 2, 2, 3, 3, 4))):
        if chance.random() < CHOSEN_SHARE:
            points.append(_point(chance))
        else:
            timed.append(_timed(chance, feed_s))
    if any(point.point in ("restore", "rebalance") for point in points):
        # Both only come when somebody leaves or joins.
        timed.append(Timed("worker-kill", feed_s * 0.3, 0.0))
    unique = {(point.program, point.point, point.nth, point.do): point for point in points}
    workers = chance.choice((1, 1, 2))
    return Schedule(
        workers,
        _apart(timed),
        tuple(unique.values()),
        compression=_packed(seed),
        mistimed=_mistimed(seed),
    )


def _mistimed(seed: int) -> str:
    """Which wrong times a run's load has; drawn apart, as compression is."""
    chance = Random(f"times of {seed}")
    return chance.choice(MISTIMED) if chance.random() < MISTIMED_SHARE else ""


def _packed(seed: int) -> str:
    """How a run is compressed; drawn apart, so that a seed's faults are what they always were."""
    chance = Random(f"compression of {seed}")
    return chance.choice(COMPRESSIONS) if chance.random() < COMPRESSED_SHARE else ""


def draw_registry(seed: int, feed_s: float) -> Schedule:
    """A schedule for a run with a registry, which goes away as half is fed; with another fault.

    In some for longer than programs wait for it.
    """
    chance = Random(seed)
    missed = Timed(chance.choice(REGISTRY), 0.0, chance.uniform(2.0, 25.0))
    other = chance.choice(("worker-kill", "worker-term", "audit-kill", "scale"))
    at_s = chance.uniform(0.2, feed_s * 0.8)
    return Schedule(2, (missed, Timed(other, at_s, chance.uniform(3.0, 5.0))))


def _point(chance: Random) -> Point:
    program = chance.choices(("worker", "audit", "engine"), (6, 3, 1))[0]
    point = chance.choice(POINTS[program])
    nth = chance.randrange(1, NTH_MAX.get(point, 40) + 1)
    is_zombie = program == "worker" and point not in ("restore", "rebalance")
    do = "stop" if is_zombie and chance.random() < ZOMBIE_SHARE else "kill"
    return Point(program, point, nth, do)


def _timed(chance: Random, feed_s: float) -> Timed:
    kind = chance.choices(list(TIMED), list(TIMED.values()))[0]
    lasting = {
        "worker-freeze": (4.0, 6.0),
        "audit-freeze": (1.0, 4.0),
        "engine-kill": (0.0, 1.5),
        "broker-kill": (0.0, 3.0),
        "net-partition": (1.0, 6.0),
        "scale": (3.0, 5.0),
    }.get(kind, (1.0, 4.0))
    is_early = chance.random() < EARLY_SHARE
    at_s = chance.uniform(0.2, feed_s * (0.4 if is_early else 0.8))
    return Timed(kind, at_s, chance.uniform(*lasting), is_early)


def _apart(timed: list[Timed]) -> tuple[Timed, ...]:
    """Of faults that would undo each other, the first one only."""
    seen: set[str] = set()
    kept = []
    for entry in sorted(timed, key=lambda entry: entry.at_s):
        group = entry.kind.split("-")[0]
        shares = group if group in ("net", "engine", "broker", "scale", "clock") else ""
        if not shares or shares not in seen:
            kept.append(entry)
        seen.add(shares)
    return tuple(kept)
