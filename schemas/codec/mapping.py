"""Declared field mapping: an enterprise's record to a tocsin event. It refuses, it never guesses.

A mapping file (YAML) names, per foreign topic, its format and the events that its records are; per
event the fields, each taken from a path, or given as a constant. What is mapped is a line of
`tocsin.schemas.codec.jsonlines`, so names, types and forms are checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tocsin.schemas.codec.foreign_values import (
    MappingCode,
    MappingError,
    avro_reader,
    json_reader,
)
from tocsin.schemas.codec.jsonlines import Fact, LineRefused, iso_date, iso_instant, parse
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.registry import Registry
from tocsin.schemas.files.text_files import read_text
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX, BrokenYamlError, read_yaml
from tocsin.streams.facts.convention import MS_PER_DAY, Convention

Form = Literal["as_is", "text", "decimal", "epoch_ms", "epoch_s", "epoch_days", "epoch_ms_date"]

DIGITS_MAX = 40
"""Of a number in a foreign record: more than any money, date or count has."""


class Field(Struct, frozen=True, forbid_unknown_fields=True, rename={"form": "as"}):
    """Where a field comes from: a dotted path, or a constant; `digits` are decimals of money."""

    path: str | None = None
    const: bool | str | int | None = None
    form: Form = "as_is"
    digits: int = 2
    optional: bool = False


class EventMap(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of event of a topic; applies to records whose paths have the `when` values."""

    type: str
    fields: dict[str, str | Field]
    when: dict[str, str | int | bool] = {}


class TopicMap(Struct, frozen=True, forbid_unknown_fields=True):
    """A foreign topic. Avro needs its schema file, to which other versions are resolved.

    `framed`: Confluent framing precedes the record; unless told, that of Avro alone. `schema_ids`:
    under which ids the schema of the file is registered; without them the registry is asked.
    `tombstones`: whether records without a value are passed over, as expected ones, or refused.
    """

    topic: str
    format: Literal["json", "avro"]
    events: list[EventMap]
    schema: str | None = None
    framed: bool | None = None
    schema_ids: list[int] | None = None
    tombstones: Literal["refuse", "skip"] = "refuse"


def load_mapping(
    path: Path, convention: Convention, registry: Registry | None = None
) -> Mapping[str, Mapper]:
    """Read a mapping file; return a mapper per foreign topic, in the order of the file.

    `registry` knows the ids of framed Avro. Raises MappingError.
    """
    try:
        plain, reader = read_yaml(read_text(path, POLICY_BYTES_MAX))
        if reader.problems:
            raise MappingError(f"{path}: {reader.problems[0]}")
        topics = msgspec.convert(plain, list[TopicMap])
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}; give the mapping file's path") from error
    except (BrokenYamlError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: {error}; the README shows the form of a mapping") from error
    if not topics:
        raise MappingError(f"{path}: no topic in it; list at least one")
    return {topic.topic: Mapper(topic, path.parent, convention, registry) for topic in topics}


class Mapper:
    """Maps the records of one foreign topic."""

    def __init__(
        self, topic: TopicMap, folder: Path, convention: Convention, registry: Registry | None
    ) -> None:
        self._events = topic.events
        self._skips_tombstones = topic.tombstones == "skip"
        self._convention = convention
        self._read = _reader(topic, folder, registry)

    def passes_over(self, value: bytes | None) -> bool:
        """Whether a record is none that means anything, as the mapping declares."""
        return value is None and self._skips_tombstones

    def map(self, value: bytes | None) -> Fact:
        """Return the event and its sequence time; raise `Refused`."""
        if value is None:
            raise Refused(
                MappingCode.EMPTY,
                "the record has no value, and a tombstone means nothing here: if the topic is "
                "expected to have them, say `tombstones: skip` in the mapping",
            )
        content = self._read(value)
        for event in self._events:
            if _applies(event, content):
                return self._line(event, content)
        raise Refused(
            MappingCode.UNMAPPED, "no event of the mapping applies; add one, or widen a `when`"
        )

    def customer_of(self, value: bytes | None) -> str | None:
        """Whose record it is as far as can be told, even where it cannot be mapped."""
        try:
            content = None if value is None else self._read(value)
            for event in self._events:
                source = event.fields.get("customer_id")
                if source is None or not _applies(event, content):
                    continue
                field = Field(path=source) if isinstance(source, str) else source
                found = _value("customer_id", field, content)
                return found if isinstance(found, str) else None
        except Refused:
            pass  # what cannot be read, or does not say it
        return None

    def _line(self, event: EventMap, content: Any) -> Fact:
        line: dict[str, Any] = {"type": event.type}
        for name, source in event.fields.items():
            field = Field(path=source) if isinstance(source, str) else source
            value = _value(name, field, content)
            if value is not None:
                line[name] = value
        try:
            return parse(msgspec.json.encode(line), 1, self._convention)
        except LineRefused as refused:
            detail = refused.detail.removeprefix("line 1: ")
            raise Refused(refused.code, f"after mapping: {detail}") from refused


_ABSENT = object()


def _applies(event: EventMap, content: Any) -> bool:
    return all(_at(content, path) == wanted for path, wanted in event.when.items())


def _at(content: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(content, dict) or step not in content:
            return _ABSENT
        content = content[step]
    return content


def _value(name: str, field: Field, content: Any) -> Any:
    if field.path is None:
        return field.const
    found = _at(content, field.path)
    if found is _ABSENT or found is None:
        if field.optional:
            return None
        raise Refused(
            MappingCode.FIELD_MISSING,
            f"{name}: the record has no {field.path!r}; send it, or map another path",
        )
    try:
        return _FORMS[field.form](found, field.digits)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise Refused(
            MappingCode.FIELD_UNFIT,
            f"{name}: {found!r} at {field.path!r} is not {field.form}: {error}",
        ) from error


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("a whole number is needed")
    return _integer(Decimal(value), "a whole number is needed")


def _minor(value: Any, digits: int) -> int:
    if isinstance(value, bool | float):
        raise ValueError("money must come as text or as a JSON number, not as a binary float")
    return _integer(Decimal(value).scaleb(digits), f"more than {digits} decimals")


def _integer(number: Decimal, why: str) -> int:
    # A few characters may mean a billion digits: looked at before they are written out.
    if number.adjusted() >= DIGITS_MAX:
        raise ValueError(f"a number of more than {DIGITS_MAX} digits")
    if number != number.to_integral_value():
        raise ValueError(why)
    return int(number)


_FORMS: dict[str, Callable[[Any, int], Any]] = {
    "as_is": lambda value, _: _plain(value),
    "text": lambda value, _: str(value),
    "decimal": _minor,
    "epoch_ms": lambda value, _: iso_instant(_whole(value)),
    "epoch_s": lambda value, _: iso_instant(_whole(value) * 1000),
    "epoch_days": lambda value, _: iso_date(_whole(value)),
    "epoch_ms_date": lambda value, _: iso_date(_whole(value) // MS_PER_DAY),
}


def _plain(value: Any) -> Any:
    if not isinstance(value, Decimal) or value != value.to_integral_value():
        return value
    return _integer(value, "")


def _reader(topic: TopicMap, folder: Path, registry: Registry | None) -> Callable[[bytes], Any]:
    """What reads the values of a topic. Raises MappingError."""
    if topic.format == "json":
        return json_reader(is_framed=topic.framed is True)
    try:
        return avro_reader(
            topic.schema and folder / topic.schema,
            is_framed=topic.framed is not False,
            schema_ids=topic.schema_ids,
            registry=registry,
        )
    except MappingError as error:
        raise MappingError(f"topic {topic.topic}: {error}") from error
