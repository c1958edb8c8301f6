"""How values read to people: money, measures, dates, instants, text from outside."""

from __future__ import annotations

from datetime import UTC, date, datetime

from tocsin.agents.errors import InputError
from tocsin.schemas.jsonlines import iso_date, iso_instant
from tocsin.streams.money import MINOR_DIGITS, format_minor
from tocsin.streams.score import GRADES

EPOCH = date(1970, 1, 1)
INSTANTS_END_MS = 10_413_792_000_000  # 2300-01-01, with which ClickHouse's DateTime64 ends
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money(amount_minor: int, currency: str | None) -> str:
    """An amount with separators and its currency: 123456, EUR -> 1,234.56 EUR."""
    if currency in MINOR_DIGITS:
        return format_minor(amount_minor, currency)
    return f"{amount_minor:,} minor units {currency or ''}".rstrip()


def measure(value: int, unit: str, currency: str | None = None) -> str:
    """A measured value in the unit that a warning names."""
    match unit:
        case "MINOR":
            return money(value, currency)
        case "DAYS":
            return f"{value} day" if abs(value) == 1 else f"{value} days"
        case "BASIS_POINTS":
            return f"{value / 100:.1f} %"
        case "POINTS":
            return f"{value} point" if value == 1 else f"{value} points"
        case "GRADE":
            return GRADES[value] if 0 <= value < len(GRADES) else f"{value}"
        case _:
            return f"{value}"


def day(epoch_day: int | None) -> str:
    """An ISO date of days since 1970-01-01; a dash for none."""
    return "-" if epoch_day is None else iso_date(epoch_day)


def instant(epoch_ms: int | None) -> str:
    """An ISO instant in UTC, to the second; a dash for none."""
    if epoch_ms is None:
        return "-"
    text = iso_instant(epoch_ms)
    return f"{text[:10]} {text[11:19]}Z" if text.endswith("Z") else text


def duration(seconds: float) -> str:
    """A length of time in its two largest units: 3725 -> 1 h 2 min."""
    left = round(seconds)
    if left < 0:
        return f"-{duration(-seconds)}"
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def address_of(host: str, port: int) -> str:
    """What a browser is given to open a page of ours."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def clean(text: str) -> str:
    """Text from outside without control characters, which could steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def parse_instant(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 date or instant; without a zone it is UTC.

    Raises InputError, which the command line shows.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no instant; write it 2025-01-31 or 2025-01-31T08:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant_ms = round((moment - _EPOCH).total_seconds() * 1000)
    if not 0 <= instant_ms < INSTANTS_END_MS:
        raise InputError(
            f"{text!r} lies outside of 1970 to 2299, which records and tables can hold"
        )
    return instant_ms


def is_text(found: str) -> bool:
    """Whether it was UTF-8 where it came from: Python keeps other bytes as lone surrogates."""
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True
