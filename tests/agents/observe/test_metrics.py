"""The catalog of metrics: names as Prometheus wants them, labels with few values."""

from __future__ import annotations

import re

import pytest

from tocsin.agents.observe import metrics
from tocsin.agents.observe.metrics import CATALOG, PROCESS_METRICS, Kind, Metric, Metrics, Program

# Each has a bound of its own: the catalog of topics, the policy, or the settings.
BOUNDED = {
    "topic", "partition", "rule", "severity", "transition", "code", "receiver", "outcome",
    "program", "version", "messaging_system", "messaging_operation_name",
    "messaging_destination_name", "http_request_method", "http_route",
    "http_response_status_code",
}  # fmt: skip


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)
def test_a_metric_is_named_and_told_as_prometheus_asks(metric: Metric) -> None:
    assert re.fullmatch(r"(tocsin|messaging|http)_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.kind is not Kind.HISTOGRAM or metric.unit == "seconds"
    assert metric.about.endswith(".")
    assert {*metric.labels, *dict(metric.fixed)} <= BOUNDED
    assert metric.programs


def test_no_two_metrics_have_one_name() -> None:
    assert len({metric.name for metric in CATALOG}) == len(CATALOG)


@pytest.mark.parametrize("program", Program)
def test_a_program_gives_its_own_metrics_and_those_of_its_process(program: Program) -> None:
    text = Metrics(program).text().decode()

    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    own = {metric.name for metric in CATALOG if program in metric.programs}
    assert {name for name in told if not name.endswith("_created")} == own | set(PROCESS_METRICS)
    assert f'tocsin_build_info{{program="{program.value}"' in text


def test_numbers_come_out_under_their_labels() -> None:
    numbers = Metrics(Program.WORKER)

    numbers.add(metrics.CONSUMED, 3, "invoices")
    numbers.observe(metrics.COMMIT, 0.03)
    numbers.put(metrics.LEDGERS, 7, 2)

    text = numbers.text().decode()
    consumed = (
        'messaging_client_consumed_messages_total{messaging_destination_name="invoices",'
        'messaging_system="kafka"} 3.0'
    )
    assert consumed in text
    name = "messaging_client_operation_duration_seconds_bucket"
    labels = 'messaging_operation_name="commit",messaging_system="kafka"'
    assert f'{name}{{le="0.025",{labels}}} 0.0' in text
    assert f'{name}{{le="0.05",{labels}}} 1.0' in text
    assert 'tocsin_ledgers{partition="2"} 7.0' in text


def test_what_is_no_longer_ours_goes() -> None:
    numbers = Metrics(Program.WORKER)
    numbers.replace(metrics.LEDGERS, {(0,): 5, (1,): 6})

    numbers.replace(metrics.LEDGERS, {(1,): 8})

    lines = [line for line in numbers.text().decode().splitlines() if "tocsin_ledgers{" in line]
    assert lines == ['tocsin_ledgers{partition="1"} 8.0']


def test_a_gauge_is_no_counter() -> None:
    with pytest.raises(TypeError, match="tocsin_ledgers is a gauge"):
        Metrics(Program.WORKER).add(metrics.LEDGERS, 1, 0)
