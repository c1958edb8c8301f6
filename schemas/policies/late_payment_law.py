"""Reads what the law on late payment gives: dated data, each citing where and when it was read."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import sha256
from importlib import resources
from typing import Any

import yaml

from tocsin.streams.receivables.statutory import Law, LegalDatum

LAW_NAME = "late-payment-law.yaml"
_EPOCH = date(1970, 1, 1)
_SCALES = {"days": 1, "percent": 10_000, "euro": 100}


def packaged_law() -> Law:
    """The law as it comes with this code."""
    return read_law(resources.files(__package__).joinpath(LAW_NAME).read_text("utf-8"))


def read_law(text: str) -> Law:
    """Read data of the law. Raises KeyError where one does not say all that it must."""
    document: dict[str, dict[str, Any]] = yaml.safe_load(text)
    data = {name: _datum(body) for name, body in document.items()}
    return Law(data, sha256(text.encode()).hexdigest())


def _datum(body: dict[str, Any]) -> LegalDatum:
    (unit,) = _SCALES.keys() & body.keys()
    until = body.get("until")
    return LegalDatum(
        body["act"],
        body["act_zh"],
        body["article"],
        body["gives"],
        (body["from"] - _EPOCH).days,
        None if until is None else (until - _EPOCH).days,
        int(Decimal(body[unit]) * _SCALES[unit]),
        body["read_at"].strip(),
        (body["read_on"] - _EPOCH).days,
        body["confirm"],
        body["confirm_zh"],
    )
