"""Refusals and their codes, and the parts that the checks of facts are made of.

Codes are stable: operators filter dead letters by them, so one is never renamed or reused. Each
part judges one field and returns the refusal, or None.
"""

from __future__ import annotations

from enum import StrEnum, unique

import msgspec
from msgspec import Struct

from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.encrypted_text import text_limit
from tocsin.streams.facts.money import AMOUNT_MAX_MINOR, MINOR_DIGITS

MS_PER_DAY = 86_400_000
EARLIEST_INSTANT = 631_152_000_000  # 1990-01-01
LATEST_INSTANT = 7_258_118_400_000  # 2200-01-01
DATED_AHEAD_DAYS_MAX = 366  # an invoice may be dated ahead of the day on which it is known
AHEAD_DAYS_MAX = 2  # clocks of source systems differ, and zones do
DUE_AFTER_DAYS_MAX = 5 * 366
DUE_BEFORE_DAYS_MAX = 30 * 366  # an opening item may be years past due
ID_LENGTH_MAX = 128
TEXT_LENGTH_MAX = 10_000
DELIVERED_DAYS_MAX = 2 * 366  # between delivery and invoice, either way
REFERENCES_MAX = 10_000

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it can't read; text that is not UTF-8 is none of its own."""


@unique
class Code(StrEnum):
    """Why a readable record is refused."""

    ID_EMPTY = "ID_EMPTY"  # an identifier has no characters
    ID_TOO_LONG = "ID_TOO_LONG"  # an identifier exceeds 128 characters
    ID_UNPRINTABLE = "ID_UNPRINTABLE"  # an identifier holds control or invisible characters
    AMOUNT_NOT_POSITIVE = "AMOUNT_NOT_POSITIVE"  # zero or negative money
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"  # above 10^15 minor units
    AMOUNT_NEGATIVE = "AMOUNT_NEGATIVE"  # money below zero where zero may be
    NUMBER_OUT_OF_RANGE = "NUMBER_OUT_OF_RANGE"  # a count, share or mark beyond its scale
    CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"  # not an active ISO 4217 code
    DATE_ABSURD = "DATE_ABSURD"  # an instant or date that cannot be meant
    AHEAD_OF_CLOCK = "AHEAD_OF_CLOCK"  # sequence time implausibly far after the business date
    VALUE_UNKNOWN = "VALUE_UNKNOWN"  # a word outside of its list
    TEXT_TOO_LONG = "TEXT_TOO_LONG"  # free text above 10,000 characters
    TEXT_EMPTY = "TEXT_EMPTY"  # a reason that says nothing
    DIGEST_MALFORMED = "DIGEST_MALFORMED"  # no SHA-256 in hexadecimal digits
    TOO_MANY_REFERENCES = (
        "TOO_MANY_REFERENCES"  # a payment names more than 10,000 invoices, or the like
    )
    LIMIT_NEGATIVE = "LIMIT_NEGATIVE"  # a credit limit below zero
    LIMIT_WITHOUT_CURRENCY = "LIMIT_WITHOUT_CURRENCY"  # a credit limit without its currency
    COST_WITHOUT_CURRENCY = "COST_WITHOUT_CURRENCY"  # the cost of a service without its currency
    TERMS_ABSURD = "TERMS_ABSURD"  # payment terms below 0 or above five years
    POLICY_INVALID = "POLICY_INVALID"  # the policy document has problems
    POLICY_VERSION_REUSED = "POLICY_VERSION_REUSED"  # a known name and version, other content
    SILENCE_ENDLESS = "SILENCE_ENDLESS"  # warnings muted for more than a year
    TOPIC_NOT_MARKABLE = "TOPIC_NOT_MARKABLE"  # a mark of completeness for no topic of facts
    TOPIC_NOT_HOLDABLE = "TOPIC_NOT_HOLDABLE"  # a release of a topic that is never held
    ALLOCATIONS_UNCLEAR = "ALLOCATIONS_UNCLEAR"  # amounts by invoice that can't be followed
    DUE_PARTS_DISORDERED = "DUE_PARTS_DISORDERED"  # due parts not day by day, or another sum
    DISCOUNTS_DISORDERED = "DISCOUNTS_DISORDERED"  # cash discount steps unclear or not day by day
    INSTALMENTS_DISORDERED = "INSTALMENTS_DISORDERED"  # no instalment, too many, not day by day
    NUMBER_REUSED = "NUMBER_REUSED"  # a number that a closed invoice bore months before or after
    BEYOND_LIMIT = "BEYOND_LIMIT"  # undoes a document that was only folded in aggregate


class Refusal(Struct, frozen=True):
    """A record that changes nothing. `detail` says what, where and how to mend it."""

    code: str
    detail: str


def check_id(field: str, value: str) -> Refusal | None:
    """Judge an identifier: 1 to 128 printable characters."""
    if 0 < len(value) <= ID_LENGTH_MAX and value.isprintable():
        return None
    if not value:
        return Refusal(Code.ID_EMPTY, f"{field} is empty: send the identifier of the source system")
    if len(value) > ID_LENGTH_MAX:
        if len(value) <= text_limit(value, ID_LENGTH_MAX) and value.isprintable():
            return None
        return Refusal(
            Code.ID_TOO_LONG,
            f"{field} has {len(value)} characters: shorten it to {ID_LENGTH_MAX}",
        )
    return Refusal(
        Code.ID_UNPRINTABLE,
        f"{field} {value!a} holds control or invisible characters: remove them",
    )


def check_timestamp(timestamp: int) -> Refusal | None:
    """Judge a record's sequence time where there is no business date yet to compare it with."""
    if EARLIEST_INSTANT <= timestamp < LATEST_INSTANT:
        return None
    return Refusal(
        Code.DATE_ABSURD,
        f"the record's timestamp {timestamp} lies outside 1990 to 2199: "
        "set it to the business instant in milliseconds since 1970",
    )


def check_ahead(timestamp: int, date: int, closes_at: int, days: int) -> Refusal | None:
    """Judge a record's sequence time by the open day (epoch day), which closes at an instant."""
    if timestamp < closes_at + days * MS_PER_DAY:
        return None
    return Refusal(
        Code.AHEAD_OF_CLOCK,
        f"the record's timestamp {timestamp} lies more than {days} days after the business "
        f"date {epoch_day_text(date)}: correct it, or close the days between with DayClosed "
        "records first",
    )


def check_amount(field: str, amount_minor: int) -> Refusal | None:
    """Judge an amount that must be above zero."""
    if amount_minor <= 0:
        return Refusal(
            Code.AMOUNT_NOT_POSITIVE,
            f"{field} is {amount_minor}: send a positive amount; "
            "a credit is a CreditNoteIssued, a bounced payment a PaymentReversed",
        )
    if amount_minor > AMOUNT_MAX_MINOR:
        return Refusal(
            Code.AMOUNT_TOO_LARGE,
            f"{field} is {amount_minor}: above {AMOUNT_MAX_MINOR} minor units; check the unit",
        )
    return None


def check_currency(field: str, currency: str) -> Refusal | None:
    """Judge a currency: an active ISO 4217 code."""
    if currency in MINOR_DIGITS:
        return None
    return Refusal(
        Code.CURRENCY_UNKNOWN,
        f"{field} {currency[:20]!a} is no ISO 4217 code: send one such as CNY or EUR",
    )


def check_occurred(
    occurred_at: int, timestamp: int, ahead_days_max: int = AHEAD_DAYS_MAX
) -> Refusal | None:
    """Judge a business instant (epoch ms) against the sequence time of its record."""
    if occurred_at < EARLIEST_INSTANT:
        return Refusal(
            Code.DATE_ABSURD,
            f"occurred_at is {occurred_at}, before 1990: send milliseconds since 1970",
        )
    if occurred_at > timestamp + ahead_days_max * MS_PER_DAY:
        return Refusal(
            Code.DATE_ABSURD,
            f"occurred_at {occurred_at} is more than {ahead_days_max} days after the record's "
            f"timestamp {timestamp}: a fact cannot be known before it happens",
        )
    return None


def check_due(due_date: int, occurred_at: int) -> Refusal | None:
    """Judge a due date (epoch day) against the instant of its invoice."""
    days = due_date - occurred_at // MS_PER_DAY
    if -DUE_BEFORE_DAYS_MAX <= days <= DUE_AFTER_DAYS_MAX:
        return None
    return Refusal(
        Code.DATE_ABSURD,
        f"due_date lies {abs(days)} days {'after' if days > 0 else 'before'} the invoice: "
        "send the date in days since 1970, within five years after or thirty before",
    )


def check_word(field: str, value: str, known: frozenset[str]) -> Refusal | None:
    """Judge a word of a list."""
    if value in known:
        return None
    return Refusal(
        Code.VALUE_UNKNOWN,
        f"{field} {value[:40]!a} is unknown: use one of {', '.join(sorted(known))}",
    )


def check_text(field: str, value: str | None) -> Refusal | None:
    """Judge free text, which may be absent."""
    if value is None or len(value) <= TEXT_LENGTH_MAX:
        return None
    if len(value) <= text_limit(value, TEXT_LENGTH_MAX):
        return None
    return Refusal(
        Code.TEXT_TOO_LONG,
        f"{field} has {len(value)} characters: shorten it to {TEXT_LENGTH_MAX}",
    )


def check_reference(field: str, value: str | None) -> Refusal | None:
    """Judge an identifier that may be absent."""
    return None if value is None else check_id(field, value)


def check_references(field: str, values: tuple[str, ...], limit: int) -> Refusal | None:
    """Judge a list of invoices, which may be empty."""
    if len(values) > limit:
        return Refusal(
            Code.TOO_MANY_REFERENCES,
            f"{field} names {len(values)} invoices: name at most {limit}, or none for the oldest",
        )
    for value in values:
        refusal = check_id(field, value)
        if refusal is not None:
            return refusal
    return None


def check_limit(limit_minor: int | None, currency: str | None, prefix: str = "") -> Refusal | None:
    """Judge a credit limit: absent, or 0 or more with its currency beside it.

    `prefix` begins the names of its fields where they have one.
    """
    if limit_minor is None:
        return None
    name = f"{prefix}limit_minor"
    if limit_minor < 0:
        return Refusal(
            Code.LIMIT_NEGATIVE, f"{name} is {limit_minor}: send 0 for no credit, null for no limit"
        )
    if currency is None:
        beside = f"{prefix}limit_currency" if prefix else "currency"
        return Refusal(Code.LIMIT_WITHOUT_CURRENCY, f"{name} is set without {beside}: send both")
    return check_sum(name, limit_minor)


def check_sum(field: str, amount_minor: int | None) -> Refusal | None:
    """Judge an amount that may be zero or absent."""
    if amount_minor is None or 0 <= amount_minor <= AMOUNT_MAX_MINOR:
        return None
    if amount_minor > AMOUNT_MAX_MINOR:
        return check_amount(field, amount_minor)
    return Refusal(Code.AMOUNT_NEGATIVE, f"{field} is {amount_minor}: send 0 or more")


def check_balance(field: str, amount_minor: int | None) -> Refusal | None:
    """Judge an amount that may be negative, zero or absent."""
    if amount_minor is None or abs(amount_minor) <= AMOUNT_MAX_MINOR:
        return None
    return check_amount(field, abs(amount_minor))


def check_number(field: str, number: int, low: int, high: int) -> Refusal | None:
    """Judge a number of a scale, whose ends belong to it."""
    if low <= number <= high:
        return None
    return Refusal(Code.NUMBER_OUT_OF_RANGE, f"{field} is {number}: send {low} to {high}")


def check_reason(field: str, value: str) -> Refusal | None:
    """Judge a text that must say something."""
    if not value.strip():
        return Refusal(Code.TEXT_EMPTY, f"{field} is blank: say why, for whoever asks later")
    return check_text(field, value)


def check_day(
    field: str, day: int | None, instant: int, before_max: int, after_max: int
) -> Refusal | None:
    """Judge a date (epoch day), absent or at most so many days before or after an instant."""
    if day is None or -before_max <= day - instant // MS_PER_DAY <= after_max:
        return None
    days = day - instant // MS_PER_DAY
    return Refusal(
        Code.DATE_ABSURD,
        f"{field} lies {abs(days)} days {'after' if days > 0 else 'before'} the fact: send the "
        f"date in days since 1970, at most {before_max} days before or {after_max} after",
    )
