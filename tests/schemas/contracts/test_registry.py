"""The file-backed registry: what it answers, and what it says about files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import FileRegistry, RegistryError, packaged_schema

ENTRY = {"id": 7, "subject": "a-value", "version": 1, "schema": "a.avsc"}


def write(folder: Path, entries: Any) -> Path:
    path = folder / "registry.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    (folder / "a.avsc").write_text('"string"', encoding="utf-8")
    return path


def test_the_packaged_registry_has_every_topic_under_a_fixed_id() -> None:
    registry = FileRegistry()

    ids = {}
    for topic in catalog.OWN_SCHEMAS:
        version, *older = registry.by_subject(f"{topic.name}-value")
        assert len(older) == version.version - 1
        ids[topic.name] = version.schema_id
        assert version.schema == packaged_schema(topic.name)
        assert registry.by_id(version.schema_id) is version

    assert ids == {
        "invoices": 17,
        "payments": 18,
        "complaints": 3,
        "customers": 4,
        "policies": 5,
        "clock": 6,
        "warnings": 13,
        "ledgers": 8,
        "journal": 9,
        "dead-letters": 10,
        "engagements": 11,
        "outbox": 12,
        "positions": 14,
    }


def test_an_unknown_id_or_subject_is_answered_not_raised() -> None:
    registry = FileRegistry()

    assert registry.by_id(4242) is None
    assert registry.by_subject("no-value") == ()


def test_versions_of_a_subject_come_newest_first(tmp_path: Path) -> None:
    path = write(
        tmp_path, [ENTRY, ENTRY | {"id": 9, "version": 3}, ENTRY | {"id": 8, "version": 2}]
    )

    versions = FileRegistry(path).by_subject("a-value")

    assert [version.schema_id for version in versions] == [9, 8, 7]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([ENTRY, ENTRY], "id 7 is given twice"),
        ([{"id": "seven"}], r"Expected `int`.*expected a list of objects with id"),
        ({}, "Expected `array`"),
        ([ENTRY | {"name": "x"}], "unknown field `name`"),
        ([ENTRY | {"schema": "b.avsc"}], r"cannot read b\.avsc: No such file"),
    ],
)
def test_a_registry_that_cannot_be_used_says_what_and_where(
    tmp_path: Path, entries: Any, message: str
) -> None:
    path = write(tmp_path, entries)

    with pytest.raises(RegistryError, match=message) as error:
        FileRegistry(path)

    assert str(path) in str(error.value)


def test_files_that_are_missing_or_no_json_say_so(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot read registry\.json"):
        FileRegistry(tmp_path / "registry.json")
    (tmp_path / "registry.json").write_text("[", encoding="utf-8")
    with pytest.raises(RegistryError, match=r"registry\.json is not JSON"):
        FileRegistry(tmp_path / "registry.json")
