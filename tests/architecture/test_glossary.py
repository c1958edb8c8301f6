"""The glossary names modules that are there, and readers find it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs/glossary.md"
MODULE = re.compile(r"`((?:streams|schemas|agents)/[\w/]+\.(?:py|sql))`")


def rows(columns: int) -> list[list[str]]:
    """The rows of the tables that have so many columns."""
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    heads = ("term", "figure", "---")
    return [row for row in cells if len(row) == columns and row[0] not in heads]


def test_every_term_is_said_once() -> None:
    terms = [term for row in rows(3) for term in row[0].split(", ")]
    assert len(terms) == len(set(terms)) > 50
    assert [row[0] for row in rows(3) if not row[1].endswith(".")] == []


def test_every_term_and_figure_lives_in_a_module_that_is_there() -> None:
    for row in (*rows(3), *rows(4)):
        modules = MODULE.findall(row[-1])
        assert modules, row[0]
        assert [module for module in modules if not (ROOT / module).is_file()] == [], row[0]


def test_the_documents_lead_to_the_glossary() -> None:
    for page in ("README.md", "docs/architecture.md", "CONTRIBUTING.md"):
        assert "glossary.md" in (ROOT / page).read_text(encoding="utf-8"), page
