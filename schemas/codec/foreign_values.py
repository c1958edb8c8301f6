"""The values of foreign topics: JSON, or Avro by the schema that a mapping declares.

Framed Avro names its writer's schema by an id. What the id means is asked of the registry, and the
record resolved to the declared schema by the names of its fields; or the mapping says which ids are
the declared schema, and any other is refused. A record is never read by a schema that its writer
did not use: what moved in the next version would be taken for something else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from enum import StrEnum, unique
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec

from tocsin.schemas.codec.channels import FRAME_SIZE, MAGIC
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts.registry import Registry
from tocsin.streams.facts.refusals import UNREADABLE

Schema = Any  # as fastavro has parsed it


@unique
class MappingCode(StrEnum):
    """Stable codes of foreign records that can't be mapped."""

    EMPTY = "FOREIGN_EMPTY"  # no value
    UNREADABLE = "FOREIGN_UNREADABLE"  # not the declared format
    SCHEMA_UNDECLARED = "FOREIGN_SCHEMA_UNDECLARED"  # an id that is not in `schema_ids`
    UNMAPPED = "FOREIGN_UNMAPPED"  # no event of the mapping fits
    FIELD_MISSING = "FOREIGN_FIELD_MISSING"  # a mapped path is absent
    FIELD_UNFIT = "FOREIGN_FIELD_UNFIT"  # a value is not of the declared form


class MappingError(Exception):
    """A mapping file that can't be used: what, where, and how to mend it."""


_JSON = msgspec.json.Decoder(float_hook=Decimal)


def json_reader(*, is_framed: bool) -> Callable[[bytes], Any]:
    """Return what reads JSON: as it is, or behind the framing of a JSON Schema serializer.

    Such a record names its fields itself, so its schema's id is of no importance.
    """

    def read_framed(value: bytes) -> Any:
        _id_of(value, "leave out `framed: true` where records are plain JSON")
        return _json(value[FRAME_SIZE:])

    return read_framed if is_framed else _plain_json


def _plain_json(value: bytes) -> Any:
    if len(value) > FRAME_SIZE and value[0] == MAGIC:
        number = int.from_bytes(value[1:FRAME_SIZE], "big")
        raise Refused(
            MappingCode.UNREADABLE,
            f"not plain JSON, but framed with schema id {number}, as a serializer for JSON Schema "
            "does: say `framed: true` in the mapping, or `format: avro` if it is Avro",
        )
    return _json(value)


def _json(value: bytes) -> Any:
    try:
        return _JSON.decode(value)
    except (*UNREADABLE, InvalidOperation) as error:
        raise Refused(MappingCode.UNREADABLE, f"not JSON: {error}") from error


def _id_of(value: bytes, mend: str) -> int:
    if len(value) < FRAME_SIZE or value[0] != MAGIC:
        what = "the value does not begin with byte 0 and a 4-byte schema id"
        raise Refused(Code.NOT_FRAMED, f"{what}; {mend}")
    return int.from_bytes(value[1:FRAME_SIZE], "big")


# What fastavro raises for JSON that is no schema: it looks names up without asking.
_NO_SCHEMA: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    fastavro.schema.SchemaParseException,
    fastavro.repository.base.SchemaRepositoryError,
)
_NOT_OF_SCHEMA: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ArithmeticError,
    RecursionError,
)


def avro_reader(
    path: Path | str | None,
    *,
    is_framed: bool,
    schema_ids: Collection[int] | None,
    registry: Registry | None,
) -> Callable[[bytes], Any]:
    """Return what reads Avro into the schema of the file. Raises MappingError."""
    if not path:
        raise MappingError("Avro needs `schema`, the path of its .avsc")
    declared = _load(Path(path))
    if not is_framed:
        return lambda value: _decode(value, 0, declared, None)
    if schema_ids is not None:
        return _DeclaredIds(declared, frozenset(schema_ids)).read
    if registry is not None:
        return _RegisteredIds(declared, registry).read
    raise MappingError(
        "framed Avro is read by its schema's id: set registry_url, or list in `schema_ids` under "
        "which ids the schema is registered (`framed: false` where records bear none)"
    )


def _load(path: Path) -> Schema:
    try:
        return fastavro.schema.load_schema(str(path))
    except OSError as error:
        raise MappingError(f"schema {path.name}: {error}") from error
    except _NO_SCHEMA as error:
        raise MappingError(
            f"schema {path.name}: no Avro schema ({type(error).__name__}: {error})"
        ) from error


_NOT_FRAMED_MEND: Final = "say `framed: false` in the mapping if no record bears an id"


class _DeclaredIds:
    """Records whose schema's ids the mapping lists."""

    def __init__(self, declared: Schema, ids: frozenset[int]) -> None:
        self._declared = declared
        self._ids = ids

    def read(self, value: bytes) -> Any:
        """Read a record that bears one of the ids; raise `Refused`."""
        found = _id_of(value, _NOT_FRAMED_MEND)
        if found not in self._ids:
            listed = ", ".join(map(str, sorted(self._ids))) or "none"
            raise Refused(
                MappingCode.SCHEMA_UNDECLARED,
                f"schema id {found} is not among the mapping's `schema_ids` ({listed}): add it if "
                "it is the very schema of the file, or set registry_url and leave the list out",
            )
        return _decode(value, FRAME_SIZE, self._declared, None)


class _RegisteredIds:
    """Records whose schema the registry tells. An id means the same for ever."""

    def __init__(self, declared: Schema, registry: Registry) -> None:
        self._declared = declared
        self._registry = registry
        self._writers: dict[int, Schema] = {}

    def read(self, value: bytes) -> Any:
        """Resolve a record to the declared schema; raise `Refused`."""
        found = _id_of(value, _NOT_FRAMED_MEND)
        writer = self._writers.get(found)
        if writer is None:
            writer = self._writers[found] = self._ask(found)
        try:
            return _decode(value, FRAME_SIZE, writer, self._declared)
        except fastavro.read.SchemaResolutionError as error:
            raise Refused(
                Code.SCHEMA_UNREADABLE,
                f"schema {found} does not resolve to the mapping's schema: {error}; declare a "
                "schema that reads both, with defaults for what one of them lacks",
            ) from error

    def _ask(self, schema_id: int) -> Schema:
        found = self._registry.by_id(schema_id)
        if found is None:
            raise Refused(
                Code.SCHEMA_UNKNOWN,
                f"the registry has no schema {schema_id}; register it there, or list the ids of "
                "another registry in the mapping's `schema_ids`",
            )
        try:
            schema: Any = found.schema
            return fastavro.parse_schema(schema)
        except _NO_SCHEMA as error:
            raise Refused(
                Code.SCHEMA_UNREADABLE,
                f"schema {schema_id} ({found.subject}) is no Avro schema: {error}",
            ) from error


def _decode(value: bytes, start: int, writer: Schema, reader: Schema | None) -> Any:
    body = io.BytesIO(value)
    body.seek(start)
    try:
        content = fastavro.schemaless_reader(body, writer, reader)
    except fastavro.read.SchemaResolutionError:
        raise
    except _NOT_OF_SCHEMA as error:
        raise Refused(MappingCode.UNREADABLE, f"not Avro of the schema: {error}") from error
    if body.tell() != len(value):
        raise Refused(MappingCode.UNREADABLE, "bytes remain after the record")
    return content
