"""The packaged views: one a file, each with its columns told, in an order that can be made."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from msgspec import structs

from tocsin.agents.clickhouse.migrate import packaged_migrations
from tocsin.agents.clickhouse.views import VERSION, packaged_views, parse_view

GOLDEN = Path(__file__).parents[2] / "golden" / "views.json"
VIEWS = {view.name: view for view in packaged_views()}
TEXT = """-- What it is,
-- in two lines.

CREATE OR REPLACE VIEW v_it
(
    `a` Int32 COMMENT 'One, in days.',
    `b` Nullable(DateTime64(3, 'UTC')) COMMENT 'It''s another.'
)
AS
SELECT a, b FROM t;
"""


def test_each_view_has_a_file_that_is_called_as_it() -> None:
    found = {file.name for file in (files("tocsin.agents.clickhouse") / "views").iterdir()}

    assert {f"{name.removeprefix('v_')}.sql" for name in VIEWS} == found


def test_every_view_of_the_migrations_is_in_the_layer() -> None:
    made = [re.findall(r"REPLACE VIEW (\w+)", step.text) for step in packaged_migrations()]

    assert set(VIEWS) >= {name for names in made for name in names}


def test_a_view_comes_after_those_that_it_reads() -> None:
    seen: set[str] = set()
    for name, view in VIEWS.items():
        reads = set(re.findall(r"\bv_\w+", view.query))
        assert reads <= seen, name
        seen.add(name)


def test_each_view_and_each_of_its_columns_has_a_meaning() -> None:
    for view in VIEWS.values():
        assert view.columns, view.name
        assert all(
            text.endswith(".") for text in (view.meaning, *(c.meaning for c in view.columns))
        )


def test_who_changes_a_view_raises_the_version_of_the_layer() -> None:
    whole = "\n".join(f"{name} {VIEWS[name].checksum}" for name in sorted(VIEWS))
    digest = sha256(whole.encode()).hexdigest()

    told = json.loads(GOLDEN.read_text("utf-8"))

    assert told.get(str(VERSION)) == digest, (
        f"raise VERSION in agents/clickhouse/views.py and give it {digest} in {GOLDEN.name}"
    )
    assert max(map(int, told)) == VERSION


def test_a_view_is_made_with_its_comments_and_a_mark() -> None:
    view = parse_view(TEXT)

    assert view.statement(" [mark]") == (
        "CREATE OR REPLACE VIEW v_it\n"
        "(\n"
        "    `a` Int32 COMMENT 'One, in days.',\n"
        "    `b` Nullable(DateTime64(3, 'UTC')) COMMENT 'It''s another.'\n"
        ")\n"
        "AS\n"
        "SELECT a, b FROM t\n"
        "COMMENT 'What it is, in two lines. [mark]'"
    )


def test_any_change_of_a_view_gives_another_checksum() -> None:
    view = parse_view(TEXT)
    changed = [
        parse_view(TEXT.replace(old, new))
        for old, new in (("What", "That"), ("One", "Two"), ("Int32", "Int64"), ("b FROM", "2 FROM"))
    ]

    assert len({view.checksum, *(other.checksum for other in changed)}) == 5
    assert structs.replace(view).checksum == view.checksum


@pytest.mark.parametrize("text", ["SELECT 1;\n", TEXT.replace(" COMMENT 'One, in days.'", "")])
def test_a_file_of_another_form_is_no_view(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a view|a column is"):
        parse_view(text)
