"""The catalog: every topic, its schema, key and keeping, as data. No other module spells a topic.

`topic_id` is stable and never reused; for source topics it is also the rank that decides between
records of equal timestamp, so new topics are appended.
"""

from __future__ import annotations

from enum import Enum, unique

from msgspec import Struct


@unique
class Keeping(Enum):
    """What the broker does with old records."""

    FOR_EVER = "delete"  # append-only: with retention.ms=-1 nothing is ever deleted
    LATEST = "compact"  # the latest record of each key


class Topic(Struct, frozen=True):
    """One topic of tocsin's own. `name` is also its ClickHouse table.

    `schema` names the topic whose schema its values have; it is its own where that is empty.
    """

    topic_id: int
    name: str
    keeping: Keeping = Keeping.FOR_EVER
    schema: str = ""

    @property
    def is_source(self) -> bool:
        """Whether the ledger agent reads it."""
        return self.topic_id < 16

    @property
    def schema_name(self) -> str:
        """The schema's file name, and its subject but for the ending."""
        return self.schema or self.name

    @property
    def table(self) -> str:
        """Name of its history table in ClickHouse."""
        return self.name.replace("-", "_")


POLICIES = Topic(0, "policies")
CLOCK = Topic(1, "clock")
CUSTOMERS = Topic(2, "customers")
INVOICES = Topic(3, "invoices")
PAYMENTS = Topic(4, "payments")
COMPLAINTS = Topic(5, "complaints")
ENGAGEMENTS = Topic(6, "engagements")
WARNINGS = Topic(16, "warnings")
JOURNAL = Topic(17, "journal")
DEAD_LETTERS = Topic(18, "dead-letters")
LEDGERS = Topic(19, "ledgers", Keeping.LATEST)
OUTBOX = Topic(20, "outbox", Keeping.LATEST)
POSITIONS = Topic(21, "positions", Keeping.LATEST)
SHADOW_WARNINGS = Topic(22, "shadow-warnings", schema="warnings")
SHADOW_LEDGERS = Topic(23, "shadow-ledgers", Keeping.LATEST, "ledgers")

TOPICS = (
    POLICIES,
    CLOCK,
    CUSTOMERS,
    INVOICES,
    PAYMENTS,
    COMPLAINTS,
    ENGAGEMENTS,
    WARNINGS,
    JOURNAL,
    DEAD_LETTERS,
    LEDGERS,
    OUTBOX,
    POSITIONS,
    SHADOW_WARNINGS,
    SHADOW_LEDGERS,
)
SOURCES = tuple(topic for topic in TOPICS if topic.is_source)
APPEND_ONLY = tuple(topic for topic in TOPICS if topic.keeping is Keeping.FOR_EVER)
OWN_SCHEMAS = tuple(topic for topic in TOPICS if not topic.schema)
"""Topics whose schema is their own: one for each subject of a registry."""
BY_ID = {topic.topic_id: topic for topic in TOPICS}
BY_NAME = {topic.name: topic for topic in TOPICS}
