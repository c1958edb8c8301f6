"""The packaged migrations, what is a statement in them, and that none changes any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tocsin.agents.clickhouse.migrate import Migration, packaged_migrations, require_release
from tocsin.agents.settings.errors import ConfigurationError

GOLDEN = Path(__file__).parents[2] / "golden" / "migrations.json"
LAST_WITH_VIEWS = 20
"""Later ones leave views to their layer, `agents/clickhouse/views.py`."""


def test_a_migration_that_came_out_once_is_still_the_same() -> None:
    found = {f"{one.number:04} {one.name}": one.checksum for one in packaged_migrations()}

    assert found == json.loads(GOLDEN.read_text("utf-8")), "add the new one; change none"


def test_packaged_migrations_are_numbered_without_gaps() -> None:
    found = [migration.number for migration in packaged_migrations()]

    assert found == list(range(1, len(found) + 1))
    assert found


def test_every_statement_may_be_run_again() -> None:
    for migration in packaged_migrations():
        begins = ["CREATE TABLE IF NOT EXISTS", "ALTER TABLE"]
        begins += ["CREATE OR REPLACE VIEW"] if migration.number <= LAST_WITH_VIEWS else []
        for statement in migration.statements:
            words = statement.split()
            changes = statement.count("COLUMN") - statement.count("COLUMN IF NOT EXISTS")
            changes -= statement.count("RENAME COLUMN IF EXISTS")
            changes -= statement.count("COMMENT COLUMN")
            changes -= statement.count("MODIFY COLUMN")  # to a type, which it may have already
            assert statement.startswith(tuple(begins))
            assert words[0] != "ALTER" or (words[3] in ("ADD", "RENAME", "MODIFY") and changes == 0)


def test_comments_and_blank_statements_are_left_out() -> None:
    migration = Migration(1, "m", "-- one; two\nSELECT 1;\n\n-- three\nSELECT\n  ';' AS x;\n;\n")

    assert migration.statements == ["SELECT 1", "SELECT\n  ';' AS x"]


@pytest.mark.parametrize("version", ["25.8.1.1", "26.3.1.896", "26.9.2.1"])
def test_a_server_that_takes_every_view_is_new_enough(version: str) -> None:
    require_release(version)


def test_an_older_server_is_refused_with_the_least_that_is_needed() -> None:
    with pytest.raises(
        ConfigurationError, match=r"ClickHouse 25\.5\.2\.47 .* needs 25\.8 or newer"
    ):
        require_release("25.5.2.47")
