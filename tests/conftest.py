"""Guards over the whole run."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BARE = ("streams", "schemas", "agents")
REAL_PARTS = ("tests/services/", "tests/faults/")
ENGINE_ALONE = tuple(  # of these, what needs no Kafka
    f"tests/services/test_{name}.py"
    for name in ("embedded_engine", "migrate", "money_commands", "security_clickhouse", "views")
)


class RealPartsApart(LoadScopeScheduling):
    """Of the processes of `make test` one has all tests on Kafka: two brokers starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ENGINE_ALONE):
            return "engine"
        return "real parts" if nodeid.startswith(REAL_PARTS) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RealPartsApart:
    """Take the place of xdist's own schedulers."""
    return RealPartsApart(config, log)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_imported_twice() -> Iterator[None]:
    """Fail a run in which a folder was imported under its bare name: its classes exist twice."""
    yield
    doubled = sorted(name for name in sys.modules if name.split(".")[0] in BARE)
    assert not doubled, f"imported outside of tocsin: {', '.join(doubled)}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """End with what was not run and why: what a machine lacks is not passed over in silence."""
    yield
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"NOT RUN ({count}): {reason}", yellow=True)
