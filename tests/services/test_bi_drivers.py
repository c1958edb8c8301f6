"""BI tools at the embedded engine: by JDBC, by SQLAlchemy, by plain HTTP, each by its defaults."""

from __future__ import annotations

import struct
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import lz4.block
import pytest
from sqlalchemy import create_engine, inspect, text

from tests.services.java_programs import jdbc_program
from tocsin.agents.clickhouse.client import connect
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.clickhouse.views import packaged_views
from tocsin.agents.embedded.framing import city_hash_128
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine

DATABASE = "bi_drivers"
ASKED_WITH = {view.name for view in packaged_views() if view.parameters}
"""Views with parameters; the table of a function each, which no scan can read without them."""
PLAIN = {"v_aging_on": "v_aging", "v_cei_over": "v_cei", "v_dso_between": "v_dso",
         "v_dso_parts_over": "v_dso_parts"}  # fmt: skip


@pytest.fixture(scope="module")
def history(engine: EmbeddedEngine) -> EmbeddedEngine:
    """An engine with all tables and views, in a database that no driver names as its own."""
    first = connect(engine.url, user=WRITER, password=engine.token)
    first.command(f"CREATE DATABASE {DATABASE}")
    first.close()
    client = connect(f"{engine.url}/{DATABASE}", user=WRITER, password=engine.token)
    migrate(client)
    client.close()
    return engine


def test_the_official_jdbc_driver_works_with_its_defaults(
    history: EmbeddedEngine, jars: list[Path]
) -> None:
    address = f"jdbc:clickhouse://{urlsplit(history.url).netloc}"
    argv = [*jdbc_program(jars), address, DATABASE]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split("\t") for line in done.stdout.splitlines()]
    found = {what: value for what, value in told if what != "refused"}
    for what in ("valid", "types", "schemas", "kinds", "keys", "functions"):
        assert found[what] == "true", what
    assert found["product"] == "ClickHouse"
    assert found["columns"] == "7"
    assert (found["rows"], found["none"], found["bound"]) == ("300000", "0", "it's 42")
    assert {name for what, name in told if what == "refused"} == ASKED_WITH == set(PLAIN)


def test_sqlalchemy_sees_every_table_and_reads_every_view(history: EmbeddedEngine) -> None:
    engine = create_engine(f"clickhousedb://{urlsplit(history.url).netloc}/{DATABASE}")
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        columns = inspect(connection).get_columns("v_aging")
        for name in set(names) - ASKED_WITH:
            connection.execute(text(f"SELECT * FROM {name} LIMIT 1")).fetchall()
        (number,) = connection.execute(text("SELECT count() FROM numbers(1000)")).fetchone() or ()
    engine.dispose()

    assert set(PLAIN.values()) <= set(names)
    assert [column["name"] for column in columns][:3] == ["as_of", "currency", "segment"]
    assert number == 1000


def test_plain_http_gets_blocks_where_it_asks_for_them(history: EmbeddedEngine) -> None:
    query = "SELECT number FROM numbers(500000) FORMAT TabSeparated"
    plain = b"".join(b"%d\n" % number for number in range(500_000))

    assert asked(history, query=query) == plain
    assert unframed(asked(history, query=query, compress="1")) == plain
    databases = asked(history, query="SHOW DATABASES", compress="1")
    assert DATABASE.encode() in unframed(databases).splitlines()
    assert asked(history, query="SELECT 1 FORMAT Null", compress="1") == b""


def asked(engine: EmbeddedEngine, **parameters: str) -> bytes:
    request = urllib.request.Request(f"{engine.url}/?{urlencode(parameters)}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def unframed(data: bytes) -> bytes:
    """Undo ClickHouse's compressed blocks."""
    parts = []
    while data:
        checksum, (method, packed, size) = data[:16], struct.unpack_from("<BII", data, 16)
        block = data[16 : 16 + packed]
        assert method == 0x82
        assert checksum == struct.pack("<QQ", *city_hash_128(block))
        parts.append(lz4.block.decompress(block[9:], uncompressed_size=size))
        data = data[16 + packed :]
    return b"".join(parts)
