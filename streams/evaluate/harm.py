"""What counts as harm, and when a policy is asked whether it saw it coming."""

from __future__ import annotations

from enum import Enum, unique

from msgspec import Struct

from tocsin.streams.facts.texts import Text


@unique
class Judged(Enum):
    """At which instants customers are observed."""

    ISSUE = "issue"  # each invoice, before its own record is taken
    MONTH_END = "month-end"  # each active customer, before the month's last day is closed


class Harm(Struct, frozen=True):
    """A kind of harm, by its name.

    At issue: the invoice becomes more than `past_due_days` days late. At a month's end: any invoice
    of the customer does, on one of the `within_days` days that follow; or a label of the customer
    lies on one of them, where `labels` (customer and epoch day) are given.

    Observed are customers with at least `settled_least` settled invoices; at a month's end those
    with an open invoice, or one issued on the last `active_days` days.
    """

    name: str
    label: Text
    judged: Judged
    past_due_days: int = 0
    settled_least: int = 0
    within_days: int = 0
    active_days: int = 0
    labels: tuple[tuple[str, int], ...] | None = None
