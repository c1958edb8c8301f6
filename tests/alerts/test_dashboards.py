"""Dashboards: well-formed, on metrics that exist, and every metric is looked at by somebody."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.dashboards import BOARDS, FOLDER, targets
from tests.alerts.test_alerts import ALERTS
from tocsin.agents.observe.metrics import CATALOG, PROCESS_METRICS, Kind

SUFFIXES = ("_bucket", "_sum", "_count")


def _names(expr: str) -> set[str]:
    return set(re.findall(r"\b(?:tocsin|process|messaging|http|python)_[a-z_]+\b(?!=|\")", expr))


def _exposed() -> set[str]:
    """Names of series: a histogram has three."""
    names = {"process_start_time_seconds", *PROCESS_METRICS}
    for metric in CATALOG:
        if metric.kind is Kind.HISTOGRAM:
            names |= {metric.name + suffix for suffix in SUFFIXES}
        else:
            names.add(metric.name)
    return names


def _labels() -> set[str]:
    return {label for metric in CATALOG for label in (*metric.labels, *dict(metric.fixed))}


def test_panels_and_alerts_read_metrics_that_exist() -> None:
    used = set().union(*(_names(target["expr"]) for target in targets("operations")))

    assert used - _labels() <= _exposed()


def test_no_metric_is_looked_at_by_nobody() -> None:
    exprs = [target["expr"] for target in targets("operations")]
    text = " ".join([*exprs, *(alert["expr"] for alert in ALERTS)])

    assert [metric.name for metric in CATALOG if metric.name not in text] == []


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_laid_out_without_overlap(name: str) -> None:
    board: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_datasources_are_those_of_the_dashboards_and_hold_no_secret() -> None:
    path = FOLDER / "provisioning" / "datasources" / "tocsin.yaml"
    sources = yaml.safe_load(path.read_text("utf-8"))["datasources"]
    wanted = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for name in BOARDS
        for target in targets(name)
    }

    assert {(source["type"], source["uid"]) for source in sources} == wanted
    for source in sources:
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"\$\{[A-Z_]+\}", secret)


def test_the_mounted_dashboards_exist() -> None:
    path = FOLDER / "provisioning" / "dashboards" / "tocsin.yaml"

    assert yaml.safe_load(path.read_text("utf-8"))["providers"][0]["type"] == "file"
    assert {file.stem for file in Path(FOLDER).glob("*.json")} == set(BOARDS)
