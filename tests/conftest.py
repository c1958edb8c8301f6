"""Guards over the whole run, how it is shared out, and its last lines."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scheduling import LongestFirst, seconds_of

BARE = ("streams", "schemas", "agents")
GARBAGE_LOOKED_FOR_AFTER = 50_000  # new objects


@pytest.hookimpl(optionalhook=True)  # a run may do without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    """Take the place of xdist's own schedulers."""
    config.option.loadscopereorder = False  # else it sorts by the number of tests
    return LongestFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first: scopes are handed out in the order in which they are collected."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -seconds_of(item.nodeid))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what is there for the whole run: a tenth of all CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOKED_FOR_AFTER)


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
