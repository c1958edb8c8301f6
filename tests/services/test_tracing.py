"""One trace from a source record over its decision to the warning; a collector never in the way."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.agents.notify.receivers import receiving, says
from tests.services.deployment import Deployment, Program, deployed
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.reading import read_topic
from tocsin.schemas.contracts.catalog import CLOCK, CUSTOMERS, INVOICES, WARNINGS
from tocsin.streams.facts.events import CustomerUpdated, InvoiceIssued, WentLive

NOON = 1_735_732_800_000  # 2025-01-01T12:00Z
DUE = 20_120
SPANS_WITHIN_S = 60.0  # they go out every five seconds
POLL_S = 0.1
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collecting(found: list[Span]) -> Iterator[str]:
    """A collector on loopback; yields its address."""

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found.extend(scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *told: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def invoice(deployment: Deployment, number: int, span: str) -> None:
    """Send an invoice to who has no credit, with the trace that its sender began."""
    settings, at = deployment.settings, NOON + number
    event = InvoiceIssued(f"C{number}", f"I{number}", at, DUE, 5_000_000, "EUR")
    update = CustomerUpdated(f"C{number}", NOON, credit_limit_minor=0, credit_limit_currency="EUR")
    key, trace = f"C{number}".encode(), f"00-{TRACE}-{span}-01".encode()
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        await producer.send_and_wait(
            settings.topic(CUSTOMERS),
            deployment.codec.encode(CUSTOMERS.topic_id, update),
            key=key,
            timestamp_ms=NOON,
        )
        await producer.send_and_wait(
            settings.topic(INVOICES),
            deployment.codec.encode(INVOICES.topic_id, event),
            key=key,
            timestamp_ms=at,
            headers=[("traceparent", trace)],
        )


async def broken(deployment: Deployment, span: str) -> None:
    """Send what is no record of ours, with the trace that its sender began."""
    trace = f"00-{TRACE}-{span}-01".encode()
    async with AIOKafkaProducer(**deployment.settings.client_options()) as producer:
        await producer.send_and_wait(
            deployment.settings.topic(INVOICES),
            b"broken",
            key=b"C1",
            timestamp_ms=NOON + 2,
            headers=[("traceparent", trace)],
        )


async def go_live(deployment: Deployment) -> None:
    """Say that what comes now is told to people."""
    record = deployment.codec.encode(CLOCK.topic_id, WentLive("test"))
    async with AIOKafkaProducer(**deployment.settings.client_options()) as producer:
        await producer.send_and_wait(
            deployment.settings.topic(CLOCK), record, key=b"test", timestamp_ms=NOON - 1
        )


async def until(holds: Callable[[], bool], program: Program) -> None:
    """Wait for it; the program must not end meanwhile."""
    async with asyncio.timeout(SPANS_WITHIN_S):
        while not holds():
            assert program.is_running, program.log()
            await asyncio.sleep(POLL_S)


async def traces(deployment: Deployment) -> list[str]:
    """The traces that the warnings carry on."""
    records = await read_topic(deployment.settings, deployment.settings.topic(WARNINGS))
    return [dict(record.headers)["traceparent"].decode() for record in records]


def delivered_in(spans: list[Span]) -> dict[str, Span]:
    """The attempts at delivery, by id of their span."""
    return {span.span_id.hex(): span for span in spans if span.name == "tocsin deliver"}


async def test_a_trace_goes_on_over_the_decision_to_the_warning(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    found: list[Span] = []
    with collecting(found) as address:
        more = {"partitions": 1, "otel_endpoint": address}
        async with deployed("traced", broker, engine, tmp_path, **more) as deployment:
            worker = deployment.started("worker")
            await invoice(deployment, 1, "00f067aa0ba902b7")
            await deployment.until_decided(worker)
            told = await traces(deployment)
            async with asyncio.timeout(SPANS_WITHIN_S):
                while len(found) < len(told):  # noqa: ASYNC110 - another thread's list
                    await asyncio.sleep(POLL_S)
            assert {trace.split("-")[1] for trace in told} == {TRACE}
            assert {span.parent_span_id.hex() for span in found} == {"00f067aa0ba902b7"}
            ids = {span.span_id.hex() for span in found}
            assert {trace.split("-")[2] for trace in told} == ids

            assert (await deployment.replayed()).differences == []
            assert worker.stop() == 0


async def test_the_way_goes_on_to_the_receiver(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    found: list[Span] = []
    with collecting(found) as address:
        more = {"partitions": 1, "otel_endpoint": address, "notify_port": 0}
        async with (
            deployed("told", broker, engine, tmp_path, **more) as deployment,
            receiving() as hook,
        ):
            config = tmp_path / "notify.yaml"
            config.write_text(
                f"receivers: [{{name: desk, webhook: {{url: '{hook.url}'}}}}]\n"
                "routes: [{to: [desk]}]\n"
            )
            worker = deployment.started("worker")
            notify = deployment.started("notify", str(config))
            hook.manner = says(503)
            await go_live(deployment)
            await invoice(deployment, 1, "00f067aa0ba902b7")
            await broken(deployment, "00f067aa0ba902b8")
            await deployment.until_decided(worker)
            told = await traces(deployment)
            await until(lambda: len(hook.calls) > 0, notify)
            hook.manner = says(200)
            await until(lambda: len(hook.taken) == len(told), notify)
            # A stop may cut an attempt off between the receiver's answer and the end of its span.
            await until(lambda: len(delivered_in(found)) == len(hook.calls), notify)
            assert notify.stop() == 0
            assert worker.stop() == 0

    deliveries = delivered_in(found)
    (refused,) = [span for span in found if span.name == "tocsin refuse"]
    assert refused.parent_span_id.hex() == "00f067aa0ba902b8"
    decided = {span.span_id.hex() for span in found if span.name == "tocsin decide"}
    assert len(hook.calls) == len(deliveries) > len(told)  # one was refused at first
    for call in hook.calls:
        _, trace, span_id, _ = call.headers["traceparent"].split("-")
        assert trace == TRACE
        assert deliveries[span_id].parent_span_id.hex() in decided


async def test_an_absent_collector_keeps_nobody_waiting(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    with collecting([]) as gone:
        pass
    more = {"partitions": 1, "otel_endpoint": gone}
    async with deployed("untraced", broker, engine, tmp_path, **more) as deployment:
        worker = deployment.started("worker")
        await invoice(deployment, 1, "00f067aa0ba902b7")
        await deployment.until_decided(worker)
        assert await traces(deployment)
        assert (await deployment.replayed()).differences == []
        assert worker.stop() == 0
