"""Migrations on a real engine: from nothing, again, cut short, changed, from the future."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.clickhouse.history_tables import history_table
from tocsin.agents.clickhouse.migrate import (
    Migration,
    apply_migrations,
    migrate,
    packaged_migrations,
)
from tocsin.agents.clickhouse.standings import (
    CASE_COLUMNS,
    STANDING_COLUMNS,
    STANDING_HISTORY_COLUMNS,
)
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.settings.errors import ClickHouseRefusedError, ConfigurationError
from tocsin.schemas.contracts.catalog import APPEND_ONLY

TABLES = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() ORDER BY table, position
"""
FIRST = Migration(1, "first", "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = Memory;\n")
_numbers = count()


@pytest.fixture
def client(engine: EmbeddedEngine) -> Iterator[ClickHouse]:
    """A connection to an empty database of its own."""
    name = f"migrate{next(_numbers)}"
    first = connect(engine.url, user=WRITER, password=engine.token)
    first.command(f"CREATE DATABASE {name}")
    first.close()
    found = connect(f"{engine.url}/{name}", user=WRITER, password=engine.token)
    yield found
    found.close()


def columns_of(client: ClickHouse) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, name, kind in client.rows(TABLES):
        found.setdefault(table, {})[name] = kind
    return found


def test_the_tables_have_the_columns_that_follow_from_the_schemas(client: ClickHouse) -> None:
    migrate(client)

    found = columns_of(client)
    for topic in APPEND_ONLY:
        assert found[topic.table] == history_table(topic).types
    assert found["standings"] == STANDING_COLUMNS
    assert found["standing_history"] == STANDING_HISTORY_COLUMNS
    assert found["cases"] == CASE_COLUMNS


def test_no_view_shows_money_as_a_float(client: ClickHouse) -> None:
    migrate(client)

    floats = [
        (table, name)
        for table, columns in columns_of(client).items()
        for name, kind in columns.items()
        if "Float" in kind
    ]
    assert floats == []


def test_each_history_table_replaces_rows_of_one_offset(client: ClickHouse) -> None:
    migrate(client)

    rows = client.rows(
        "SELECT name, engine, sorting_key, partition_key FROM system.tables "
        "WHERE database = currentDatabase()"
    )
    found = {name: rest for name, *rest in rows}
    for topic in APPEND_ONLY:
        expected = ["ReplacingMergeTree", "partition, offset", "toYYYYMM(timestamp)"]
        assert found[topic.table] == expected


def test_migrations_apply_once(client: ClickHouse) -> None:
    names = [f"{migration.number:04} {migration.name}" for migration in packaged_migrations()]

    assert apply_migrations(client, packaged_migrations()) == names
    assert apply_migrations(client, packaged_migrations()) == []
    assert len(client.rows("SELECT number FROM migrations")) == len(names)


def test_a_migration_that_was_cut_short_is_repeated(client: ClickHouse) -> None:
    broken = Migration(1, "two", "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = Memory;\nNO;\n")
    whole = Migration(1, "two", broken.text.replace("NO;", "DROP TABLE IF EXISTS b;"))

    with pytest.raises(ClickHouseRefusedError):
        apply_migrations(client, [broken])

    assert apply_migrations(client, [whole]) == ["0001 two"]


def test_an_applied_migration_that_changed_is_refused(client: ClickHouse) -> None:
    apply_migrations(client, [FIRST])
    changed = Migration(1, "first", FIRST.text + "-- and more\n")

    with pytest.raises(ConfigurationError, match=r"0001 first is not the one.*new number"):
        apply_migrations(client, [changed])


def test_a_database_of_a_newer_version_is_refused(client: ClickHouse) -> None:
    apply_migrations(client, [FIRST, Migration(2, "later", FIRST.text)])

    with pytest.raises(ConfigurationError, match=r"0002 later, which this version"):
        apply_migrations(client, [FIRST])
