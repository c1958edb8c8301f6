"""Views on a real engine: a database of before the layer, other versions, two at once, rights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.clickhouse.migrate import apply_migrations, migrate, packaged_migrations
from tocsin.agents.clickhouse.views import VERSION, compare_views, packaged_views, replace_views
from tocsin.agents.commands.cli import run_command
from tocsin.agents.docs import data_dictionary
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.settings.errors import ClickHouseRefusedError
from tocsin.agents.settings.exits import Exit

ROOT = Path(__file__).parents[2]
BEFORE = 20
READ_EVERY_S = 0.2
"""The last migration of the versions that had no layer of views."""
VIEWS = packaged_views()
COLUMNS = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() AND table LIKE 'v!_%' ESCAPE '!' ORDER BY table, position
"""
WHOLE = """
SELECT name, replaceAll(create_table_query, currentDatabase(), 'db') FROM system.tables
WHERE database = currentDatabase() AND engine = 'View' ORDER BY name
"""
SILENT = """
SELECT name, '' FROM system.tables WHERE database = currentDatabase() AND comment = ''
UNION ALL
SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''
"""
ASKED = {
    "v_aging_on": "v_aging_on(as_of='2025-06-30')",
    "v_dso_between": "v_dso_between(first='2025-01-01', last='2025-06-30')",
    "v_cei_over": "v_cei_over(days=90)",
    "v_dso_parts_over": "v_dso_parts_over(days=90)",
}
"""How views with parameters are asked."""
MENDED = {"v_aging_on", "v_at_risk", "v_dso_count_back"}
"""Views whose figures were wrong: the balance of a day, 90 days after it, a month without sales."""
_numbers = count()


@pytest.fixture
def database(engine: EmbeddedEngine) -> str:
    """The address of an empty database of its own."""
    name = f"layer{next(_numbers)}"
    first = connect(engine.url, user=WRITER, password=engine.token)
    first.command(f"CREATE DATABASE {name}")
    first.close()
    return f"{engine.url}/{name}"


@pytest.fixture
def client(engine: EmbeddedEngine, database: str) -> Iterator[ClickHouse]:
    found = connect(database, user=WRITER, password=engine.token)
    yield found
    found.close()


def of_before(client: ClickHouse) -> None:
    """Make of it what the versions before the layer made."""
    apply_migrations(client, packaged_migrations()[:BEFORE])


def facts() -> dict[str, list[dict[str, Any]]]:
    """A little of everything that views tell of, by table."""
    money = {"customer_id": "C1", "amount_minor": 90000, "currency": "EUR"}
    at = {"occurred_at": "2025-03-10 12:00:00", "author": "Ann", "customer_id": "C1"}
    step = {
        "customer_id": "C1", "rule": "overdue-amount", "severity": "HIGH", "transition": "RAISED",
        "episode_id": "e1", "as_of": "2025-05-01", "policy_name": "default", "policy_version": 1,
    }  # fmt: skip
    case = {**money, "since": "2025-05-02", "opened_on": "2025-04-01", "author": "Ann"}
    return {
        "invoices": [
            {**money, "event_type": "InvoiceIssued", "invoice_id": number, "due_date": due,
             "occurred_at": f"{due} 08:00:00", "cost_minor": 50000}
            for number, due in (("I1", "2025-02-10"), ("I2", "2025-03-10"), ("I3", "2025-05-20"))
        ] + [
            {**money, "event_type": "CreditNoteIssued", "credit_note_id": "N1", "invoice_id": "I1",
             "amount_minor": 10000, "occurred_at": "2025-03-01 08:00:00", "reason": "PRICE"},
        ],
        "payments": [
            {**money, "event_type": "PaymentReceived", "payment_id": "P1",
             "occurred_at": "2025-03-05 08:00:00", "amount_minor": 60000},
        ],
        "complaints": [
            {"customer_id": "C1", "event_type": "ComplaintOpened", "complaint_id": "K1",
             "kind": "QUALITY", "occurred_at": "2025-04-05 08:00:00"},
        ],
        "engagements": [
            {**at, "event_type": "DisputeOpened", "dispute_id": "D1", "invoice_id": "I2",
             "amount_minor": 5000, "currency": "EUR", "reason": "PRICE"},
            {**at, "event_type": "SilenceBegan", "silence_id": "S1", "expires_on": "2025-05-01"},
            {**at, "event_type": "VerdictGiven", "episode_id": "e1", "verdict": "TRUE_ALARM"},
            {**at, "event_type": "PlanAgreed", "plan_id": "L1",
             "instalments.due_date": ["2025-07-01"], "instalments.amount_minor": [90000]},
        ],
        "customers": [{**at, "event_type": "CustomerUpdated", "name": "Acme", "segment": "SME"}],
        "policies": [{"name": "default", "version": 1, "document": "{}"}],
        "warnings": [step, {**step, "episode_id": "e2"},
                     {**step, "episode_id": "e2", "transition": "CLEARED"}],
        "dead_letters": [{"refused_topic_id": 3, "refused_offset": 99, "code": "SCHEMA_UNKNOWN"}],
        "journal": [{"business_date": "2025-06-30", "output_count": 4, "ranges.topic_id": [3],
                     "ranges.first": [0], "ranges.next": [4], "ranges.count": [4]}],
        "standings": [
            {"customer_id": "C1", "segment": "SME", "owner": "Ann", "group_id": "G1",
             "credit_limit_minor": 100000, "credit_limit_currency": "EUR",
             "accounts.currency": ["EUR"], "accounts.open_minor": [200000],
             "accounts.unapplied_minor": [1000], "accounts.disputed_minor": [0],
             "accounts.ordered_minor": [0], "accounts.delivered_minor": [0],
             "due.currency": ["EUR", "EUR"], "due.day": ["2025-03-10", "2025-05-20"],
             "due.open_minor": [90000, 90000], "due.items": [1, 1],
             "past_due_since": "2025-03-11", "step": "CALL", "step_due_on": "2025-06-01"},
        ],
        "cases": [
            {**case, "process": "promise", "case_id": "Q1", "state": "KEPT", "kept_minor": 90000},
            {**case, "process": "plan", "case_id": "L1", "state": "OPEN", "due_on": "2025-07-01"},
        ],
    }  # fmt: skip


def fill(client: ClickHouse) -> None:
    for table, rows in facts().items():
        lines = [json.dumps({"is_decoded": True, "offset": n} | row) for n, row in enumerate(rows)]
        if table in ("standings", "cases"):
            lines = [json.dumps(row) for row in rows]
        client.command(f"INSERT INTO {table} FORMAT JSONEachRow\n" + "\n".join(lines))


def columns_of(client: ClickHouse) -> dict[str, str]:
    """Each view's columns, as a list to select. A view may get more, but keeps those it had."""
    found = {}
    for name, _ in client.rows(WHOLE):
        told = client.rows(f"DESCRIBE (SELECT * FROM {ASKED.get(name, name)})")
        found[name] = ", ".join(f"`{column[0]}`" for column in told)
    return found


def answers(client: ClickHouse, columns: Mapping[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """What these columns of views answer."""
    return {
        name: client.rows(f"SELECT {chosen} FROM {ASKED.get(name, name)} ORDER BY ALL")
        for name, chosen in columns.items()
    }


def test_a_database_of_before_the_layer_answers_as_it_did(client: ClickHouse) -> None:
    of_before(client)
    fill(client)
    columns, chosen = client.rows(COLUMNS), columns_of(client)
    before = answers(client, chosen)
    assert [name for name, rows in before.items() if not rows] == []

    done = migrate(client)

    assert [name for name in done if name.startswith("view ")] == [f"view {v.name}" for v in VIEWS]
    after = answers(client, chosen)
    assert after.keys() == before.keys()
    assert {name for name, rows in after.items() if rows != before[name]} <= MENDED
    assert set(client.rows(COLUMNS)) >= set(columns), "no column has another type"


def test_a_new_database_and_one_that_was_upgraded_have_the_same_views(
    client: ClickHouse, engine: EmbeddedEngine
) -> None:
    of_before(client)
    migrate(client)
    client.command("CREATE DATABASE afresh")
    fresh = connect(f"{engine.url}/afresh", user=WRITER, password=engine.token)
    migrate(fresh)

    assert client.rows(WHOLE) == fresh.rows(WHOLE)
    fresh.close()


def test_no_table_no_view_and_no_column_is_without_a_comment(client: ClickHouse) -> None:
    migrate(client)

    assert client.rows(SILENT) == []


def test_the_data_dictionary_is_that_of_the_database(client: ClickHouse) -> None:
    migrate(client)

    told = (ROOT / data_dictionary.FILE).read_text("utf-8")
    assert told == data_dictionary.render(client), "run make docs"


def test_what_is_as_it_should_be_is_not_made_again(client: ClickHouse) -> None:
    assert set(migrate(client)) > {f"view {view.name}" for view in VIEWS}

    assert migrate(client) == []
    assert compare_views(client).stale == ()


def test_only_what_changed_is_made_anew_and_what_is_gone(client: ClickHouse) -> None:
    migrate(client)
    client.command("DROP VIEW v_precision")
    changed = [
        structs.replace(view, meaning="Otherwise.") if view.name == "v_due" else view
        for view in VIEWS
    ]

    assert replace_views(client, changed, VERSION + 1) == ["v_due", "v_precision"]
    assert replace_views(client, changed, VERSION + 1) == []


def test_an_older_program_leaves_the_views_of_a_newer_one(client: ClickHouse) -> None:
    migrate(client)
    newer = [structs.replace(view, meaning="Newer.") for view in VIEWS[:3]]
    replace_views(client, newer, VERSION + 1)
    client.command("DROP VIEW v_precision")
    before = client.rows(WHOLE)

    assert migrate(client) == []

    assert client.rows(WHOLE) == before
    found = compare_views(client)
    assert (found.is_newer, found.newest, found.stale) == (True, VERSION + 1, ())


def test_a_replacement_that_was_cut_short_goes_on_where_it_was(client: ClickHouse) -> None:
    of_before(client)
    apply_migrations(client, packaged_migrations())
    replace_views(client, VIEWS[:7])

    assert migrate(client) == [f"view {view.name}" for view in VIEWS[7:]]


def test_two_programs_may_migrate_at_once_while_others_read(
    database: str, engine: EmbeddedEngine
) -> None:
    first, second, reader = (
        connect(database, user=WRITER, password=engine.token) for _ in range(3)
    )
    of_before(first)
    fill(first)
    open_warnings = f"SELECT {columns_of(reader)['v_open_warnings']} FROM v_open_warnings"
    expected = reader.rows(open_warnings)

    with ThreadPoolExecutor() as threads:
        done = [threads.submit(migrate, client) for client in (first, second)]
        while wait(done, READ_EVERY_S).not_done:
            assert reader.rows(open_warnings) == expected
        for one in done:
            one.result()

    assert compare_views(reader).stale == ()
    assert migrate(first) == []
    for client in (first, second, reader):
        client.close()


def test_who_may_not_make_views_is_told_and_may_still_use_what_is_there(
    client: ClickHouse, database: str
) -> None:
    migrate(client)
    reader = connect(database)
    assert replace_views(reader) == []
    client.command("DROP VIEW v_precision")

    with pytest.raises(ClickHouseRefusedError, match=r"v_precision: .*readonly.*; let the login"):
        replace_views(reader)
    reader.close()


def test_the_command_names_the_views_that_it_made_and_tells_of_newer_ones(
    client: ClickHouse,
    database: str,
    engine: EmbeddedEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOCSIN_CLICKHOUSE_PASSWORD", engine.token)
    command = ["migrate", "--set", f"clickhouse_user={WRITER}", "--clickhouse-url", database]
    migrate(client)
    client.command("DROP VIEW v_precision")

    assert run_command(command) == Exit.OK
    assert "applied view v_precision\n" in capsys.readouterr().out

    replace_views(client, [structs.replace(VIEWS[0], meaning="Newer.")], VERSION + 1)
    assert run_command(command) == Exit.OK
    assert "the views are those of a newer tocsin" in capsys.readouterr().out
