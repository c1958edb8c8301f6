"""Every metric that a program of tocsin gives, as one catalog, and the numbers themselves.

Names are Prometheus' (base units, `_total` for counters); what OpenTelemetry's conventions for
messaging and HTTP name goes by those names. Labels have few values: partition, topic, rule,
severity and such, never a customer. Programs count per chunk, never per event.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from importlib.metadata import version
from typing import Final, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SYSTEM: Final = "messaging_system", "kafka"
# Seconds: from what one quick chunk takes to what a restore of millions does.
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

AnyInstrument = Counter | Gauge | Histogram
I = TypeVar("I", Counter, Gauge, Histogram)  # noqa: E741 - a type variable, no number


class Program(Enum):
    """The programs that keep running and can be asked."""

    WORKER = "worker"
    AUDIT = "audit"
    INTAKE = "intake"
    NOTIFY = "notify"
    WEB = "web"


class Kind(Enum):
    """What a number means: it only grows, it goes up and down, or it is a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One metric. `fixed` are labels with one value; `labels` are given with each number."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    programs: tuple[Program, ...] = tuple(Program)
    fixed: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        """What it counts in: `seconds`, `bytes`, or nothing where it counts things."""
        bare = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes") if bare.endswith(f"_{unit}")), "")


_WORKER = (Program.WORKER,)
_AUDIT = (Program.AUDIT,)
_NOTIFY = (Program.NOTIFY,)
_WEB = (Program.WEB,)
_LANES = (Program.WORKER, Program.AUDIT, Program.INTAKE, Program.NOTIFY)
_CHUNKS = (Program.WORKER, Program.INTAKE)  # those that run chunk transactions
_READERS = (Program.WORKER, Program.INTAKE, Program.AUDIT)
_PLACE = ("topic", "partition")


def _operation(name: str) -> tuple[tuple[str, str], ...]:
    return SYSTEM, ("messaging_operation_name", name)


BUILD = Metric(
    "tocsin_build_info", Kind.GAUGE, "1; the labels say what runs.", ("program", "version")
)
READY = Metric("tocsin_ready", Kind.GAUGE, "1 while the program does its work, else 0.")
STALLED = Metric(
    "tocsin_stalled",
    Kind.GAUGE,
    "Partitions or receivers that have work and have not advanced for stall_after_s.",
    (),
    _LANES,
)

LAG_RECORDS = Metric(
    "tocsin_lag_records",
    Kind.GAUGE,
    "Offsets of a topic partition that are there and not dealt with.",
    _PLACE,
    _READERS,
)
LAG = Metric(
    "tocsin_lag_seconds",
    Kind.GAUGE,
    "How long the oldest of them has been waiting since it was seen.",
    _PLACE,
    _READERS,
)
CONSUMED = Metric(
    "messaging_client_consumed_messages_total",
    Kind.COUNTER,
    "Records of a topic whose outcome is committed.",
    ("messaging_destination_name",),
    _CHUNKS,
    (SYSTEM,),
)
SENT = Metric(
    "messaging_client_sent_messages_total",
    Kind.COUNTER,
    "Records written to a topic and committed; of the state's changelog none.",
    ("messaging_destination_name",),
    _CHUNKS,
    (SYSTEM,),
)
PROCESS = Metric(
    "messaging_process_duration_seconds",
    Kind.HISTOGRAM,
    "From a chunk of records to its decisions.",
    (),
    _CHUNKS,
    _operation("process"),
)
COMMIT = Metric(
    "messaging_client_operation_duration_seconds",
    Kind.HISTOGRAM,
    "A chunk's transaction, from begin to committed.",
    (),
    _CHUNKS,
    _operation("commit"),
)
MERGE_WAIT = Metric(
    "tocsin_merge_wait_seconds",
    Kind.HISTOGRAM,
    "How long a chunk that was there waited for older records of other topics.",
    (),
    _CHUNKS,
)
PARTITIONS = Metric(
    "tocsin_partitions", Kind.GAUGE, "Partitions that this worker holds.", (), _CHUNKS
)
REFUSALS = Metric(
    "tocsin_refusals_total",
    Kind.COUNTER,
    "Records that went to the dead letters, by code.",
    ("topic", "code"),
    _CHUNKS,
)

WARNINGS = Metric(
    "tocsin_warnings_total",
    Kind.COUNTER,
    "Warnings published.",
    ("rule", "severity", "transition"),
    _WORKER,
)
MUTED = Metric(
    "tocsin_warnings_muted_total",
    Kind.COUNTER,
    "Of them those that nobody is to be troubled with.",
    ("rule",),
    _WORKER,
)
SWEEP = Metric(
    "tocsin_sweep_duration_seconds",
    Kind.HISTOGRAM,
    "A walk through the customers: a day's close, a new policy. Events wait meanwhile.",
    (),
    _WORKER,
)
SWEPT = Metric(
    "tocsin_sweep_customers_total", Kind.COUNTER, "Customers visited by sweeps.", (), _WORKER
)
RESTORE = Metric(
    "tocsin_restore_duration_seconds",
    Kind.HISTOGRAM,
    "A partition's state read back after it was assigned.",
    (),
    _WORKER,
)
LEDGERS = Metric(
    "tocsin_ledgers", Kind.GAUGE, "Customers with a ledger in a partition.", ("partition",), _WORKER
)
HELD = Metric(
    "tocsin_partition_on_hold",
    Kind.GAUGE,
    "1 where a storm of refusals holds a topic partition, else 0.",
    _PLACE,
    _WORKER,
)
BUSINESS_DAY = Metric(
    "tocsin_business_day_timestamp_seconds",
    Kind.GAUGE,
    "Begin, in UTC, of the business day that is open in a partition.",
    ("partition",),
    _WORKER,
)

SINK_ROWS = Metric(
    "tocsin_sink_rows_total", Kind.COUNTER, "Records put into ClickHouse.", ("topic",), _AUDIT
)
SINK_UNDECODED = Metric(
    "tocsin_sink_undecoded_total",
    Kind.COUNTER,
    "Of them those that are kept raw since they could not be read.",
    ("topic",),
    _AUDIT,
)
SINK_INSERT = Metric(
    "tocsin_sink_insert_duration_seconds", Kind.HISTOGRAM, "One insert of a block.", (), _AUDIT
)
SINK_RETRIES = Metric(
    "tocsin_sink_retries_total", Kind.COUNTER, "Inserts and reads tried again.", (), _AUDIT
)
SINK_FRESHNESS = Metric(
    "tocsin_sink_freshness_seconds",
    Kind.GAUGE,
    "How far the history is behind the brokers: the largest lag of any topic.",
    (),
    _AUDIT,
)
GAPS = Metric(
    "tocsin_reconciliation_gaps",
    Kind.GAUGE,
    "Records that the journal or the sink's progress names and ClickHouse has not, or has twice.",
    ("topic",),
    _AUDIT,
)

DELIVERIES = Metric(
    "tocsin_notify_deliveries_total",
    Kind.COUNTER,
    "Attempts at a receiver: delivered, failed, or given up.",
    ("receiver", "outcome"),
    _NOTIFY,
)
DELIVERY = Metric(
    "tocsin_notify_delivery_duration_seconds",
    Kind.HISTOGRAM,
    "One attempt, from request to answer.",
    ("receiver",),
    _NOTIFY,
)
UNDELIVERED = Metric(
    "tocsin_notify_undelivered",
    Kind.GAUGE,
    "Messages that a receiver has to get and has not.",
    ("receiver",),
    _NOTIFY,
)
UNDELIVERED_AGE = Metric(
    "tocsin_notify_undelivered_seconds",
    Kind.GAUGE,
    "How long the oldest of them has been due.",
    ("receiver",),
    _NOTIFY,
)

REQUESTS = Metric(
    "http_server_request_duration_seconds",
    Kind.HISTOGRAM,
    "One request to the console, by its route and how it ended.",
    ("http_request_method", "http_route", "http_response_status_code"),
    _WEB,
)

CATALOG: Final = tuple(entry for entry in list(globals().values()) if isinstance(entry, Metric))
# What the client library adds by itself.
PROCESS_METRICS: Final = (
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
    "python_gc_collections_total",
    "python_gc_objects_collected_total",
    "python_gc_objects_uncollectable_total",
    "python_info",
)

_CLASSES: Final = {Kind.COUNTER: Counter, Kind.GAUGE: Gauge, Kind.HISTOGRAM: Histogram}


class Metrics:
    """The numbers of one program. Any thread may count; nothing is shared between instances."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._instruments = {
            metric: self._instrument(metric) for metric in CATALOG if program in metric.programs
        }
        self.put(BUILD, 1, program.value, version("tocsin"))

    def _instrument(self, metric: Metric) -> AnyInstrument:
        names = [name for name, _ in metric.fixed] + list(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            found: AnyInstrument = Histogram(
                metric.name, metric.about, names, registry=self.registry, buckets=BUCKETS_S
            )
        else:
            found = _CLASSES[metric.kind](metric.name, metric.about, names, registry=self.registry)
        return found

    def add(self, metric: Metric, amount: float, *labels: object) -> None:
        """Add to a counter."""
        self._child(metric, labels, Counter).inc(amount)

    def put(self, metric: Metric, value: float, *labels: object) -> None:
        """Set a gauge."""
        self._child(metric, labels, Gauge).set(value)

    def observe(self, metric: Metric, seconds: float, *labels: object) -> None:
        """Put one duration into a histogram."""
        self._child(metric, labels, Histogram).observe(seconds)

    def replace(self, metric: Metric, values: Mapping[tuple[object, ...], float]) -> None:
        """Set a gauge for these labels, and for no others: what is not ours any more goes."""
        self._instruments[metric].clear()
        for labels, value in values.items():
            self.put(metric, value, *labels)

    def text(self) -> bytes:
        """All of it as a scrape reads it; its content type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _child(self, metric: Metric, labels: tuple[object, ...], kind: type[I]) -> I:
        found = self._instruments[metric]
        values = [value for _, value in metric.fixed] + [str(label) for label in labels]
        child = found.labels(*values) if values else found
        if not isinstance(child, kind):
            raise TypeError(f"{metric.name} is a {metric.kind.value}")
        return child
