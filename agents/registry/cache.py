"""What a schema registry has said, remembered on disk: an id means the same for ever.

One file per registry and prefix of subjects. Several programs share it; each reads it again before
it writes, and a line that is lost all the same is asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.whole_files import write_atomically
from tocsin.schemas.contracts.registry import Registered

logger = logging.getLogger(__name__)


class _Line(msgspec.Struct, frozen=True):
    """A `Registered` as it is stored; the schema is any JSON."""

    schema_id: int
    subject: str
    version: int
    schema: Any


class RegistryCache:
    """Schemas by id and by subject. An unreadable file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_id = self._stored()

    def by_id(self, schema_id: int) -> Registered | None:
        """Return what is remembered of an id."""
        return self._by_id.get(schema_id)

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        """Return the remembered versions of a subject, newest first."""
        found = [entry for entry in self._by_id.values() if entry.subject == subject]
        return tuple(sorted(found, key=lambda entry: entry.version, reverse=True))

    def remember(self, entries: Iterable[Registered]) -> None:
        """Keep what is new. Raises ConfigurationError if it contradicts what is known."""
        fresh = []
        for entry in entries:
            self._require_same(entry)
            if entry.schema_id not in self._by_id:
                self._by_id[entry.schema_id] = entry
                fresh.append(entry)
        if fresh:
            self._store()

    def _require_same(self, entry: Registered) -> None:
        known = self._by_id.get(entry.schema_id)
        places = {(had.subject, had.version): had.schema_id for had in self._by_id.values()}
        place_id = places.get((entry.subject, entry.version), entry.schema_id)
        is_same = known is None or (known.subject, known.schema) == (entry.subject, entry.schema)
        if is_same and place_id == entry.schema_id:
            return
        had = f"id {entry.schema_id} was {known.subject}" if known else f"its id was {place_id}"
        raise ConfigurationError(
            f"the schema registry gives {entry.subject} version {entry.version} the id "
            f"{entry.schema_id}, but {had} before: it was emptied or replaced, and records written "
            "before mean something else now",
            mend="restore the registry from its backup, or begin anew with another topic_prefix; "
            f"only if no records exist yet, delete {self._path}",
        )

    def _store(self) -> None:
        self._by_id = self._stored() | self._by_id
        entries = sorted(self._by_id.values(), key=lambda entry: entry.schema_id)
        try:
            write_atomically(self._path, msgspec.json.encode(entries).decode())
        except OSError as error:  # it is a convenience; the registry has it all
            logger.warning("registry_cache_not_written", extra={"cause": str(error)})

    def _stored(self) -> dict[int, Registered]:
        try:
            lines = msgspec.json.decode(self._path.read_bytes(), type=list[_Line])
        except (OSError, msgspec.DecodeError):
            return {}
        return {
            line.schema_id: Registered(line.schema_id, line.subject, line.version, line.schema)
            for line in lines
        }
