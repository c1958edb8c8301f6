"""Prometheus' own engine for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.alerts.promql import PromQL, build


@pytest.fixture(scope="session")
def promql(tmp_path_factory: pytest.TempPathFactory) -> PromQL:
    """The engine, built once."""
    return build(tmp_path_factory.mktemp("promql"))
