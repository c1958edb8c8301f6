"""What a wing offers says what it means: every public class, function and method of streams/."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("layer", ["streams", "schemas"])
def test_every_public_name_says_what_it_means(layer: str) -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / layer).rglob("*.py"))
        for node in public(ast.parse(path.read_text(encoding="utf-8")).body)
        if ast.get_docstring(node) is None
    ]
    assert silent == []


@pytest.mark.parametrize("layer", ["streams", "schemas", "agents"])
def test_every_wing_says_what_enters_and_what_leaves(layer: str) -> None:
    wings = sorted((ROOT / layer).glob("*/__init__.py"))
    heads = {path.parent.name: path.read_text(encoding="utf-8") for path in wings}
    assert len(heads) >= 5
    assert [name for name, text in heads.items() if "Enters:" not in text] == []
    assert [name for name, text in heads.items() if "Leaves:" not in text] == []
