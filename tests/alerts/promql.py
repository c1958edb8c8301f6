"""Asks Prometheus' own engine: the Go program beside this file, built once per run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BUILD_WITHIN_S = 280.0


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


def build(folder: Path) -> PromQL:
    """Build the engine into a folder; skips the test where there is no Go, or none new enough."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: PromQL is evaluated by Prometheus' own engine, in Go")
    program = folder / "promql"
    built = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=BUILD_WITHIN_S,
    )
    if built.returncode and ("toolchain" in built.stderr or "requires go" in built.stderr):
        pytest.skip(f"Go is too old for Prometheus' engine: {built.stderr.strip()[-200:]}")
    assert built.returncode == 0, built.stderr
    return PromQL(program)
