"""The source topics as the domain knows them: their ranks, and which facts each one carries.

The numbers equal the `topic_id` of the catalog; a test compares the two.
"""

from __future__ import annotations

POLICIES = 0
CLOCK = 1
CUSTOMERS = 2
INVOICES = 3
PAYMENTS = 4
COMPLAINTS = 5
ENGAGEMENTS = 6

NAMES = {
    POLICIES: "policies",
    CLOCK: "clock",
    CUSTOMERS: "customers",
    INVOICES: "invoices",
    PAYMENTS: "payments",
    COMPLAINTS: "complaints",
    ENGAGEMENTS: "engagements",
}

BEFORE_ANY_EVENT = 0
"""Sequence time (epoch ms) of the first policy, and of who keeps the clock: they begin no day."""

# Control topics are never put on hold: the clock carries the record that would release them.
HOLDABLE = frozenset({CUSTOMERS, INVOICES, PAYMENTS, COMPLAINTS, ENGAGEMENTS})


def begins_a_day(topic_id: int, timestamp: int) -> bool:
    """Whether a record tells a partition without any day yet which one it is.

    Policies may be published long before the first fact, and who keeps the clock is said before it.
    """
    is_before = topic_id == CLOCK and timestamp == BEFORE_ANY_EVENT
    return topic_id != POLICIES and not is_before
