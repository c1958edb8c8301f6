"""What docs/ tells is drawn from the code."""

from __future__ import annotations

import re
from pathlib import Path

from tocsin.agents.docs import diagrams, papers
from tocsin.agents.docs import security as security_docs
from tocsin.agents.kafka.acls import ROLES
from tocsin.agents.transactions.dead_letters import OWN_CODES
from tocsin.schemas.codec.mapping import MappingCode
from tocsin.schemas.codec.refused import Code as FormCode
from tocsin.streams.facts.refusals import Code
from tocsin.streams.fold.processes import PROCESSES

ROOT = Path(__file__).parents[2]


def test_the_diagrams_are_those_of_the_code() -> None:
    told = (ROOT / diagrams.FILE).read_text("utf-8")

    assert told == diagrams.render(), "run make docs"
    assert told.count("```mermaid") == len(PROCESSES)


def test_the_papers_are_as_they_are_printed() -> None:
    assert (ROOT / papers.FILE).read_text("utf-8") == papers.render(), "run make docs"


def test_the_rights_are_those_of_the_table() -> None:
    told = (ROOT / security_docs.FILE).read_text("utf-8")

    assert told == security_docs.render(told), "run make docs"
    assert all(f"| {role} | " in told for role in ROLES)


def test_the_codes_of_refusals_are_all_told_and_none_is_gone() -> None:
    told = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "refusals.md").read_text("utf-8"), re.M)

    assert len(told) == len(set(told))
    assert set(told) == {*Code, *FormCode, *MappingCode} | OWN_CODES
