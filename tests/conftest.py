"""Guards over the whole run."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

BARE = ("streams", "schemas", "agents")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_imported_twice() -> Iterator[None]:
    """Fail a run in which a folder was imported under its bare name: its classes exist twice."""
    yield
    doubled = sorted(name for name in sys.modules if name.split(".")[0] in BARE)
    assert not doubled, f"imported outside of tocsin: {', '.join(doubled)}"
