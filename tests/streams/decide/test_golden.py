"""Golden cases: a ledger as text, and the warnings that it must bring, as a controller reads them.

A file of tests/golden/ledgers: what it shows (lines with #), `rules` that are looked at, perhaps
`marks` that every day waits for until noon, the facts, a line of dashes, the warnings in order.
Facts come at noon, Shanghai time, unless an hour is given. What follows `policy` (at the head) or
`publish` (among the facts) in lines with | differs from the policy until then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.book import ZONE, Book, audit, default_document, instant, patched, tell
from tocsin.streams.facts.convention import Convention

FOLDER = Path(__file__).parents[2] / "golden" / "ledgers"


Case = tuple[set[str], Convention, str, list[str], list[str]]


def read(path: Path) -> Case:
    """Rules, convention, first policy, facts and expected warnings of a file."""
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
    document = default_document()
    lines = patches(lines)
    if lines[0].startswith("policy\n"):
        document = patched(document, lines.pop(0).removeprefix("policy\n"))
    return rules, convention, document, lines, expected


def patches(lines: list[str]) -> list[str]:
    """The lines, each with those that follow it with |."""
    found: list[str] = []
    for line in lines:
        if line.startswith("|"):
            found[-1] += "\n" + line.removeprefix("|")
        else:
            found.append(line)
    return found


def tell_all(book: Book, document: str, facts: list[str], *, restarts: bool) -> None:
    """Let a book take facts and published policies, restarted after each or never."""
    for fact in facts:
        head, _, patch = fact.partition("\n")
        if patch:
            date, _ = head.split()
            document = patched(document, patch)
            book.publish(document, instant(date))
        else:
            book.add(fact)
        if restarts:
            book.restart()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_ledger_brings_exactly_these_warnings(path: Path) -> None:
    rules, convention, document, facts, expected = read(path)
    book, restarted = Book(document, convention), Book(document, convention)

    tell_all(book, document, facts, restarts=False)
    tell_all(restarted, document, facts, restarts=True)

    assert [tell(warning) for warning in book.warnings if warning.rule in rules] == expected
    audit(book.ledger)
    assert restarted.warnings == book.warnings


def test_there_are_golden_cases() -> None:
    assert len(list(FOLDER.glob("*.txt"))) >= 12
