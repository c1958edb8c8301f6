"""Reads the dated reference rates on which statutory interest builds, packaged or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from importlib import resources
from typing import Any

import yaml

from tocsin.schemas.policies.late_payment_law import packaged_law
from tocsin.streams.receivables.statutory import ECB, LPR, Reference, Series

REFERENCE_RATES_NAME = "reference-rates.yaml"
_EPOCH = date(1970, 1, 1)
_TEXTS = ("what", "what_zh", "source")


class ReferenceRatesError(Exception):
    """The file of reference rates cannot be used; the text says what is wrong and where."""


def packaged_rates() -> str:
    """The reference rates that come with this code, as text."""
    return resources.files(__package__).joinpath(REFERENCE_RATES_NAME).read_text("utf-8")


def read_rates(text: str) -> Reference:
    """Read the rates. Raises ReferenceRatesError."""
    try:
        document = yaml.safe_load(text)
    except RecursionError as error:
        raise ReferenceRatesError("the reference rates are nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # also of a date such as 2025-02-30
        raise ReferenceRatesError(f"the reference rates are no YAML: {error}") from error
    if not isinstance(document, dict) or not {ECB, LPR} <= document.keys():
        raise ReferenceRatesError(f"the reference rates must have the series {ECB} and {LPR}")
    series = {str(name): _series(str(name), body) for name, body in document.items()}
    return Reference(series, sha256(text.encode()).hexdigest(), packaged_law())


def _series(name: str, body: Any) -> Series:
    if not isinstance(body, dict) or not body.keys() >= {*_TEXTS, "until", "rates"}:
        wanted = ", ".join((*_TEXTS, "until", "rates"))
        raise ReferenceRatesError(f"{name}: the series needs {wanted}")
    rates = body["rates"]
    if not isinstance(rates, Mapping) or not rates:
        raise ReferenceRatesError(f"{name}.rates: write dates with rates, one at least")
    points = tuple((_day(name, day), _millionths(name, rate)) for day, rate in rates.items())
    if list(points) != sorted(points) or _day(name, body["until"]) < points[-1][0]:
        raise ReferenceRatesError(f"{name}: dates must go up, `until` not before the last of them")
    what, what_zh, source = (str(body[text]).strip() for text in _TEXTS)
    return Series(name, what, what_zh, source, _day(name, body["until"]), points)


def _day(name: str, value: Any) -> int:
    if type(value) is not date:
        raise ReferenceRatesError(f"{name}: {value!r} is no date; write it 2025-01-31")
    return (value - _EPOCH).days


def _millionths(name: str, value: Any) -> int:
    """A rate in percent, written in quotes: "2.15" is 21,500 millionths."""
    try:
        millionths = Decimal(value) * 10_000 if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        millionths = Decimal("NaN")
    if not millionths.is_finite() or millionths < 0 or millionths != int(millionths):
        raise ReferenceRatesError(
            f'{name}: {value!r} is no rate; write percent in quotes, such as "2.15"'
        )
    return int(millionths)
