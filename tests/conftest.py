"""Guards over the whole run."""

from __future__ import annotations

import sys

import pytest

BARE = ("streams", "schemas", "agents")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a folder was imported under its bare name: its classes exist twice."""
    doubled = [name for name in sys.modules if name.split(".")[0] in BARE]
    if doubled:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"imported outside of tocsin: {', '.join(sorted(doubled))}\n")
