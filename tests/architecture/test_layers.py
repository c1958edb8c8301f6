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
PURE_LIBRARIES = {"msgspec"}
IMPURE = {
    "asyncio", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil",
    "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip


def modules(layer: str) -> list[Path]:
    return sorted((ROOT / layer).glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
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
        f"{path.name} imports {name}"
        for path in modules(layer)
        for name in imported(path)
        if name.startswith("tocsin.") and name.split(".")[1] not in MAY_IMPORT[layer]
    ]

    assert wrong == []


def test_the_domain_has_no_clock_no_randomness_and_no_io() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in modules("streams")
        for name in imported(path)
        if name.split(".")[0] in IMPURE
    ]

    assert wrong == []


def test_the_domain_needs_nothing_but_the_standard_library_and_msgspec() -> None:
    import sys

    allowed = sys.stdlib_module_names | PURE_LIBRARIES | {"tocsin"}
    wrong = [
        f"{path.name} imports {name}"
        for path in modules("streams")
        for name in imported(path)
        if name.split(".")[0] not in allowed
    ]

    assert wrong == []


def is_command(module: str) -> bool:
    """Whether a module of agents/ is of the command line."""
    return module in {"cli", "groups", "options", "customer_cards"} or module.startswith(
        ("commands_", "log_options", "log_values")
    )


def test_nothing_but_commands_knows_the_command_line() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in modules("agents")
        if not is_command(path.stem)
        for name in imported(path)
        if name == "click" or (name.startswith("tocsin.agents.") and is_command(name.split(".")[2]))
    ]

    assert wrong == []


def test_nothing_but_the_command_that_starts_it_knows_the_console() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in modules("agents")
        if not path.stem.startswith("web") and path.stem != "commands_web"
        for name in imported(path)
        if name.startswith("tocsin.agents.console.server")
    ]

    assert wrong == []


def test_what_is_asked_of_the_history_needs_no_web_server() -> None:
    asked = [path for path in modules("agents") if path.stem.startswith(("query_", "lookup"))]
    wrong = [path.name for path in asked if "aiohttp" in imported(path)]

    assert asked
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


def test_the_packages_are_flat() -> None:
    folders = [
        str(child.relative_to(ROOT))
        for layer in LAYERS
        for child in (ROOT / layer).iterdir()
        if child.is_dir() and child.name != "__pycache__"
    ]

    assert folders == []
