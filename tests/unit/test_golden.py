"""Golden cases: a ledger as text, and the warnings that it must bring, as a controller reads them.

A file of tests/golden/ledgers: what it shows (lines with #), `rules` that are looked at, perhaps
`marks` that every day waits for until noon, the facts, a line of dashes, the warnings in order.
Facts come at noon, Shanghai time, unless an hour is given.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.conftest import ZONE, Book, audit, tell
from tocsin.streams.convention import Convention

FOLDER = Path(__file__).parent.parent / "golden" / "ledgers"


def read(path: Path) -> tuple[set[str], Convention, list[str], list[str]]:
    """Rules, convention, facts and expected warnings of a file."""
    facts, _, warnings = path.read_text(encoding="utf-8").partition("\n----\n")
    lines = [line.strip() for line in facts.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0].startswith("rules "), f"{path.name} says no rules"
    rules = {rule.strip() for rule in lines.pop(0).removeprefix("rules ").split(",")}
    marks: tuple[str, ...] = ()
    if lines[0].startswith("marks "):
        marks = tuple(name.strip() for name in lines.pop(0).removeprefix("marks ").split(","))
    convention = Convention(zone=ZONE, required_marks=marks)
    expected = [line.strip() for line in warnings.splitlines() if line.strip()]
    return rules, convention, lines, expected


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_ledger_brings_exactly_these_warnings(path: Path) -> None:
    rules, convention, facts, expected = read(path)
    book = Book(convention=convention)

    warnings = book.add(*facts)

    assert [tell(warning) for warning in warnings if warning.rule in rules] == expected
    audit(book.ledger)
    restarted = Book(convention=convention)
    for fact in facts:
        restarted.add(fact)
        restarted.restart()
    assert restarted.warnings == book.warnings


def test_there_are_golden_cases() -> None:
    assert len(list(FOLDER.glob("*.txt"))) >= 12
