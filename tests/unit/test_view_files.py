"""The packaged views: one a file, each with its columns told, in an order that can be made."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from tocsin.agents.migrate import packaged_migrations
from tocsin.agents.views import VERSION, packaged_views, parse_view

GOLDEN = Path(__file__).parents[1] / "golden" / "views.json"
VIEWS = {view.name: view for view in packaged_views()}
TEXT = """-- What it is,
-- in two lines.
--
-- a: One, in days.
-- b: It's another.

CREATE OR REPLACE VIEW v_it AS
SELECT a, b FROM t;
"""


def test_each_view_has_a_file_that_is_called_as_it() -> None:
    found = {file.name for file in files("tocsin.agents").iterdir()}

    assert {f"view_{name.removeprefix('v_')}.sql" for name in VIEWS} == {
        name for name in found if name.startswith("view_")
    }


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
        texts = [view.meaning, *view.columns.values()]
        assert all(text.endswith(".") for text in texts), view.name


def test_who_changes_a_view_raises_the_version_of_the_layer() -> None:
    whole = "\n".join(f"{name} {VIEWS[name].checksum}" for name in sorted(VIEWS))
    digest = sha256(whole.encode()).hexdigest()

    told = json.loads(GOLDEN.read_text("utf-8"))

    assert told.get(str(VERSION)) == digest, (
        f"raise VERSION in agents/views.py and give it {digest} in {GOLDEN.name}"
    )
    assert max(map(int, told)) == VERSION


def test_a_view_is_made_with_its_comments_and_a_mark() -> None:
    types = {"a": "Int32", "b": "Nullable(DateTime64(3, 'UTC'))"}

    assert parse_view(TEXT).statement(types, " [mark]") == (
        "CREATE OR REPLACE VIEW v_it (`a` Int32 COMMENT 'One, in days.', "
        "`b` Nullable(DateTime64(3, 'UTC')) COMMENT 'It''s another.') AS\n"
        "SELECT a, b FROM t\n"
        "COMMENT 'What it is, in two lines. [mark]'"
    )


def test_any_change_of_a_view_gives_another_checksum() -> None:
    changed = [
        parse_view(TEXT.replace(old, new)).checksum
        for old, new in (("What", "That"), ("One", "Two"), ("-- b:", "-- c:"), ("b FROM", "2 FROM"))
    ]

    assert len({parse_view(TEXT).checksum, *changed}) == 5


def test_a_file_of_another_form_is_no_view() -> None:
    with pytest.raises(ValueError, match="not a view"):
        parse_view(TEXT.replace("OR REPLACE ", ""))
