"""The `standings` table: where each customer stands now, mirrored from the ledgers changelog.

It is state, not history: of each block only a customer's latest summary is kept, and a row with a
later offset replaces the one before it. Names stay out; views take them from `customers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tocsin.agents.history_tables import INSTANT, clamp_day
from tocsin.schemas.codec import Codec
from tocsin.streams import state as states
from tocsin.streams.documents import Summary

STANDINGS: Final = "standings"
STANDING_COLUMNS: Final = {
    "customer_id": "String",
    "partition": "Int32",
    "version": "UInt64",
    "changed_at": INSTANT,
    "is_deleted": "UInt8",
    "segment": "LowCardinality(Nullable(String))",
    "country": "LowCardinality(Nullable(String))",
    "credit_limit_minor": "Nullable(Int64)",
    "credit_limit_currency": "LowCardinality(Nullable(String))",
    "payment_terms_days": "Nullable(Int32)",
    "accounts.currency": "Array(LowCardinality(String))",
    "accounts.open_minor": "Array(Int64)",
    "accounts.unapplied_minor": "Array(Int64)",
    "due.currency": "Array(LowCardinality(String))",
    "due.day": "Array(Date32)",
    "due.open_minor": "Array(Int64)",
    "due.items": "Array(Int32)",
    "open_episodes": "Int32",
    "documents": "Int32",
    "score": "Nullable(Int32)",
    "grade": "LowCardinality(String)",
    "points": "Array(Int32)",
    "abc": "LowCardinality(String)",
    "rfm": "LowCardinality(String)",
    "rfa": "LowCardinality(String)",
    "known_since": "Date32",
    "settled_items": "Int32",
    "group_id": "Nullable(String)",
    "accounts.disputed_minor": "Array(Int64)",
    "accounts.ordered_minor": "Array(Int64)",
    "accounts.delivered_minor": "Array(Int64)",
}
_SEPARATOR: Final = b"\x00"  # in the keys of everything but summaries


def standing_columns(records: Sequence[Any], codec: Codec) -> list[list[Any]]:
    """Turn changelog records of one partition into columns, in the order of STANDING_COLUMNS."""
    latest = {record.key: record for record in records if _SEPARATOR not in record.key}
    rows = [_standing(record, codec) for record in latest.values()]
    if not rows:
        return [[] for _ in STANDING_COLUMNS]
    return [list(column) for column in zip(*rows, strict=True)]


def _standing(record: Any, codec: Codec) -> tuple[Any, ...]:
    customer_id = record.key.decode()
    summary = Summary()
    if record.value is not None:
        piece = codec.decode_state(record.value)
        summary = states.read_summary(piece.version, piece.body)
    profile = summary.profile
    accounts = sorted(summary.accounts.items())
    due = [
        (currency, day, entry.open_minor, entry.count)
        for currency, account in accounts
        for day, entry in sorted(account.due.items())
    ]
    return (
        customer_id,
        record.partition,
        record.offset,
        record.timestamp,
        record.value is None,
        profile.segment,
        profile.country,
        profile.credit_limit_minor,
        profile.credit_limit_currency,
        profile.payment_terms_days,
        [currency for currency, _ in accounts],
        [account.open_minor for _, account in accounts],
        [account.unapplied_minor for _, account in accounts],
        [entry[0] for entry in due],
        [clamp_day(entry[1]) for entry in due],
        [entry[2] for entry in due],
        [entry[3] for entry in due],
        summary.open_episodes,
        summary.document_count,
        summary.score,
        summary.grade,
        summary.points,
        summary.abc,
        summary.rfm,
        summary.rfa,
        clamp_day(summary.known_since),
        len(summary.settled),
        profile.group_id,
        [account.disputed_minor for _, account in accounts],
        [account.ordered_minor for _, account in accounts],
        [account.delivered_minor for _, account in accounts],
    )
