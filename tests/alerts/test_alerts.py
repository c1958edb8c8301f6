"""Alert rules, evaluated by Prometheus' own engine over made-up series, and told truthfully."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.promql import PromQL
from tests.builds import BUILD_WITHIN_S
from tocsin.agents.observe.metrics import CATALOG, PROCESS_METRICS, Kind

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
BY_NAME = {alert["alert"]: alert for alert in ALERTS}
STEP_S = 60
HOURS_49 = 49 * 3600

pytestmark = [pytest.mark.builds, pytest.mark.timeout(BUILD_WITHIN_S + 60)]

WORKER = 'job="tocsin-worker",instance="a"'
PLACE = 'topic="payments",partition="3"'
UP = f"up{{{WORKER}}}"
LAG = f"tocsin_lag_seconds{{{WORKER},{PLACE}}}"
LAG_RECORDS = f"tocsin_lag_records{{{WORKER},{PLACE}}}"
HOLD = f"tocsin_partition_on_hold{{{WORKER},{PLACE}}}"
STARTED = f"process_start_time_seconds{{{WORKER}}}"
REFUSED = f'tocsin_refusals_total{{{WORKER},topic="payments",code="NO_JSON"}}'
DAY = f'tocsin_business_day_timestamp_seconds{{{WORKER},partition="3"}}'
UNDELIVERED = 'tocsin_notify_undelivered_seconds{receiver="mail"}'
GAPS = 'tocsin_reconciliation_gaps{topic="invoices"}'

# Values a minute apart; the last is now. First what must wake somebody, then what must not.
FIRES: list[tuple[str, Mapping[str, str]]] = [
    ("TocsinDown", {UP: "1x10 0x5"}),
    ("TocsinRestarting", {STARTED: "1x20 2x2 3x2 4x2 5x2"}),
    ("TocsinStalled", {"tocsin_stalled": "0x10 1x1"}),
    ("TocsinNotReady", {"tocsin_ready": "0x10"}),
    ("TocsinLag", {LAG: "0x5 301x5", HOLD: "0x11"}),
    ("TocsinLag", {LAG: "301x5"}),
    ("TocsinHold", {HOLD: "0x5 1"}),
    ("TocsinDeadLetters", {REFUSED: "5x20 7"}),
    ("TocsinDeadLetters", {REFUSED: "_x20 1"}),
    ("TocsinNoClock", {DAY: f"-{HOURS_49}x60", LAG_RECORDS: "0x60"}),
    ("TocsinSinkStale", {"tocsin_sink_freshness_seconds": "10x5 301x5"}),
    ("TocsinGaps", {GAPS: "0x5 2x50"}),
    ("TocsinUndelivered", {UNDELIVERED: "901x5"}),
]
KEEPS_QUIET: list[tuple[str, Mapping[str, str]]] = [
    ("TocsinDown", {UP: "1x10 0x4"}),
    ("TocsinRestarting", {STARTED: "1x20 2x5 3x5"}),
    ("TocsinStalled", {"tocsin_stalled": "0x10"}),
    ("TocsinNotReady", {"tocsin_ready": "0x9 1"}),
    ("TocsinLag", {LAG: "0x5 301x4"}),
    ("TocsinLag", {LAG: "301x9 12"}),
    ("TocsinLag", {LAG: "9000x20", HOLD: "1x20"}),
    ("TocsinLag", {'tocsin_lag_seconds{job="tocsin-audit",topic="x",partition="0"}': "301x9"}),
    ("TocsinHold", {HOLD: "1x5 0"}),
    ("TocsinDeadLetters", {REFUSED: "1 7x40"}),
    ("TocsinNoClock", {DAY: f"-{HOURS_49 - 7200}x60", LAG_RECORDS: "0x60"}),
    ("TocsinNoClock", {DAY: f"-{HOURS_49}x60", LAG_RECORDS: "5000x60"}),
    ("TocsinSinkStale", {"tocsin_sink_freshness_seconds": "301x4 1x2"}),
    ("TocsinGaps", {GAPS: "2x30 0 2x30"}),
    ("TocsinUndelivered", {UNDELIVERED: "899x9"}),
]


def _question(series: Mapping[str, str]) -> dict[str, Any]:
    given = [{"name": name, "values": values} for name, values in series.items()]
    return {"rules": str(RULES), "step_s": STEP_S, "series": given}


@pytest.fixture(scope="module")
def answers(promql: PromQL) -> dict[int, dict[str, Any]]:
    cases = FIRES + KEEPS_QUIET
    return dict(enumerate(promql.ask([_question(series) for _, series in cases])))


@pytest.mark.parametrize("number", range(len(FIRES)), ids=[name for name, _ in FIRES])
def test_an_alert_fires(number: int, answers: dict[int, dict[str, Any]]) -> None:
    told = answers[number]

    assert told.get("errors", []) == []
    assert {found["alert"] for found in told.get("firing", [])} == {FIRES[number][0]}


@pytest.mark.parametrize("number", range(len(KEEPS_QUIET)), ids=[name for name, _ in KEEPS_QUIET])
def test_an_alert_keeps_quiet(number: int, answers: dict[int, dict[str, Any]]) -> None:
    told = answers[len(FIRES) + number]

    assert told.get("errors", []) == []
    assert KEEPS_QUIET[number][0] not in {found["alert"] for found in told.get("firing", [])}


def test_every_alert_is_tried_both_ways() -> None:
    assert {name for name, _ in FIRES} == set(BY_NAME) == {name for name, _ in KEEPS_QUIET}


@pytest.mark.parametrize("name", BY_NAME)
def test_an_alert_says_what_is_wrong_and_how_to_mend_it(name: str) -> None:
    told = BY_NAME[name]["annotations"]

    assert set(told) == {"summary", "description", "runbook_url"}
    path, _, anchor = told["runbook_url"].partition("#")
    headings = re.findall(r"^### (\S+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings
    assert BY_NAME[name]["labels"]["severity"] in ("critical", "warning")


def test_the_runbook_tells_of_no_other_alert() -> None:
    told = re.findall(r"^### (\S+)$", (ROOT / "docs/watching.md").read_text("utf-8"), re.MULTILINE)

    assert told == list(BY_NAME)


def test_every_metric_is_told() -> None:
    told = (ROOT / "docs/watching.md").read_text("utf-8")

    rows = [
        f"| `{metric.name}` | {' '.join(program.value for program in metric.programs)} "
        f"| {', '.join(metric.labels)} | {metric.about} |"
        for metric in CATALOG
    ]
    assert [row for row in rows if row not in told] == [], "\n".join(rows)


def test_alerts_read_only_metrics_that_exist() -> None:
    known = {"up", *PROCESS_METRICS} | {
        metric.name for metric in CATALOG if metric.kind is not Kind.HISTOGRAM
    }
    used = {
        name
        for alert in ALERTS
        for name in re.findall(r"\b(?:tocsin|process|messaging)_[a-z_]+|\bup\b", alert["expr"])
    }

    assert used <= known
