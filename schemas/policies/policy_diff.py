"""Two versions of a policy compared by meaning: rules, thresholds, parameters, words.

Quantities are read, so `31 days` and `31 day`, `1,000 CNY` and `1000 CNY`, or a list of amounts in
another order are no change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from tocsin.streams.facts.money import format_minor, parse_major

What = Literal["added", "removed", "raised", "lowered", "changed", "reworded"]
_MONEY = re.compile(r"([\d,_]+(?:\.\d+)?) ([A-Z]{3})")
_NUMBER = re.compile(r"(-?\d+)(?:\.(\d{1,2}))? ([a-z]+)")
_LANGUAGES = frozenset({"en", "zh"})


class Change(Struct, frozen=True):
    """What became of one part of a policy; `old` and `new` as people read them, empty for none."""

    path: str
    what: What
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        values = f": {self.old} -> {self.new}" if self.old and self.new else ""
        return f"{self.path} {self.what}{values}"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Changes from one plain policy document to another, in order of their paths."""
    return list(_compare((), dict(old), dict(new)))


def _compare(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    old, new = _meant(old), _meant(new)
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() | new.keys() == _LANGUAGES or (path and path[0] == "texts"):
            yield Change(".".join(path), "reworded", *_told(path, old, new))
            return
        for key in sorted(old.keys() | new.keys()):
            inner = (*path, str(key))
            if key not in old:
                yield Change(".".join(inner), "added", "", _shown(new[key]))
            elif key not in new:
                yield Change(".".join(inner), "removed", _shown(old[key]), "")
            else:
                yield from _compare(inner, old[key], new[key])
        return
    if isinstance(old, list) and isinstance(new, list) and _are_entries(old, new):
        both = {str(place): entry for place, entry in enumerate(old)}
        yield from _compare(path, both, {str(place): entry for place, entry in enumerate(new)})
        return
    yield Change(".".join(path), _direction(path, old, new), _shown(old), _shown(new))


class _Quantity(Struct, frozen=True, order=True):
    """A number with its unit, or an amount of money in minor units."""

    unit: str
    size: int
    is_money: bool = False


def _meant(plain: Any) -> Any:
    """What a plain value means: quantities as such, amounts by currency."""
    if isinstance(plain, str):
        return _quantity(plain) or plain
    if isinstance(plain, list):
        read = [_meant(entry) for entry in plain]
        if read and all(isinstance(entry, _Quantity) and entry.is_money for entry in read):
            return {entry.unit: entry for entry in read}
        return read
    return plain


def _quantity(text: str) -> _Quantity | None:
    money = _MONEY.fullmatch(text)
    if money is not None:
        minor = parse_major(money.group(1), money.group(2))
        return None if minor is None else _Quantity(money.group(2), minor, True)
    number = _NUMBER.fullmatch(text)
    if number is None:
        return None
    whole, decimals, unit = number.group(1), number.group(2) or "", number.group(3)
    return _Quantity(unit.removesuffix("s"), int(whole) * 100 + int(decimals.ljust(2, "0")))


def _are_entries(old: list[Any], new: list[Any]) -> bool:
    return any(isinstance(entry, dict) for entry in (*old, *new))


def _direction(path: tuple[str, ...], old: Any, new: Any) -> What:
    if isinstance(old, _Quantity) and isinstance(new, _Quantity) and old.unit == new.unit:
        return "raised" if new > old else "lowered"
    if isinstance(old, int) and isinstance(new, int) and not isinstance(old, bool):
        return "raised" if new > old else "lowered"
    return "reworded" if path[-1:] and path[-1] in _LANGUAGES else "changed"


def _told(path: tuple[str, ...], old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    return _shown(old.get("en", "")), _shown(new.get("en", ""))


def _shown(value: Any) -> str:
    if isinstance(value, _Quantity):
        if value.is_money:
            return format_minor(value.size, value.unit)
        decimals = f".{value.size % 100:02d}".rstrip("0").rstrip(".")
        return f"{value.size // 100}{decimals} {value.unit}"
    if isinstance(value, dict):
        return ", ".join(sorted(map(str, value)))
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value)
