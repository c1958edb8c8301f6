"""The packaged migrations and what is a statement in them."""

from __future__ import annotations

from tocsin.agents.migrate import Migration, packaged_migrations


def test_packaged_migrations_are_numbered_without_gaps() -> None:
    found = [migration.number for migration in packaged_migrations()]

    assert found == list(range(1, len(found) + 1))
    assert found


def test_every_statement_may_be_run_again() -> None:
    for migration in packaged_migrations():
        for statement in migration.statements:
            words = statement.split()
            changes = statement.count("COLUMN") - statement.count("COLUMN IF NOT EXISTS")
            changes -= statement.count("RENAME COLUMN IF EXISTS")
            assert statement.startswith(
                ("CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE VIEW", "ALTER TABLE")
            )
            assert words[0] != "ALTER" or (words[3] in ("ADD", "RENAME") and changes == 0)


def test_comments_and_blank_statements_are_left_out() -> None:
    migration = Migration(1, "m", "-- one; two\nSELECT 1;\n\n-- three\nSELECT\n  ';' AS x;\n;\n")

    assert migration.statements == ["SELECT 1", "SELECT\n  ';' AS x"]
