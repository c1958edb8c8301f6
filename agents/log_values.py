"""What people write on the command line for the fields of an event, and how it is read.

Each is a type of click's: what cannot be read is refused before anything is sent, with the form
that it should have. Money is exact: nothing is rounded, an amount with too many decimals is none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import click

from tocsin.agents.errors import InputError
from tocsin.agents.formats import EPOCH, parse_instant
from tocsin.agents.log_kinds import Amount, Part, as_option
from tocsin.agents.options import GivenPath
from tocsin.streams.money import MINOR_DIGITS, parse_major

PERCENT_BASIS_POINTS = 100
YEARS_END = 2300  # of ClickHouse's dates
_AMOUNT = re.compile(r"([\d.,_]+)\s*([A-Za-z]{3})")
_SHARE = re.compile(r"(\d{1,3})(?:\.(\d{1,2}))?\s*%?")


class Money(click.ParamType):
    """`1,200.50 CNY` as minor units."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Amount:
        """Read an amount with its currency."""
        if isinstance(value, Amount):
            return value
        match = _AMOUNT.fullmatch(value.strip())
        currency = match[2].upper() if match else ""
        if match and currency not in MINOR_DIGITS:
            self.fail(f"{currency} is no currency of ISO 4217", param, ctx)
        minor = parse_major(match[1], currency) if match else None
        if minor is None:
            self.fail(f"{value!r} is no amount; write it like '1,200.50 EUR'", param, ctx)
        return Amount(minor, currency)


class Day(click.ParamType):
    """An ISO date as epoch day."""

    name = "yyyy-mm-dd"  # as help shows it, in capitals

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a date."""
        if isinstance(value, int):
            return value
        try:
            found = date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write it like 2025-01-31", param, ctx)
        if not EPOCH.year <= found.year < YEARS_END:
            self.fail(f"{value!r} lies outside of 1970 to 2299", param, ctx)
        return (found - EPOCH).days


class Instant(click.ParamType):
    """An ISO instant as epoch milliseconds; without a zone it is UTC."""

    name = "yyyy-mm-ddThh:mmZ"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read an instant."""
        if isinstance(value, int):
            return value
        try:
            return parse_instant(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


class Share(click.ParamType):
    """A percentage with at most two decimals as basis points."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a percentage."""
        if isinstance(value, int):
            return value
        match = _SHARE.fullmatch(value.strip())
        if match is None:
            self.fail(f"{value!r} is no percentage; write it like 30 or 12.5%", param, ctx)
        return int(match[1]) * PERCENT_BASIS_POINTS + int((match[2] or "").ljust(2, "0"))


class Word(click.Choice[str]):
    """One of a field's words, written small and with hyphens: `refused-to-pay`."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(sorted(as_option(word) for word in words), case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a word; returns it as the event has it."""
        chosen = super().convert(as_option(str(value)), param, ctx)
        return chosen.upper().replace("-", "_")


class Instalment(click.ParamType):
    """`2025-03-31=500.00 EUR` as a part of a plan."""

    name = "yyyy-mm-dd=amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part:
        """Read a date and an amount."""
        if isinstance(value, Part):
            return value
        due, equals, amount = value.partition("=")
        if not equals:
            self.fail(f"{value!r}: write it like '2025-03-31=500.00 EUR'", param, ctx)
        return Part(Day().convert(due, param, ctx), Money().convert(amount, param, ctx))


class Fingerprint(GivenPath):
    """A file, of which only the SHA-256 is taken: the file stays with its owner."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the digest of the file in hexadecimal digits."""
        with Path(str(super().convert(value, param, ctx))).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
