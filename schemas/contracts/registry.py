"""Which Avro schema an id stands for, and under which ids a subject's schemas are registered.

`Registry` is the port; `FileRegistry` reads a file, by default the packaged one. A registry that
definitively does not know an id answers None, which refuses the record. A registry that cannot be
read raises, which stops the program: infrastructure trouble never refuses anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol, TypeAlias, cast

from msgspec import Struct, ValidationError, convert

Schema: TypeAlias = "Mapping[str, Schema] | list[Schema] | str | int | bool | None"


class RegistryError(Exception):
    """The registry cannot be used; the message says what is wrong, where, and how to mend it."""


class Registered(Struct, frozen=True):
    """One version of a subject's schema."""

    schema_id: int
    subject: str
    version: int
    schema: Schema


class Registry(Protocol):
    """Where schemas are looked up. Ids are unique over all subjects and never reused."""

    def by_id(self, schema_id: int) -> Registered | None:
        """Return the schema of `schema_id`; None if the registry definitively has none."""

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        """Return the versions of `subject`, newest first; empty if there are none."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a registry file; `schema` is a file name beside it."""

    id: int
    subject: str
    version: int
    schema: str


class FileRegistry:
    """A registry in a JSON file: a list of `{"id", "subject", "version", "schema"}`.

    `schema` names an .avsc file in the same folder. Everything is read, and checked, at once.
    """

    def __init__(self, path: Path | None = None) -> None:
        file: Traversable = path if path is not None else files(__package__) / "registry.json"
        self._where = str(path) if path is not None else "the packaged registry.json"
        folder: Traversable = path.parent if path is not None else files(__package__)
        self._by_id: dict[int, Registered] = {}
        for entry in self._entries(file):
            if entry.id in self._by_id:
                raise RegistryError(f"{self._where}: id {entry.id} is given twice; ids are unique")
            schema = self._json(folder / entry.schema)
            self._by_id[entry.id] = Registered(entry.id, entry.subject, entry.version, schema)

    def by_id(self, schema_id: int) -> Registered | None:
        """Return the schema of `schema_id`, or None."""
        return self._by_id.get(schema_id)

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        """Return the versions of `subject`, newest first."""
        found = [entry for entry in self._by_id.values() if entry.subject == subject]
        return tuple(sorted(found, key=lambda entry: entry.version, reverse=True))

    def _entries(self, file: Traversable) -> list[_Entry]:
        try:
            return convert(self._json(file), list[_Entry])
        except ValidationError as error:
            raise RegistryError(
                f"{self._where}: {error}; expected a list of objects with id, subject, version "
                "and schema"
            ) from error

    def _json(self, file: Traversable) -> Schema:
        try:
            return cast(Schema, json.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise RegistryError(
                f"{self._where}: cannot read {file.name}: {error.strerror}; mend the path or the "
                "file's rights"
            ) from error
        except ValueError as error:
            raise RegistryError(f"{self._where}: {file.name} is not JSON: {error}") from error


def packaged_schema(name: str) -> Schema:
    """Return the schema that this code writes and reads into, by topic name."""
    text = (files(__package__) / f"{name}.avsc").read_text(encoding="utf-8")
    return cast(Schema, json.loads(text))
