"""Brings a ClickHouse database to the tables and views that this code needs: forward, by number.

A migration is a packaged file `clickhouse_NNNN_name.sql` of statements that may be run again, so
one that was cut short is simply repeated. What was applied is recorded with its checksum; a file
that changed afterwards is refused, since the databases out there would differ from it. The views
come after the migrations (`views`): up to 0020 those made views, too, which the layer replaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Final

from msgspec import Struct

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.views import replace_views
from tocsin.agents.settings.errors import ConfigurationError

LEAST_RELEASE: Final = (25, 8)
"""The oldest ClickHouse that takes all tables and views: 25.5 refuses one of them."""

_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_END_OF_STATEMENT: Final = re.compile(r";\s*$", re.MULTILINE)
_LIST: Final = "SELECT number, name, checksum FROM migrations FINAL ORDER BY number"
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS migrations
(
    `number` UInt32,
    `name` String,
    `checksum` String COMMENT 'SHA-256 of the file.',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Migrations that this database has had.'
"""
_TYPES: Final = {"number": "UInt32", "name": "String", "checksum": "String"}


class Migration(Struct, frozen=True):
    """One step: what it is called, what it says."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements in their order, without comment lines."""
        parts = _END_OF_STATEMENT.split(_COMMENT.sub("", self.text))
        return [part.strip() for part in parts if part.strip()]


def packaged_migrations() -> list[Migration]:
    """All migrations that come with this code, in order."""
    found = []
    for file in (files(__package__) / "migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(client: ClickHouse) -> list[str]:
    """Apply what is missing of migrations and views and return the names of it; again: nothing.

    May run in several programs at once. Raises ConfigurationError if the database had another
    migration under one of the numbers or its server is too old, ClickHouseRefusedError,
    UnavailableError.
    """
    require_release(client.version)
    done = apply_migrations(client, packaged_migrations())
    return [*done, *(f"view {name}" for name in replace_views(client))]


def release_of(version: str) -> tuple[int, ...]:
    """Year and number of a server's version, as in 25.8.1.1234."""
    return tuple(int(part) for part in version.split(".")[:2])


def require_release(version: str) -> None:
    """Raise ConfigurationError for a server that does not know all that tables and views need."""
    if release_of(version) < LEAST_RELEASE:
        least = ".".join(map(str, LEAST_RELEASE))
        raise ConfigurationError(
            f"ClickHouse {version} is too old: a view of tocsin needs {least} or newer",
            mend="upgrade the server; docs/compatibility.md tells which versions were tried",
        )


def apply_migrations(client: ClickHouse, migrations: Sequence[Migration]) -> list[str]:
    """Apply those that the database has not had yet, and return their names."""
    client.command(_CREATE)
    applied = {number: (name, checksum) for number, name, checksum in client.rows(_LIST)}
    _check(migrations, applied)
    done = []
    for migration in migrations:
        if migration.number in applied:
            continue
        for statement in migration.statements:
            client.alter(statement)
        columns = ([migration.number], [migration.name], [migration.checksum])
        client.insert("migrations", columns, _TYPES)
        done.append(f"{migration.number:04} {migration.name}")
    return done


def _check(migrations: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        migration = known.get(number)
        if migration is None:
            raise ConfigurationError(
                f"the database has had migration {number:04} {name}, which this version of tocsin "
                "does not know; use the newer version that applied it"
            )
        if (migration.name, migration.checksum) != (name, checksum):
            raise ConfigurationError(
                f"migration {number:04} {migration.name} is not the one that the database has had "
                f"({name}, SHA-256 {checksum[:12]}): an applied migration never changes; restore "
                "the file and put the change into a new number"
            )
