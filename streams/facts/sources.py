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

# Control topics are never put on hold: the clock carries the record that would release them.
HOLDABLE = frozenset({CUSTOMERS, INVOICES, PAYMENTS, COMPLAINTS, ENGAGEMENTS})
