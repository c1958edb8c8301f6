"""Imports point one way, agents -> schemas -> streams, and the domain touches nothing outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("streams", "schemas", "agents")
MAY_IMPORT = {
    "streams": {"streams"},
    "schemas": {"streams", "schemas"},
    "agents": {"streams", "schemas", "agents"},
}
WINGS = {
    "streams": (
        "facts",
        "ledger",
        "fold",
        "measures",
        "policy",
        "decide",
        "receivables",
        "evaluate",
    ),
    "schemas": ("files", "contracts", "codec", "policies", "harms"),
    "agents": (
        "settings",
        "observe",
        "render",
        "clickhouse",
        "kafka",
        "registry",
        "privacy",
        "transactions",
        "deployment",
        "queries",
        "entry",
        "worker",
        "intake",
        "audit",
        "replay",
        "anchors",
        "past",
        "backtest",
        "bundle",
        "notify",
        "embedded",
        "doctor",
        "generate",
        "demo",
        "docs",
        "console",
        "commands",
    ),
}
"""The sub-packages of each layer, lowest first: a wing imports only those before it."""

PURE_LIBRARIES = {"msgspec"}
IMPURE = {
    "asyncio", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil",
    "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip


def modules(place: str) -> list[Path]:
    return sorted((ROOT / place).rglob("*.py"))


def told(path: Path, name: str) -> str:
    return f"{path.relative_to(ROOT)} imports {name}"


def wing_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[1]


def parsed(path: Path) -> ast.Module:
    file = path / "__init__.py" if path.is_dir() else path
    return ast.parse(file.read_text("utf-8"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module or ""
            if node.module == "tocsin":
                yield from (f"tocsin.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_itself_and_those_below(layer: str) -> None:
    wrong = [
        told(path, name)
        for path in modules(layer)
        for name in imported(path)
        if name.startswith("tocsin.") and name.split(".")[1] not in MAY_IMPORT[layer]
    ]

    assert wrong == []


def test_the_domain_has_no_clock_no_randomness_and_no_io() -> None:
    wrong = [
        told(path, name)
        for path in modules("streams")
        for name in imported(path)
        if name.split(".")[0] in IMPURE
    ]

    assert wrong == []


def test_the_domain_needs_nothing_but_the_standard_library_and_msgspec() -> None:
    import sys

    allowed = sys.stdlib_module_names | PURE_LIBRARIES | {"tocsin"}
    wrong = [
        told(path, name)
        for path in modules("streams")
        for name in imported(path)
        if name.split(".")[0] not in allowed
    ]

    assert wrong == []


@pytest.mark.parametrize("layer", LAYERS)
def test_every_folder_is_a_wing_that_says_what_it_is(layer: str) -> None:
    folders = {path.parent for path in modules(layer)} - {ROOT / layer}
    silent = [path for path in folders if not (ast.get_docstring(parsed(path)) or "")]

    assert {str(path.relative_to(ROOT / layer)) for path in folders} == set(WINGS[layer])
    assert silent == []
    assert {path.name for path in (ROOT / layer).glob("*.py")} == {"__init__.py"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_wing_imports_only_those_below_it(layer: str) -> None:
    order = WINGS[layer]
    wrong = [
        told(path, name)
        for place, wing in enumerate(order)
        for path in modules(f"{layer}/{wing}")
        for name in imported(path)
        if name.startswith(f"tocsin.{layer}.") and name.split(".")[2] not in order[: place + 1]
    ]

    assert wrong == []


def test_nothing_but_commands_knows_the_command_line() -> None:
    wrong = [
        told(path, name)
        for path in modules("agents")
        if wing_of(path) != "commands"
        for name in imported(path)
        if name == "click" or name.startswith("tocsin.agents.commands")
    ]

    assert wrong == []


def test_nothing_but_the_command_that_starts_it_knows_the_console() -> None:
    users = {
        str(path.relative_to(ROOT / "agents"))
        for path in modules("agents")
        if wing_of(path) != "console"
        for name in imported(path)
        if name.startswith("tocsin.agents.console")
    }

    assert users == {"commands/web.py"}


def test_what_is_asked_of_the_history_needs_no_web_server() -> None:
    wrong = [path.name for path in modules("agents/queries") if "aiohttp" in imported(path)]

    assert wrong == []


def test_no_consumer_is_made_that_may_reset_by_itself() -> None:
    users = {
        path.name
        for path in modules("agents")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "AIOKafkaConsumer" for alias in node.names)
    }

    assert users == {"readers.py", "faust_contract.py"}, "use tocsin.agents.kafka.readers.Reader"
