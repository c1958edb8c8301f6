"""No value gets into the text of a statement for ClickHouse: values are parameters.

What cannot be one, a table's name or a setting's, is put in by expressions that are listed here one
by one; each takes its names from the code's own catalog, or is checked where it is used.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

AGENTS = Path(__file__).parents[2] / "agents"
STATEMENT = re.compile(
    r"\b(?:SELECT|INSERT INTO|ALTER TABLE|TRUNCATE|DROP|CREATE|EXISTS TABLE|DELETE|OPTIMIZE|WHERE"
    r"|ORDER BY|LIMIT|SETTINGS|MODIFY|SYSTEM|SET|USE|FROM [a-z_{]+)\b"
)
SETS_SETTINGS = re.compile(r"\bSETTINGS\s+\w+\s*=")
# Module: what it may put into statements. All are names of tables, numbers of topics and statements
# of the catalog; `embedded_chdb` checks a setting's name by a pattern and quotes all else itself;
# `days` are a number by then; `views` puts together what its packaged files say.
KNOWN = {
    "checking": {"topic.table"},
    "chdb_pool": {"name", "_quoted(value)", "_quoted(statement.database, '`')", "text"},
    "database": {"topic.table", "columns", "owner"},
    "history": {"topic.table"},
    "lookup": {
        "topic.table",
        "BY_ID[evidence.topic_id].table",
        "facts",
        "'v_open_warnings' if wanted.is_open else 'v_warning_history'",
        "sql.GRAVEST_FIRST if wanted.is_open else sql.NEWEST_FIRST",
    },
    "retention": {"topic.table", "days"},
    "rows": {"told", "topic.table"},  # columns of the history's tables
    "standstill": {"PROGRESS", "ids", "name", "forget"},
    "views": {"self.name", "shape", "self.query", "comment"},
}


def composed(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Texts of statements that are put together, and the expressions that are put in."""
    named = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_statement(node.value, set())
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                text = "".join(str(v.value) for v in values if isinstance(v, ast.Constant))
                if STATEMENT.search(text):
                    put_in = [v.value for v in values if isinstance(v, ast.FormattedValue)]
                    yield text, [ast.unparse(value) for value in put_in]
            case ast.Call(func=ast.Attribute(value=text, attr="format" | "format_map" | "replace")):
                if _is_statement(text, named):
                    put_in = [*node.args, *(keyword.value for keyword in node.keywords)]
                    yield ast.unparse(text), [ast.unparse(value) for value in put_in]
            case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
                others = [side for side in (left, right) if not _is_statement(side, named)]
                if len(others) < 2:
                    yield ast.unparse(node), [ast.unparse(side) for side in others]


def _is_statement(node: ast.AST | None, named: set[str]) -> bool:
    """Whether it is the text of one, the name of such a text, or one of `lookup_sql`."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes) and bool(STATEMENT.search(str(node.value)))
    told = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    return told in named or told.startswith("sql.")


def speaks_sql(source: str) -> bool:
    """Whether a module has to do with statements at all: others format texts as they like."""
    return "clickhouse" in source or "chdb" in source


def test_only_names_of_the_catalog_are_put_into_statements() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(AGENTS.rglob("*.py")):
        source = path.read_text("utf-8")
        if not speaks_sql(source):
            continue
        for _text, put_in in composed(ast.parse(source)):
            found[path.stem].update(put_in)

    assert {name: put_in for name, put_in in found.items() if put_in} == KNOWN, (
        "give values as parameters, {name:Type} in the text; what cannot be one is listed in KNOWN"
    )


def test_no_statement_that_reads_sets_a_setting() -> None:
    """A login that may only read (`readonly=1`) may not: the command would fail for its users."""
    setting = {
        path.stem for path in AGENTS.rglob("*.py") if SETS_SETTINGS.search(path.read_text("utf-8"))
    }

    assert setting == {"standstill"}, "it deletes rows; others ask, and set nothing"


def test_every_way_to_put_a_value_in_is_seen() -> None:
    ways = [
        "client.rows(f'SELECT a FROM t WHERE b = {value}')",
        "client.rows('SELECT a FROM t WHERE b = %s' % value)",
        "client.rows('SELECT a FROM t WHERE b = ' + value)",
        "client.rows('SELECT a FROM t WHERE b = {}'.format(value))",
        "client.rows(sql.EVENT_AT.replace('x', value))",
        "client.rows(sql.EVENT_AT + value)",
    ]

    for way in ways:
        put_in = [expression for _text, found in composed(ast.parse(way)) for expression in found]
        assert "value" in put_in, way
