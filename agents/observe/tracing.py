"""OpenTelemetry traces, where a collector is set: from a source record to who got the warning.

A span is made for each warning. It continues the trace of the record that brought it about, if the
record has a W3C `traceparent` header and the warning is about the same customer at the same
instant; what a day's closing raised begins a trace of its own. The warning carries the span's
context on, for whoever reads it; the notifier's attempts to deliver it continue that. Trace headers
are in no digest, so nothing is decided otherwise.

The packages are an extra (`pip install 'tocsin[otel]'`), imported only where a collector is set.
Spans go out in the background; if the collector is away they are dropped, never waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.streams.decide.risk_warning import RiskWarning

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

TRACEPARENT: Final = "traceparent"
SPAN: Final = "tocsin decide"
REFUSAL_SPAN: Final = "tocsin refuse"
DELIVERY_SPAN: Final = "tocsin deliver"
EXPORT_WITHIN_S: Final = 2.0
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
PATH: Final = "/v1/traces"


class Tracer:
    """Makes the spans of decisions and deliveries. Neither holds personal data or a customer."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("tocsin")
        self._contexts = TraceContextTextMapPropagator()

    def decided(self, record: Any | None, warning: RiskWarning) -> bytes | None:
        """Tell of a warning, and of the source record after which it was decided, if there is one.

        Returns the `traceparent` for the warning's headers; None where the SDK does nothing.
        """
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            SPAN,
            context=None if record is None else self._contexts.extract(_carrier(record, warning)),
            kind=SpanKind.CONSUMER,
            attributes={**_place(record), **_said(warning)},
        )
        span.end()
        told = self._told(span)
        return told.encode() if told else None

    def refused(self, record: Any, code: str) -> None:
        """Tell that a record went to the dead letters, in its own trace."""
        from opentelemetry.trace import SpanKind, StatusCode

        span = self._tracer.start_span(
            REFUSAL_SPAN,
            context=self._contexts.extract(_context_of(record)),
            kind=SpanKind.CONSUMER,
            attributes={**_place(record), "tocsin.refusal.code": code},
        )
        span.set_status(StatusCode.ERROR, code)
        span.end()

    def delivering(
        self, receiver: str, delivery_id: str, attempt: int, warnings: Sequence[tuple[str, str]]
    ) -> Attempt:
        """Begin the span of an attempt: in its warnings' trace; of several, linked to each.

        `warnings` are the ids of those delivered, and their traces, empty where there is none.
        """
        from opentelemetry.trace import Link, SpanKind, get_current_span

        found = [
            self._contexts.extract({TRACEPARENT: trace})
            for trace in traces_of(trace for _, trace in warnings)
        ]
        span = self._tracer.start_span(
            DELIVERY_SPAN,
            context=found[0] if len(found) == 1 else None,
            kind=SpanKind.CLIENT,
            links=[Link(get_current_span(one).get_span_context()) for one in found[1:] and found],
            attributes={
                "tocsin.receiver": receiver,
                "tocsin.delivery.id": delivery_id,
                "tocsin.delivery.attempt": attempt,
                "tocsin.warning.ids": [warning_id for warning_id, _ in warnings],
            },
        )
        return Attempt(span, self._told(span))

    def _told(self, span: Span) -> str:
        """The `traceparent` of a span; empty where the SDK does nothing."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._contexts.inject(carrier, set_span_in_context(span))
        return carrier.get(TRACEPARENT, "")


class Attempt:
    """The span of one attempt at a receiver; `traceparent` goes with the request."""

    def __init__(self, span: Span, traceparent: str) -> None:
        self._span = span
        self.traceparent = traceparent

    def end(self, outcome: str, *, is_delivered: bool) -> None:
        """Tell how it ended. Why it failed is left to logs: it may be in a receiver's words."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("tocsin.delivery.outcome", outcome)
        if not is_delivered:
            self._span.set_status(StatusCode.ERROR, outcome)
        self._span.end()


def traces_of(traces: Iterable[str]) -> list[str]:
    """Those that there are, each once, in their order."""
    return list(dict.fromkeys(trace for trace in traces if trace))


def trace_in(record: Any) -> str:
    """The `traceparent` among a record's headers; empty if there is none that could be one."""
    found = dict(record.headers or ()).get(TRACEPARENT) or b""
    text = bytes(found).decode("latin-1")
    return text if _TRACEPARENT.fullmatch(text) else ""


def open_tracer(settings: Settings) -> Tracer | None:
    """The tracer of a deployment with a collector; None where there is none.

    Raises ConfigurationError if the packages are not installed.
    """
    if not settings.otel_endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "otel_endpoint is set, but OpenTelemetry is not installed",
            mend="pip install 'tocsin[otel]', or leave otel_endpoint empty",
        ) from error
    resource = Resource.create({"service.name": settings.app_id, "service.namespace": "tocsin"})
    provider = TracerProvider(resource=resource)
    endpoint = settings.otel_endpoint.rstrip("/") + PATH
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_WITHIN_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracer(provider)


def _carrier(record: Any, warning: RiskWarning) -> dict[str, str]:
    """The trace context of a record, if the warning is what it brought about."""
    is_cause = (
        record.key == warning.customer_id.encode() and record.timestamp == warning.occurred_at
    )
    return _context_of(record) if is_cause else {}


def _context_of(record: Any) -> dict[str, str]:
    """The trace context among a record's headers, whatever it says."""
    found = dict(record.headers or ())
    return {
        name: found[name].decode("latin-1")
        for name in (TRACEPARENT, "tracestate")
        if name in found and found[name] is not None
    }


def _place(record: Any | None) -> dict[str, str | int]:
    if record is None:
        return {}
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }


def _said(warning: RiskWarning) -> dict[str, str]:
    return {
        "tocsin.warning.id": warning.warning_id,
        "tocsin.warning.rule": warning.rule,
        "tocsin.warning.severity": warning.severity,
        "tocsin.warning.transition": warning.transition,
        "tocsin.policy.hash": warning.policy_hash,
    }
