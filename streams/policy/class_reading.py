"""Reading a policy's classes: the cut points of ABC, RFM and RFA."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tocsin.streams.measures.customer_classes import CUTS, Abc, Classes, MoneyCuts, Rfa, Rfm
from tocsin.streams.policy.measure_table import MEASURES
from tocsin.streams.policy.rule_reading import read_fitted
from tocsin.streams.policy.value_reading import Parse, Path, Reader, count, days, percent


def read_classes(reader: Reader, plain: object) -> Classes:
    """The classes of a policy: any of abc, rfm and rfa."""
    path = ("classes",)
    found = reader.mapping(plain, path, ("abc", "rfm", "rfa"), ())
    if not found:
        reader.note(path, "names no class: give abc, rfm or rfa")
    return Classes(
        abc=_abc(reader, found["abc"], (*path, "abc")) if "abc" in found else None,
        rfm=_rfm(reader, found["rfm"], (*path, "rfm")) if "rfm" in found else None,
        rfa=_rfa(reader, found["rfa"], (*path, "rfa")) if "rfa" in found else None,
    )


def _abc(reader: Reader, plain: object, path: Path) -> Abc:
    keys = ("window", "A", "B")
    part = reader.mapping(plain, path, keys, keys)
    return Abc(
        _window(reader, part, path), _money_cuts(reader, [part.get("B"), part.get("A")], path)
    )


def _rfm(reader: Reader, plain: object, path: Path) -> Rfm:
    keys = ("window", "recency", "frequency", "amount")
    part = reader.mapping(plain, path, keys, keys)
    where = (*path, "amount")
    return Rfm(
        _window(reader, part, path),
        _cuts(reader, part, path, "recency", days),
        _cuts(reader, part, path, "frequency", count),
        _money_cuts(reader, _four(reader, part.get("amount"), where), where),
    )


def _rfa(reader: Reader, plain: object, path: Path) -> Rfa:
    late = MEASURES["late_share"]
    keys = ("age", "late_share", "overdue_share", *late.required)
    part = reader.mapping(plain, path, (*keys, *late.optional), keys)
    fitted, parameters = read_fitted(reader, part, path, late)
    return Rfa(
        MEASURES["overdue_age"],
        fitted,
        parameters,
        _cuts(reader, part, path, "age", days),
        _cuts(reader, part, path, "late_share", percent),
        _cuts(reader, part, path, "overdue_share", percent),
    )


def _window(reader: Reader, part: dict[str, Any], path: Path) -> int:
    where = (*path, "window")
    window = reader.quantity(part.get("window"), where, days, lowest=1)
    if window > reader.horizon_days:
        reader.note(where, f"exceeds what ledgers remember, {reader.horizon_days} days: shorten it")
    return window


def _four(reader: Reader, plain: object, path: Path) -> list[Any]:
    if isinstance(plain, list) and len(plain) == CUTS:
        return plain
    reader.note(path, f"must be a list of {CUTS} cut points, which part five classes")
    return []


def _cuts(
    reader: Reader, part: dict[str, Any], path: Path, key: str, parse: Parse
) -> tuple[int, ...]:
    where = (*path, key)
    cuts = tuple(
        reader.quantity(cut, where, parse, lowest=0) for cut in _four(reader, part.get(key), where)
    )
    _check_rising(reader, where, cuts)
    return cuts


def _money_cuts(reader: Reader, plain: list[Any], path: Path) -> MoneyCuts:
    maps = [reader.money_map(cut, path) for cut in plain]
    currencies = sorted({currency for by_currency in maps for currency in by_currency})
    found = {}
    for currency in currencies:
        cuts = tuple(by_currency[currency] for by_currency in maps if currency in by_currency)
        if len(cuts) < len(maps):
            reader.note(path, f"lacks {currency} at some cut points: give all or none")
        _check_rising(reader, path, cuts)
        found[currency] = cuts
    return found


def _check_rising(reader: Reader, path: Path, cuts: tuple[int, ...]) -> None:
    if any(lower >= higher for lower, higher in pairwise(cuts)):
        reader.note(path, "must rise from one cut point to the next")
