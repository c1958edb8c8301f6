"""A worker and an audit, watched: their numbers under load, their health in a stall, and every
query of the dashboards over what they gave.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from tests.alerts.dashboards import promql, sql, targets
from tests.alerts.promql import engine as prometheus_engine
from tests.alerts.test_alerts import RULES
from tests.builds import BUILD_WITHIN_S
from tests.services.deployment import Deployment
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.reading import read_topic
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import INVOICES, PAYMENTS, WARNINGS
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived

PARTITIONS = 2
WITHIN_S = 90.0
POLL_S = 0.2
STALL_AFTER_S = 2
PAGES = ("startup", "ready", "live")
# What needs events that this portfolio has none of, programs that do not run, or other times.
MAY_BE_EMPTY = {
    "Refusals", "Refused records", "Notifications due", "Deliveries", "Verdicts by rule",
    "Restores", "Promises kept", "Next steps that are overdue", "From fact to warning, median",
    "Console: requests", "Console: time to answer",
}  # fmt: skip

GAPS = ("tocsin_reconciliation_gaps", (("topic", "outputs"),))
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Page(NamedTuple):
    """What a program answered."""

    status: int
    text: str


class Watched(NamedTuple):
    """What was seen of one run."""

    deployment: Deployment
    facts: list[Fact]
    warnings: int
    first: dict[str, Series]
    loaded: dict[str, Series]
    stalled: dict[str, Page]
    stalled_numbers: Series
    recovered: Page


def ask(port: int, path: str) -> Page:
    """Ask a program; status 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return Page(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Page(error.code, error.read().decode())
    except OSError:
        return Page(0, "")


def scrape(port: int) -> Series:
    """All series of a program."""
    families = text_string_to_metric_families(ask(port, "/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def total(series: Series, name: str, **labels: str) -> float:
    """Sum of the series of that name and these labels."""
    wanted = set(labels.items())
    return sum(v for (found, own), v in series.items() if found == name and wanted <= set(own))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, for a bounded time."""
    deadline = time.monotonic() + WITHIN_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)


async def observe(deployment: Deployment) -> Watched:
    """Load, let everything come to rest, then let a source transaction hang."""
    await deployment.prepare()
    ports = {"worker": free_port(), "audit": free_port()}
    worker = deployment.started("worker", TOCSIN_WEB_PORT=str(ports["worker"]))
    deployment.started("audit", TOCSIN_AUDIT_PORT=str(ports["audit"]))
    for name, port in ports.items():
        for page in PAGES:
            path = f"/health/{page}"
            await until(lambda p=port, at=path: ask(p, at).status == 200, f"{name} {page}")  # type: ignore[misc]
    first = {name: scrape(port) for name, port in ports.items()}

    facts = deployment.portfolio(60, 120)
    await produce(facts, deployment.settings)
    await deployment.until_decided(worker)

    def is_at_rest() -> bool:
        lags = [total(scrape(port), "tocsin_lag_records") for port in ports.values()]
        rows = total(scrape(ports["audit"]), "tocsin_sink_rows_total", topic=warnings_topic)
        audit = scrape(ports["audit"])
        gaps = total(audit, GAPS[0])
        # Both are told now and then, not at once.
        is_told = GAPS in audit and total(scrape(ports["worker"]), "tocsin_ledgers") > 0
        return lags == [0, 0] and rows == warnings and gaps == 0 and is_told

    warnings_topic = deployment.settings.topic(WARNINGS)
    warnings = len(await read_topic(deployment.settings, warnings_topic))
    await until(is_at_rest, "lag, rows or gaps stay")
    loaded = {name: scrape(port) for name, port in ports.items()}
    stalled, numbers, recovered = await stall(deployment, facts[-1].instant, ports["worker"])
    return Watched(deployment, facts, warnings, first, loaded, stalled, numbers, recovered)


async def stall(
    deployment: Deployment, instant: int, port: int
) -> tuple[dict[str, Page], Series, Page]:
    """Let a payment's transaction stay open before an invoice: the merge waits for it."""
    settings, encode = deployment.settings, deployment.codec.encode
    servers = settings.bootstrap_servers
    slow = AIOKafkaProducer(bootstrap_servers=servers, transactional_id="observe-slow")
    plain = AIOKafkaProducer(bootstrap_servers=servers)
    payment = PaymentReceived(
        customer_id="C1", payment_id="Z", occurred_at=instant + 1, amount_minor=1, currency="EUR"
    )
    invoice = InvoiceIssued(
        customer_id="C1", invoice_id="R", occurred_at=instant + 2, due_date=30_000,
        amount_minor=1, currency="EUR",
    )  # fmt: skip
    async with slow, plain:
        await slow.begin_transaction()
        for producer, topic, event, at in (
            (slow, PAYMENTS, payment, instant + 1), (plain, INVOICES, invoice, instant + 2),
        ):  # fmt: skip
            await producer.send_and_wait(
                settings.topic(topic), encode(topic.topic_id, event), key=b"C1", timestamp_ms=at
            )
        await until(lambda: ask(port, "/health/live").status == 503, "it is not told")

        def is_measured() -> bool:
            return total(scrape(port), "tocsin_lag_seconds") >= STALL_AFTER_S

        await until(is_measured, "no lag is told")
        stalled = {page: ask(port, f"/health/{page}") for page in PAGES}
        numbers = scrape(port)
        await slow.commit_transaction()
        await until(lambda: ask(port, "/health/live").status == 200, "it does not recover")
    return stalled, numbers, ask(port, "/health/live")


@pytest.fixture(scope="module")
def watched(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("observe")
    more = {"stall_after_s": STALL_AFTER_S, "reconcile_every_s": 2, "partitions": PARTITIONS}
    deployment = Deployment("observe", broker, engine, folder, **more)
    try:
        yield asyncio.run(observe(deployment))
    finally:
        deployment.end()


def test_the_workers_numbers_are_those_of_the_topics(watched: Watched) -> None:
    series, topic = watched.loaded["worker"], watched.deployment.settings.topic
    consumed = total(series, "messaging_client_consumed_messages_total")
    applied = 2 * PARTITIONS  # the packaged policy, and who keeps the clock: `topics apply`
    copies = Counter(getattr(fact.event, "customer_id", None) is None for fact in watched.facts)

    assert consumed == applied + copies[False] + copies[True] * PARTITIONS
    sent = total(
        series,
        "messaging_client_sent_messages_total",
        messaging_destination_name=topic(WARNINGS),
    )
    assert sent == watched.warnings == total(series, "tocsin_warnings_total") > 100
    assert total(series, "tocsin_ledgers") == 60
    assert total(series, "tocsin_partitions") == PARTITIONS
    assert total(series, "tocsin_restore_duration_seconds_count") == PARTITIONS
    assert total(series, "tocsin_sweep_customers_total") > 60
    chunks = total(series, "messaging_process_duration_seconds_count")
    assert chunks == total(series, "messaging_client_operation_duration_seconds_count") > 0
    assert total(series, "tocsin_lag_seconds") == 0


def test_the_audits_numbers_are_those_of_clickhouse(watched: Watched) -> None:
    client = open_clickhouse(watched.deployment.settings)
    try:
        ((rows,),) = client.rows("SELECT count() FROM warnings FINAL")
    finally:
        client.close()
    series = watched.loaded["audit"]

    topic = watched.deployment.settings.topic(WARNINGS)
    assert total(series, "tocsin_sink_rows_total", topic=topic) == rows == watched.warnings
    assert total(series, "tocsin_sink_undecoded_total") == 0
    assert total(series, "tocsin_sink_freshness_seconds") == 0
    assert GAPS in series


def test_a_partition_that_stands_still_is_told_and_the_other_is_not(watched: Watched) -> None:
    assert {page: found.status for page, found in watched.stalled.items()} == {
        "startup": 200, "ready": 200, "live": 503,
    }  # fmt: skip
    (lane,) = json.loads(watched.stalled["live"].text)["stalled"]
    assert lane in ("0", "1")
    assert total(watched.stalled_numbers, "tocsin_stalled") == 1
    # The payment, the invoice, and the marker of an older transaction before it.
    assert total(watched.stalled_numbers, "tocsin_lag_records", partition=lane) in (2, 3)
    assert total(watched.stalled_numbers, "tocsin_lag_seconds", partition=lane) >= STALL_AFTER_S
    assert json.loads(watched.recovered.text)["stalled"] == []


@pytest.mark.parametrize("target", targets("credit-risk"), ids=lambda target: target["title"])
def test_a_query_of_the_credit_risk_dashboard(watched: Watched, target: dict[str, Any]) -> None:
    client = open_clickhouse(watched.deployment.settings)
    try:
        rows = client.rows(sql(target))
    finally:
        client.close()

    assert rows or target["title"] in MAY_BE_EMPTY


def _given(watched: Watched) -> list[dict[str, str]]:
    """Scrapes a minute apart, as Prometheus would have them, the last one twice."""
    values: Mapping[str, list[str]] = defaultdict(lambda: ["_", "_", "_"])
    for place, scraped in enumerate((watched.first, watched.loaded, watched.loaded)):
        for program, series in scraped.items():
            values[f'up{{job="tocsin-{program}"}}'][place] = "1"
            for (name, labels), value in series.items():
                own = ",".join(f'{label}="{text}"' for label, text in labels)
                job = f'job="tocsin-{program}"' + ("," + own if own else "")
                values[f"{name}{{{job}}}"][place] = repr(value)
    return [{"name": name, "values": " ".join(found)} for name, found in values.items()]


@pytest.mark.timeout(BUILD_WITHIN_S + 60)
def test_every_query_of_the_operations_dashboard_and_no_alert(watched: Watched) -> None:
    wanted, series = targets("operations"), _given(watched)
    question = {"step_s": 60, "at_s": 120, "series": series}

    told, alerts = prometheus_engine().ask(
        [
            {**question, "queries": [promql(target) for target in wanted]},
            {**question, "rules": str(RULES)},
        ]
    )

    assert told.get("errors", []) == []
    empty = {
        target["title"] for target, found in zip(wanted, told["results"], strict=True) if not found
    }
    assert empty <= MAY_BE_EMPTY
    assert alerts.get("errors", []) == []
    assert [found["alert"] for found in alerts.get("firing", [])] == []
