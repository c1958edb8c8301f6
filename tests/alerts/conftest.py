"""Prometheus' own engine for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.alerts.promql import PromQL, engine


@pytest.fixture(scope="session")
def promql() -> PromQL:
    """The engine, built at most once."""
    return engine()
