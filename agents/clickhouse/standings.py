"""The tables `standings` and `cases`: where each customer and its processes stand now.

They mirror the ledgers changelog and are state, not history: of each block only a key's latest
record is kept, and a row with a later offset replaces the one before it. Names stay out; views take
them from `customers`. `standing_history` keeps of every summary what people compare over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from msgspec.msgpack import Decoder

from tocsin.agents.clickhouse.history_tables import INSTANT, clamp_day
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.streams.facts.refusals import UNREADABLE
from tocsin.streams.fold.credit_decisions import CREDIT
from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE
from tocsin.streams.fold.retirement import RETIREMENT
from tocsin.streams.ledger import state_records as states
from tocsin.streams.ledger.documents import NEVER, Case, Collecting, Credit, Summary
from tocsin.streams.ledger.ledgers import StateError

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
    "owner": "LowCardinality(Nullable(String))",
    "accounts.disputed_minor": "Array(Int64)",
    "accounts.ordered_minor": "Array(Int64)",
    "accounts.delivered_minor": "Array(Int64)",
    "past_due_since": "Nullable(Date32)",
    "step": "LowCardinality(String)",
    "step_due_on": "Nullable(Date32)",
    "step_blocked_until": "Nullable(Date32)",
    "step_is_blocked": "Bool",
    "step_why": "LowCardinality(String)",
    "step_minor": "Int64",
    "step_currency": "LowCardinality(String)",
    "step_invoice_id": "String",
    "limits.minor": "Array(Nullable(Int64))",
    "limits.currency": "Array(LowCardinality(String))",
    "limits.until": "Array(Nullable(Date32))",
    "held_on": "Nullable(Date32)",
    "hold_until": "Nullable(Date32)",
    "grace_until": "Nullable(Date32)",
    "screening": "LowCardinality(String)",
    "reviewed_on": "Nullable(Date32)",
}
STANDING_HISTORY: Final = "standing_history"
STANDING_HISTORY_COLUMNS: Final = {
    name: STANDING_COLUMNS[name]
    for name in (
        "customer_id",
        "partition",
        "version",
        "changed_at",
        "score",
        "grade",
        "points",
        "abc",
        "rfm",
        "rfa",
        "accounts.currency",
        "accounts.open_minor",
        "accounts.unapplied_minor",
        "open_episodes",
        "past_due_since",
        "step",
    )
}
CASES: Final = "cases"
CASE_COLUMNS: Final = {
    "customer_id": "String",
    "process": "LowCardinality(String)",
    "case_id": "String",
    "partition": "Int32",
    "version": "UInt64",
    "changed_at": INSTANT,
    "is_deleted": "UInt8",
    "state": "LowCardinality(String)",
    "since": "Date32",
    "opened_on": "Date32",
    "due_on": "Nullable(Date32)",
    "amount_minor": "Int64",
    "currency": "LowCardinality(String)",
    "kept_minor": "Int64",
    "kind": "LowCardinality(String)",
    "author": "String",
    "reason": "String",
    "invoice_ids": "Array(String)",
}
_SEPARATOR: Final = b"\x00"  # in the keys of everything but summaries
_PROCESS: Final = {machine.letter: machine.name for machine in (PROMISE, PLAN, CREDIT, RETIREMENT)}
_decode_case: Final = Decoder(Case).decode
_kept: Final = itemgetter(*map(list(STANDING_COLUMNS).index, STANDING_HISTORY_COLUMNS))
_PLACE: Final = 4  # the first columns of a row of history say whose it is, and since when
Row = tuple[Any, ...]


def standing_columns(
    records: Sequence[Any], codec: Codec
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Turn changelog records into columns: of STANDING_COLUMNS, and of STANDING_HISTORY_COLUMNS.

    What did not change since a customer's summary before in these records is no row of history.
    """
    latest: dict[bytes, Row] = {}
    history: list[Row] = []
    for record in records:
        if _SEPARATOR in record.key:
            continue
        row = _readable(_standing, record, codec)
        before, kept = latest.get(record.key), _kept(row)
        if before is None or _kept(before)[_PLACE:] != kept[_PLACE:]:
            history.append(kept)
        latest[record.key] = row
    return (
        _columns(list(latest.values()), STANDING_COLUMNS),
        _columns(history, STANDING_HISTORY_COLUMNS),
    )


def case_columns(records: Sequence[Any], codec: Codec) -> list[list[Any]]:
    """Turn changelog records into columns, in the order of CASE_COLUMNS."""
    latest = {record.key: record for record in records if _process(record.key)}
    return _columns([_readable(_case, record, codec) for record in latest.values()], CASE_COLUMNS)


def _readable(row: Callable[[Any, Codec], Row], record: Any, codec: Codec) -> Row:
    """A record's row. Raises StateError that names the record, if it can't be read."""
    try:
        return row(record, codec)
    except (Refused, *UNREADABLE) as error:
        raise StateError(
            f"record {record.offset} of partition {record.partition} of {record.topic} is no state "
            f"that this version can read ({error}); a worker would refuse it too. Write the "
            "state anew: tocsin rebuild --replace"
        ) from error


def _columns(rows: list[Row], names: dict[str, str]) -> list[list[Any]]:
    if not rows:
        return [[] for _ in names]
    return [list(column) for column in zip(*rows, strict=True)]


def _process(key: bytes) -> str:
    """The process that a key's document belongs to; empty for what is no case."""
    customer_id, _, document = key.partition(_SEPARATOR)
    return _PROCESS.get(document[:1].decode("latin-1"), "") if customer_id else ""


def read_case(record: Any, codec: Codec) -> Case:
    """The case that a changelog record holds; an empty one where it is forgotten."""
    if record.value is None:
        return Case()
    piece = codec.decode_state(record.value)
    return _decode_case(states.upgrade(piece.kind, piece.version, piece.body))


def _case(record: Any, codec: Codec) -> Row:
    customer_id, _, document = record.key.partition(_SEPARATOR)
    case = read_case(record, codec)
    return (
        customer_id.decode(),
        _process(record.key),
        document[1:].decode(),
        record.partition,
        record.offset,
        record.timestamp,
        record.value is None,
        case.state,
        clamp_day(case.since),
        clamp_day(case.opened_on),
        None if case.due_on == NEVER else clamp_day(case.due_on),
        case.amount_minor,
        case.currency,
        case.kept_minor,
        case.kind,
        case.author,
        case.reason,
        case.invoice_ids,
    )


def _standing(record: Any, codec: Codec) -> Row:
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
        profile.owner,
        [account.disputed_minor for _, account in accounts],
        [account.ordered_minor for _, account in accounts],
        [account.delivered_minor for _, account in accounts],
        *_collecting(summary.collecting or Collecting()),
        *_credit(summary.credit or Credit()),
    )


def _collecting(action: Collecting) -> tuple[Any, ...]:
    return (
        _day(action.since),
        action.step,
        _day(action.due_on),
        _day(action.blocked_until),
        bool(action.blocked_until),
        action.why,
        action.amount_minor,
        action.currency,
        action.invoice_id,
    )


def _credit(credit: Credit) -> tuple[Any, ...]:
    return (
        [limit.amount for limit in credit.limits],
        [limit.currency for limit in credit.limits],
        [_day(limit.until) for limit in credit.limits],
        _day(credit.held_on),
        _day(credit.hold_until),
        _day(credit.grace_until),
        credit.screening,
        _day(credit.reviewed_on),
    )


def _day(day: int) -> int | None:
    """A day as the tables have it; None for no day, and for one that does not come."""
    return clamp_day(day) if 0 < day < NEVER else None
