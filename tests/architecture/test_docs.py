"""What docs/ tells is drawn from the code."""

from __future__ import annotations

from pathlib import Path

from tocsin.agents import diagrams, security_docs
from tocsin.agents.acls import ROLES
from tocsin.streams.processes import PROCESSES

ROOT = Path(__file__).parents[2]


def test_the_diagrams_are_those_of_the_code() -> None:
    told = (ROOT / diagrams.FILE).read_text("utf-8")

    assert told == diagrams.render(), "run make docs"
    assert told.count("```mermaid") == len(PROCESSES)


def test_the_rights_are_those_of_the_table() -> None:
    told = (ROOT / security_docs.FILE).read_text("utf-8")

    assert told == security_docs.render(told), "run make docs"
    assert all(f"| {role} | " in told for role in ROLES)
