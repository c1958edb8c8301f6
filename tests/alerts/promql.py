"""Asks Prometheus' own engine: the Go program beside this file, built once per content."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builds import BuildError, go_program

HERE = Path(__file__).parent


class PromQL:
    """The engine. Series are given in the notation of Prometheus' rule tests."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answers, one per question; see `main.go` for their form."""
        done = subprocess.run(
            [self._program], input=json.dumps(questions), capture_output=True, text=True, check=True
        )
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers


def engine() -> PromQL:
    """The engine; skips the test where there is no Go, or none new enough."""
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: PromQL is evaluated by Prometheus' own engine, in Go")
    try:
        return PromQL(go_program(HERE))
    except BuildError as error:
        if "toolchain" in str(error) or "requires go" in str(error):
            pytest.skip(f"Go is too old for Prometheus' engine: {str(error)[-200:]}")
        raise
