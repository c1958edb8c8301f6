"""What each program needs to be allowed at the brokers, as access control lists: no more, no less.

The one table: manifests and docs are made from it, and a test runs every role with exactly these at
a broker with an authorizer. Rights to write and to read a topic hold the right to see it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, unique
from typing import Final

from msgspec import Struct

from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import (
    APPEND_ONLY,
    CLOCK,
    CUSTOMERS,
    DEAD_LETTERS,
    JOURNAL,
    LEDGERS,
    OUTBOX,
    POLICIES,
    POSITIONS,
    SHADOW_LEDGERS,
    SHADOW_WARNINGS,
    SOURCES,
    TOPICS,
    WARNINGS,
    Topic,
)


@unique
class Resource(Enum):
    """What a right is about, in Kafka's words."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


@unique
class Operation(Enum):
    """What one may do with it, in Kafka's words."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


OF_CUSTOMERS: Final = tuple(topic for topic in SOURCES if topic not in (POLICIES, CLOCK))
READ, WRITE = Operation.READ, Operation.WRITE
DESCRIBE, DESCRIBE_CONFIGS = Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS


class Need(Struct, frozen=True):
    """Rights on one resource; `why` is the half sentence for people."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    why: str


def _topics(
    settings: Settings, topics: Iterable[Topic], *operations: Operation, why: str
) -> list[Need]:
    return [Need(Resource.TOPIC, settings.topic(topic), operations, why) for topic in topics]


def _group(name: str, why: str) -> Need:
    return Need(Resource.GROUP, name, (READ,), why)


def _transactions(names: Iterable[str], why: str) -> list[Need]:
    """Named one by one: who may use another's id can end that one's work."""
    return [Need(Resource.TRANSACTIONAL_ID, name, (WRITE,), why) for name in names]


def _admin(settings: Settings) -> list[Need]:
    keep = (
        Operation.CREATE,
        DESCRIBE,
        DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    )
    return [
        *_topics(settings, TOPICS, *keep, why="makes and checks topics (`topics apply --fix`)"),
        *_topics(settings, [POLICIES], READ, WRITE, why="publishes policies"),
        *_topics(settings, [CLOCK], READ, WRITE, why="records who keeps the clock"),
        *_transactions(
            [f"{settings.app_id}-{purpose}" for purpose in ("policies", "clock")],
            "a record reaches all partitions, or none",
        ),
    ]


def _worker(settings: Settings) -> list[Need]:
    app_id = settings.app_id
    written = [WARNINGS, JOURNAL, DEAD_LETTERS, LEDGERS]
    closing = [CLOCK] if settings.clock in (None, "system") else []
    ids = [f"{app_id}-{partition}" for partition in range(settings.partitions)]
    shadow = [SHADOW_WARNINGS, SHADOW_LEDGERS] if settings.shadow_policy else []
    return [
        *_topics(settings, TOPICS, DESCRIBE_CONFIGS, DESCRIBE, why="checks them at its start"),
        *_topics(settings, SOURCES, READ, why="reads events"),
        *_topics(settings, written, WRITE, why="writes what it decides"),
        *_topics(settings, [JOURNAL, LEDGERS], READ, why="takes up its state again"),
        *_topics(settings, shadow, WRITE, why="tries a candidate policy"),
        *_topics(settings, shadow[1:], READ, why="takes up the candidate's state again"),
        *_topics(settings, closing, WRITE, why="closes business days"),
        _group(app_id, "shares partitions with other workers"),
        *_transactions(ids, "one for each partition"),
        *_transactions([f"{app_id}-clock"] if closing else [], "closes a day everywhere at once"),
    ]


def _audit(settings: Settings) -> list[Need]:
    return _topics(settings, [*APPEND_ONLY, LEDGERS], READ, why="copies every record")


def _intake(settings: Settings) -> list[Need]:
    """Beside these, `Read` on each foreign topic of its mapping."""
    app_id = f"{settings.app_id}-intake"
    return [
        *_topics(settings, OF_CUSTOMERS, WRITE, why="writes events"),
        *_topics(settings, [DEAD_LETTERS], WRITE, why="writes what it refuses"),
        *_topics(settings, [POSITIONS], READ, WRITE, why="keeps its place"),
        *_topics(
            settings, [*OF_CUSTOMERS, DEAD_LETTERS], READ, why="finds its place if that is lost"
        ),
        _group(app_id, "tells lag tools where it is"),
        *_transactions([f"{app_id}-0"], "events and its place go together"),
    ]


def _notify(settings: Settings) -> list[Need]:
    app_id = f"{settings.app_id}-notify"
    return [
        *_topics(settings, [WARNINGS, CUSTOMERS], READ, why="reads warnings, and who it is about"),
        *_topics(settings, [OUTBOX], READ, WRITE, why="keeps what is to be delivered"),
        _group(app_id, "keeps its place"),
        *_transactions([f"{app_id}-0"], "deliveries and its place go together"),
    ]


def _web(settings: Settings) -> list[Need]:
    """The console: it reads ClickHouse, and enters what people tell it."""
    told = [WARNINGS, DEAD_LETTERS, LEDGERS]
    return [
        *_topics(settings, OF_CUSTOMERS, WRITE, why="enters events"),
        *_topics(settings, told, READ, why="shows what became of them"),
        *_topics(settings, [CLOCK, JOURNAL], READ, why="knows what day it is"),
        Need(Resource.GROUP, settings.app_id, (DESCRIBE,), "sees how far the worker is"),
    ]


def _producer(settings: Settings) -> list[Need]:
    """`tocsin produce`. Who writes one topic only needs `Write` on that alone."""
    return [
        *_topics(settings, SOURCES, WRITE, why="writes events"),
        *_topics(settings, [CLOCK, JOURNAL], READ, why="knows what day it is"),
        *_transactions([f"{settings.app_id}-feed"], "a round of events is seen whole"),
    ]


def _subscriber(settings: Settings) -> list[Need]:
    return [
        *_topics(settings, [WARNINGS], READ, why="reads warnings"),
        _group(f"{settings.app_id}-subscriber", "keeps its place; or a group of your own"),
    ]


def _operator(settings: Settings) -> list[Need]:
    """People at the command line. `tocsin reset` also deletes topics: let the cluster's owner."""
    app_id = settings.app_id
    purposes = ["complete", "erase", "go-live", "policies"]
    purposes += [f"release-{partition}" for partition in range(settings.partitions)]
    return [
        *_topics(settings, TOPICS, READ, DESCRIBE_CONFIGS, why="looks, compares, finds faults"),
        *_topics(settings, SOURCES, WRITE, why="enters and mends events, and speaks to the worker"),
        *_topics(settings, [OUTBOX], WRITE, why="sends dead deliveries again"),
        Need(Resource.GROUP, app_id, (DESCRIBE,), "sees how far the worker is"),
        Need(Resource.GROUP, f"{app_id}-intake", (DESCRIBE,), "sees how far the intake is"),
        Need(Resource.GROUP, f"{app_id}-notify", (DESCRIBE,), "sees how far the notifier is"),
        *_transactions([f"{app_id}-{purpose}" for purpose in purposes], "speaks to all partitions"),
    ]


ROLES: Final[Mapping[str, Callable[[Settings], list[Need]]]] = {
    "admin": _admin,
    "worker": _worker,
    "audit": _audit,
    "intake": _intake,
    "notify": _notify,
    "web": _web,
    "producer": _producer,
    "subscriber": _subscriber,
    "operator": _operator,
}


def needs(role: str, settings: Settings) -> list[Need]:
    """The rights of a role in this deployment, one entry for each resource and purpose."""
    return ROLES[role](settings)
