"""OpenTelemetry traces, where a collector is set: from a source record to the warning it brought.

A span is made for each warning. It continues the trace of the record that brought it about, if the
record has a W3C `traceparent` header and the warning is about the same customer at the same
instant; what a day's closing raised begins a trace of its own. The warning carries the span's
context on, for whoever reads it. Trace headers are in no digest, so nothing is decided otherwise.

The packages are an extra (`pip install 'tocsin[otel]'`), imported only where a collector is set.
Spans go out in the background; if the collector is away they are dropped, never waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.agents.errors import ConfigurationError
from tocsin.agents.settings import Settings
from tocsin.streams.decisions import RiskWarning

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACEPARENT: Final = "traceparent"
SPAN: Final = "tocsin decide"
EXPORT_WITHIN_S: Final = 2.0
PATH: Final = "/v1/traces"


class Tracer:
    """Makes the spans of decisions. Personal data and customers are in none of them."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("tocsin")
        self._contexts = TraceContextTextMapPropagator()

    def decided(self, record: Any | None, warning: RiskWarning) -> bytes | None:
        """Tell of a warning, and of the source record after which it was decided, if there is one.

        Returns the `traceparent` for the warning's headers; None where the SDK does nothing.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        span = self._tracer.start_span(
            SPAN,
            context=None if record is None else self._contexts.extract(_carrier(record, warning)),
            kind=SpanKind.CONSUMER,
            attributes={**_place(record), **_said(warning)},
        )
        span.end()
        carrier: dict[str, str] = {}
        self._contexts.inject(carrier, set_span_in_context(span))
        told = carrier.get(TRACEPARENT)
        return None if told is None else told.encode()


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
    found = dict(record.headers or ()) if is_cause else {}
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
