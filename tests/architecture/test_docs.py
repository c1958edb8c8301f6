"""What docs/ tells is drawn from the code."""

from __future__ import annotations

from pathlib import Path

from tocsin.agents import diagrams
from tocsin.streams.processes import PROCESSES

ROOT = Path(__file__).parents[2]


def test_the_diagrams_are_those_of_the_code() -> None:
    told = (ROOT / diagrams.FILE).read_text("utf-8")

    assert told == diagrams.render(), "run make docs"
    assert told.count("```mermaid") == len(PROCESSES)
