"""Golden cases: a ledger as text, and the warnings that it must bring, as a controller reads them.

A file of tests/golden/ledgers: what it shows (lines with #), `rules` that are looked at, the facts,
a line of dashes, the warnings in order. Facts come at noon, Shanghai time, unless an hour is given.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.conftest import Book, audit, tell

FOLDER = Path(__file__).parent.parent / "golden" / "ledgers"


def read(path: Path) -> tuple[set[str], list[str], list[str]]:
    """Rules, facts and expected warnings of a file."""
    facts, _, warnings = path.read_text(encoding="utf-8").partition("\n----\n")
    lines = [line.strip() for line in facts.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0].startswith("rules "), f"{path.name} says no rules"
    rules = {rule.strip() for rule in lines[0].removeprefix("rules ").split(",")}
    return rules, lines[1:], [line.strip() for line in warnings.splitlines() if line.strip()]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_ledger_brings_exactly_these_warnings(path: Path) -> None:
    rules, facts, expected = read(path)
    book = Book()

    warnings = book.add(*facts)

    assert [tell(warning) for warning in warnings if warning.rule in rules] == expected
    audit(book.ledger)
    restarted = Book()
    for fact in facts:
        restarted.add(fact)
        restarted.restart()
    assert restarted.warnings == book.warnings


def test_there_are_golden_cases() -> None:
    assert len(list(FOLDER.glob("*.txt"))) >= 12
