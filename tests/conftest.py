"""Guards over the whole run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BARE = ("streams", "schemas", "agents")
REAL_PARTS = ("tests/services/", "tests/faults/")  # they share brokers, engines and cores


class RealPartsApart(LoadScopeScheduling):
    """Of the processes of `make test` one has all tests of real parts, the others the rest."""

    def _split_scope(self, nodeid: str) -> str:
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
