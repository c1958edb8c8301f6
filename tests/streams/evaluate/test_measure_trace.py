"""Why a trace holds under all levers: nothing that is measured depends on what rules said."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tocsin.streams.measures

MODULES = sorted(Path(tocsin.streams.measures.__path__[0]).glob("*.py"))
OUTCOMES = {"episodes", "open_episodes", "open_rules"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_no_measure_reads_what_rules_said(module: Path) -> None:
    read = {
        node.attr
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }

    assert not read & OUTCOMES
