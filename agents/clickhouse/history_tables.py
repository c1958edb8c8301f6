"""The ClickHouse tables of history: which columns a topic's table has, and what a row holds.

Each row has the record itself (place, time, raw key, value and headers, byte for byte) and, beside
it, the fields of its Avro schema as typed columns. The columns follow from the schemas by rule;
the migrations spell them out, and a test compares the two. A record that cannot be decoded has
`is_decoded` false and its typed columns at their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from tocsin.schemas.contracts.catalog import CLOCK, DEAD_LETTERS, Topic

Avro: TypeAlias = Any  # parsed JSON of a schema
Values: TypeAlias = Sequence[Any]  # one column's values, of the column's type

INSTANT: Final = "DateTime64(3, 'UTC')"
DATE_FIRST: Final = -25567  # 1900-01-01, the first day of a Date32
DATE_LAST: Final = 120529  # 2299-12-31, its last

RAW_COLUMNS: Final = {
    "topic_id": "Int32",
    "partition": "Int32",
    "offset": "Int64",
    "timestamp": INSTANT,
    "raw_key": "Nullable(String)",
    "raw_value": "Nullable(String)",
    "raw_headers.name": "Array(String)",
    "raw_headers.value": "Array(Nullable(String))",
    "is_decoded": "Bool",
}
EVENT_TYPE: Final = "event_type"  # which record of the union it is, where the schema is one

# Fields that speak of another record, and are called as a part of every record is.
_PARTS: Final = frozenset(
    {"topic_id", "partition", "offset", "timestamp", "key", "value", "headers"}
)
_PREFIXES: Final = {DEAD_LETTERS.name: "refused_", CLOCK.name: "held_"}
# Fields with few distinct values.
_CODES: Final = frozenset(
    {
        "action",
        "agency",
        "channel",
        "code",
        "country",
        "credit_limit_currency",
        "currency",
        "grade",
        "incomplete",
        "initiative",
        "kind",
        "missing",
        "money_decision",
        "muted_by",
        "outcome",
        "owner",
        "phase",
        "policy_name",
        "previous_severity",
        "rule",
        "segment",
        "severity",
        "size",
        "stage",
        "step",
        "transition",
        "unit",
        "verdict",
    }
)
_SCALARS: Final = {
    "string": "String",
    "bytes": "String",
    "int": "Int32",
    "long": "Int64",
    "boolean": "Bool",
    "date": "Date32",
    "timestamp-millis": INSTANT,
}
_DEFAULTS: Final = {"String": "", "Int32": 0, "Int64": 0, "Bool": False, "Date32": 0, INSTANT: 0}


class Column(Struct, frozen=True):
    """A typed column: the field of the schema it shows, and for nested ones the field within."""

    name: str
    type: str
    field: str
    inner: str = ""

    @property
    def default(self) -> Any:
        """What a row without the field holds."""
        if self.type.startswith("Array("):
            return []
        return None if "Nullable(" in self.type else _DEFAULTS.get(self.type, "")


class Table(Struct, frozen=True):
    """One history table; `fields` gives for each record of the schema its fields, in order."""

    topic: Topic
    columns: tuple[Column, ...]
    fields: dict[str, tuple[str, ...]]
    is_union: bool

    @property
    def types(self) -> dict[str, str]:
        """Every column's type by name, in the table's order."""
        event_type = {EVENT_TYPE: "LowCardinality(String)"} if self.is_union else {}
        return RAW_COLUMNS | event_type | {column.name: column.type for column in self.columns}


@cache
def history_table(topic: Topic) -> Table:
    """Derive a topic's table from its schema."""
    schema = json.loads(
        (files("tocsin.schemas.contracts") / f"{topic.schema_name}.avsc").read_text("utf-8")
    )
    is_union = isinstance(schema, list)
    records = schema if is_union else [schema]
    seen: dict[str, tuple[Avro, int]] = {}
    for record in records:
        for field in record["fields"]:
            avro, count = seen.get(field["name"], (field["type"], 0))
            # Optional in one record of the union is optional in the table.
            seen[field["name"]] = (
                field["type"] if isinstance(field["type"], list) else avro,
                count + 1,
            )
    columns = [
        column
        for name, (avro, count) in seen.items()
        for column in _columns(topic, name, avro, is_optional=count < len(records))
    ]
    fields = {
        record["name"]: tuple(field["name"] for field in record["fields"]) for record in records
    }
    return Table(topic, tuple(columns), fields, is_union)


def _columns(topic: Topic, field: str, avro: Avro, *, is_optional: bool) -> list[Column]:
    name = _PREFIXES.get(topic.name, "") + field if field in _PARTS else field
    if isinstance(avro, list):
        is_optional, avro = True, avro[1]
    if isinstance(avro, dict) and avro["type"] == "array":
        items = avro["items"]
        if isinstance(items, dict) and items["type"] == "record":
            return [
                Column(f"{name}.{part['name']}", f"Array({_scalar(part)})", field, part["name"])
                for part in items["fields"]
            ]
        return [Column(name, f"Array({_SCALARS[items]})", field)]
    return [Column(name, _scalar({"name": field, "type": avro}, is_optional=is_optional), field)]


def _scalar(field: Avro, *, is_optional: bool = False) -> str:
    avro = field["type"]
    if isinstance(avro, list):
        is_optional, avro = True, avro[1]
    kind = avro if isinstance(avro, str) else avro.get("logicalType", avro["type"])
    found = _SCALARS[kind]
    if is_optional:
        found = f"Nullable({found})"
    return f"LowCardinality({found})" if field["name"] in _CODES else found


def build_columns(
    table: Table, partition: int, records: Sequence[Any], events: Sequence[Struct | None]
) -> list[list[Any]]:
    """Turn a block of one topic partition into columns, in the order of `table.types`.

    `records` are as the Kafka client gives them, `events` what each decodes to, or None. Rows come
    out grouped by the events' types: the engine sorts them.
    """
    groups: dict[type, tuple[list[Any], list[Any]]] = {}
    for record, event in zip(records, events, strict=True):
        group = groups.get(type(event))
        if group is None:
            group = groups[type(event)] = ([], [])
        group[0].append(record)
        group[1].append(event)
    columns: list[list[Any]] = [[] for _ in table.types]
    for kind, (group_records, group_events) in groups.items():
        parts = _raw(table.topic, partition, group_records, is_decoded=kind is not type(None))
        parts += _typed(table, kind, group_events)
        for column, part in zip(columns, parts, strict=True):
            column.extend(part)
    return columns


_place: Callable[[Any], tuple[Any, ...]] = attrgetter("offset", "timestamp", "key", "value")


def _raw(topic: Topic, partition: int, records: list[Any], *, is_decoded: bool) -> list[Values]:
    count = len(records)
    names: list[Values] = []
    contents: list[Values] = []
    for record in records:
        headers = record.headers
        names.append([name for name, _ in headers] if headers else ())
        contents.append([content for _, content in headers] if headers else ())
    return [
        [topic.topic_id] * count,
        [partition] * count,
        *zip(*map(_place, records), strict=True),
        names,
        contents,
        [is_decoded] * count,
    ]


def _typed(table: Table, kind: type, events: list[Any]) -> list[Values]:
    count = len(events)
    name = "" if kind is type(None) else kind.__name__
    columns: list[Values] = [[name] * count] if table.is_union else []
    found: dict[str, Values] = {}
    if name:
        rows = zip(*map(structs.astuple, events), strict=True)
        found = dict(zip(table.fields[name], rows, strict=True))
    for column in table.columns:
        values = found.get(column.field)
        if values is None:
            columns.append([column.default] * count)
        elif column.inner:
            inner = attrgetter(column.inner)
            lists: Values = [[inner(item) for item in items] for items in values]
            columns.append(list(map(_days, lists)) if "Date32" in column.type else lists)
        elif "Date32" in column.type:
            columns.append(_days(values))
        else:
            columns.append(values)
    return columns


def _days(values: Values) -> Values:
    known = [value for value in values if value is not None]
    if not known or (min(known) >= DATE_FIRST and max(known) <= DATE_LAST):
        return values
    return [value if value is None else clamp_day(value) for value in values]


def clamp_day(day: int) -> int:
    """The nearest day that a Date32 can hold; the raw value keeps the one that was meant."""
    return min(max(day, DATE_FIRST), DATE_LAST)
