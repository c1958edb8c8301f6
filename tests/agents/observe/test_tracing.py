"""Spans of decisions: whose trace they continue, what they say, and what they never say."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.agents.notify.notices import notice
from tests.book import Book
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.notify.notifier import span_of
from tocsin.agents.notify.outbox import Delivery
from tocsin.agents.observe.tracing import Tracer, open_tracer
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import SettingsError, load
from tocsin.streams.decide.risk_warning import RiskWarning

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracer(provider)


@pytest.fixture(scope="module")
def warning() -> RiskWarning:
    book = Book()
    book.add("2025-01-10 invoice INV-1 900,000.00 CNY due 2025-01-20")
    return book.add("2025-03-01 close")[0]


def cause_of(warning: RiskWarning, **other: Any) -> HistoryRecord:
    key, at = warning.customer_id.encode(), warning.occurred_at
    record = HistoryRecord("invoices", 2, 17, at, key, b"", headers=(("traceparent", PARENT),))
    return replace(record, **other)


def trace_of(header: bytes | None) -> str:
    assert header is not None
    return header.decode()


def test_an_sdk_that_is_told_to_do_nothing_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, warning: RiskWarning
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert Tracer(TracerProvider()).decided(None, warning) is None


def test_a_warning_continues_the_trace_of_its_record(
    tracer: Tracer, spans: InMemorySpanExporter, warning: RiskWarning
) -> None:
    told = trace_of(tracer.decided(cause_of(warning), warning))

    (span,) = spans.get_finished_spans()
    assert told.split("-")[1] == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert told.split("-")[2] == f"{span.context.span_id:016x}"
    attributes = dict(span.attributes or {})
    assert attributes["messaging.destination.name"] == "invoices"
    assert attributes["messaging.kafka.offset"] == 17
    assert attributes["tocsin.warning.id"] == warning.warning_id
    assert warning.customer_id not in attributes.values()


@pytest.mark.parametrize(
    "other",
    [
        {"key": b"another"},
        {"timestamp": 5},
        {"headers": ()},
        {"headers": (("traceparent", b"\xff no trace"),)},
        {"headers": (("traceparent", None),)},
    ],
)
def test_what_another_record_brought_begins_a_trace_of_its_own(
    tracer: Tracer, spans: InMemorySpanExporter, warning: RiskWarning, other: dict[str, Any]
) -> None:
    told = trace_of(tracer.decided(cause_of(warning, **other), warning))

    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert told.split("-")[1] not in (TRACE, "0" * 32)


def test_what_no_record_brought_begins_a_trace_too(
    tracer: Tracer, spans: InMemorySpanExporter, warning: RiskWarning
) -> None:
    tracer.decided(None, warning)

    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert "messaging.system" not in dict(span.attributes or {})


def test_a_refusal_is_told_in_the_trace_of_its_record(
    tracer: Tracer, spans: InMemorySpanExporter, warning: RiskWarning
) -> None:
    tracer.refused(cause_of(warning), "KEY_MISMATCH")

    (span,) = spans.get_finished_spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KEY_MISMATCH")
    attributes = dict(span.attributes or {})
    assert attributes["messaging.kafka.offset"] == 17
    assert attributes["tocsin.refusal.code"] == "KEY_MISMATCH"
    assert warning.customer_id not in attributes.values()


def delivery(*traces: str) -> Delivery:
    notices = tuple(notice(n, trace=trace) for n, trace in enumerate(traces, start=1))
    return Delivery(id="d1", receiver="desk", notices=notices, created_at=0, attempts=2)


def test_a_delivery_continues_the_trace_of_its_warning(
    tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    attempt = span_of(tracer, delivery(PARENT.decode(), PARENT.decode()))
    attempt.end("failed", is_delivered=False)

    (span,) = spans.get_finished_spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert attempt.traceparent.split("-")[1:3] == [TRACE, f"{span.context.span_id:016x}"]
    assert (span.links, span.status.status_code) == ((), StatusCode.ERROR)
    assert dict(span.attributes or {}) == {
        "tocsin.receiver": "desk",
        "tocsin.delivery.id": "d1",
        "tocsin.delivery.attempt": 3,
        "tocsin.delivery.outcome": "failed",
        "tocsin.warning.ids": ("w1", "w2"),
    }


def test_a_delivery_of_several_traces_links_to_each_and_one_of_none_begins_its_own(
    tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    span_of(tracer, delivery(PARENT.decode(), "", other)).end("delivered", is_delivered=True)
    span_of(tracer, delivery("")).end("delivered", is_delivered=True)

    several, none = spans.get_finished_spans()
    assert (several.parent, none.parent, none.links) == (None, None, ())
    assert [f"{link.context.trace_id:032x}" for link in several.links] == [TRACE, "a" * 32]
    assert several.status.status_code is StatusCode.UNSET


def test_an_sdk_that_does_nothing_gives_a_delivery_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    attempt = span_of(Tracer(TracerProvider()), delivery(""))

    attempt.end("delivered", is_delivered=True)
    assert attempt.traceparent == ""


def test_without_a_collector_there_is_no_tracer() -> None:
    assert open_tracer(load(environ={}, discover=False)) is None


def test_a_collector_without_the_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return ordinary(name, *more)

    settings = load(environ={"TOCSIN_OTEL_ENDPOINT": "http://127.0.0.1:1"}, discover=False)
    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ConfigurationError, match="OpenTelemetry is not installed"):
        open_tracer(settings)


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "http://user:secret@collector:4318"])
def test_an_address_that_is_none_or_holds_a_login_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="otel_endpoint") as refused:
        load(environ={"TOCSIN_OTEL_ENDPOINT": address}, discover=False)
    assert "secret" not in str(refused.value)
