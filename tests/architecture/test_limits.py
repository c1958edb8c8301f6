"""docs/limits.md tells the limits that the code has."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOLD = re.findall(
    r"^\| .+ \| (\d+) \| `((\w+)/[\w/]+)\.py:([\w.]+)` \|$",
    (ROOT / "docs/limits.md").read_text(),
    re.M,
)


@pytest.mark.parametrize(("value", "path", "layer", "name"), TOLD, ids=lambda part: part)
def test_a_limit_is_told_with_the_value_of_the_code(
    value: str, path: str, layer: str, name: str
) -> None:
    home, _, field = name.rpartition(".")
    found = import_module(f"tocsin.{path.replace('/', '.')}")
    told = getattr(getattr(found, home)(), field) if home else getattr(found, name)
    assert told == int(value)


def test_every_row_of_the_tables_is_compared() -> None:
    rows = re.findall(r"^\| .+\.py:.+` \|$", (ROOT / "docs/limits.md").read_text(), re.M)

    assert len(rows) == len(TOLD) > 40


def test_every_bound_of_what_a_customer_or_a_policy_may_hold_is_told() -> None:
    """Bounds of a record's single fields aside, whose refusal names the value itself."""
    named = {name for _, _, layer, name in TOLD if layer == "streams"}
    found = {
        name
        for file in (ROOT / "streams").rglob("*.py")
        for name in re.findall(r"^([A-Z][A-Z_]*_MAX(?:_MINOR)?)\b.*=", file.read_text(), re.M)
    }

    assert found - named == {
        *("MARK_BEFORE_DAYS_MAX", "MARK_AFTER_DAYS_MAX", "PERIOD_DAYS_MAX", "MINUTES_MAX"),
        *("RATING_MAX", "NOTCH_MAX", "CLOSE_LATEST_MINUTES_MAX"),  # fields, a setting
        *("UTILISATION_MAX", "SHARE_MAX", "POINTS_MAX"),  # a measure's value is cut there
        "OVERDUE_SHARE_MAX",
        "CUTS_MAX",  # sums kept for speed; then they start afresh
    }
