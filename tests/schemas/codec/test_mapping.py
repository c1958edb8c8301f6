"""Mapping foreign records to events: every kind of event, and values that JSON cannot say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml

from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.channels import STRUCTS
from tocsin.schemas.codec.foreign_values import MappingError
from tocsin.schemas.codec.mapping import load_mapping
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts import catalog
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import CustomerEvent, DisputeOpened, SilenceBegan

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"
CONVENTION = Convention()
KINDS = {kind.__name__ for kind in get_args(CustomerEvent)}
RECORDED = [
    entry
    for topic in catalog.SOURCES
    for entry in json.loads(max(GOLDEN.glob(f"{topic.name}-?.json")).read_text(encoding="utf-8"))
    if entry["type"] in KINDS
]


def mapping(folder: Path, **event: Any) -> Any:
    """Load a mapping of one topic with one kind of event."""
    path = folder / "mapping.yaml"
    topics = [{"topic": "foreign", "format": "json", "events": [event]}]
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    return load_mapping(path, CONVENTION)["foreign"]


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: entry["type"])
def test_every_kind_of_event_can_be_mapped_field_by_field(
    entry: dict[str, Any], tmp_path: Path
) -> None:
    event: Any = msgspec.convert(entry["fields"], STRUCTS[entry["type"]])
    told = json.loads(jsonlines.format(event))
    fields = {name: {"path": f"deep.x_{name}", "optional": True} for name in entry["fields"]}
    foreign = {"deep": {f"x_{name}": content for name, content in told.items()}}

    fact = mapping(tmp_path, type=entry["type"], fields=fields).map(msgspec.json.encode(foreign))

    assert fact.event == event
    assert fact.topic_id == jsonlines.topic_of(event)
    assert fact.instant == (event.recorded_at or event.occurred_at)


def test_recorded_events_are_of_every_kind() -> None:
    assert {entry["type"] for entry in RECORDED} == KINDS


def test_a_constant_may_be_true_or_false(tmp_path: Path) -> None:
    mapper = mapping(
        tmp_path,
        type="DisputeOpened",
        when={"ours": "J"},
        fields={
            "customer_id": "debtor",
            "dispute_id": "case",
            "occurred_at": "at",
            "invoice_id": "bill",
            "amount_minor": {"path": "sum", "as": "decimal", "digits": 2},
            "currency": {"const": "EUR"},
            "reason": {"const": "PRICE"},
            "is_own_fault": {"const": True},
        },
    )
    foreign = b'{"ours":"J","debtor":"C1","case":"D1","at":"2025-01-31T08:00:00Z","bill":"I1","sum":"12.50"}'  # noqa: E501 - one record

    event = mapper.map(foreign).event

    assert event == DisputeOpened(
        "C1", "D1", 1_738_310_400_000, "I1", 1250, "EUR", "PRICE", is_own_fault=True
    )


def test_tombstones_are_passed_over_only_where_they_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    topics = [
        {"topic": "a", "format": "json", "events": []},
        {"topic": "b", "format": "json", "events": [], "tombstones": "skip"},
    ]
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    refusing, skipping = load_mapping(path, CONVENTION).values()

    assert skipping.passes_over(None)
    assert not skipping.passes_over(b"")
    assert not refusing.passes_over(None)
    with pytest.raises(Refused, match="`tombstones: skip`"):
        refusing.map(None)


def test_a_date_and_an_instant_come_in_the_forms_of_other_systems(tmp_path: Path) -> None:
    mapper = mapping(
        tmp_path,
        type="SilenceBegan",
        fields={
            "customer_id": {"path": "id", "as": "text"},
            "silence_id": {"path": "number", "as": "text"},
            "occurred_at": {"path": "since", "as": "epoch_s"},
            "author": "who",
            "reason": "why",
            "expires_on": {"path": "until", "as": "epoch_days"},
            "rule": {"path": "rule", "optional": True},
        },
    )
    foreign = {"id": 7, "number": 1, "since": 1_738_310_400, "who": "Li", "why": "fair"}

    event = mapper.map(msgspec.json.encode(foreign | {"until": 20_130})).event

    assert event == SilenceBegan("7", "1", 1_738_310_400_000, "Li", "fair", 20_130)
    with pytest.raises(Refused, match="is not epoch_days"):
        mapper.map(msgspec.json.encode(foreign | {"until": "soon"}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 2_000, "line 1: is nested too deeply"),
        ("a: &a [*a]", "is nested deeper than"),
        ("- topic: a\n  events: 2025-02-30", "line 2: 0.events: '2025-02-30' is neither text nor"),
        ("- topic: " + "9" * 5_000, "line 1: 0.topic: has 5000 digits"),
        ("- {topic: a, topic: b}", "line 1: 0.topic: is given twice"),
        ("- topic: a\n  format: xml", "Invalid enum value 'xml'"),
        ("[]", "no topic in it"),
    ],
    ids=["deep", "cyclic", "no-day", "digits", "twice", "format", "empty"],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_and_where(
    text: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(MappingError, match=re.escape(told)):
        load_mapping(path, CONVENTION)


@pytest.mark.parametrize(
    "schema",
    ["[" * 5_000, "{}", "1", '"no-such"', '{"type": "record"}', '{"type": "enum", "name": "e"}'],
    ids=["deep", "empty", "number", "unknown", "no-fields", "no-symbols"],
)
def test_an_avro_schema_that_cannot_be_used_is_refused(schema: str, tmp_path: Path) -> None:
    (tmp_path / "own.avsc").write_text(schema, encoding="utf-8")
    path = tmp_path / "mapping.yaml"
    path.write_text("[{topic: a, format: avro, schema: own.avsc, events: []}]", encoding="utf-8")

    with pytest.raises(MappingError, match=r"topic a: schema own\.avsc: "):
        load_mapping(path, CONVENTION)
