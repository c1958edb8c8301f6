"""The ClickHouse endpoint over chDB, spoken to by clickhouse-connect's ordinary HTTP client."""

from __future__ import annotations

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import pytest

from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.settings.data_folder import Files
from tocsin.agents.settings.errors import ClickHouseRefusedError, UnavailableError
from tocsin.agents.settings.exits import Exit

ROWS = 300_000  # more than the client puts into one Native block
READONLY = 164
COLUMNS = "a UInt64, b String, c Nullable(Int32), d DateTime64(3, 'UTC')"


@pytest.fixture
def writer(engine: EmbeddedEngine) -> Iterator[ClickHouse]:
    """The sink's connection, with an empty table `embedded.t`."""
    client = connect(engine.url, user=WRITER, password=engine.token)
    client.command("CREATE DATABASE IF NOT EXISTS embedded")
    client.command("DROP TABLE IF EXISTS embedded.t SYNC")
    client.command(f"CREATE TABLE embedded.t ({COLUMNS}) ENGINE = ReplacingMergeTree ORDER BY a")
    yield client
    client.close()


@pytest.fixture
def reader(engine: EmbeddedEngine, writer: ClickHouse) -> Iterator[ClickHouse]:
    """A connection without the token."""
    client = connect(f"{engine.url}/embedded")
    yield client
    client.close()


def post(engine: EmbeddedEngine, body: bytes, **parameters: str) -> tuple[int, str, dict[str, str]]:
    """One raw request as the writer: status, text, headers."""
    request = urllib.request.Request(f"{engine.url}/?{urlencode(parameters)}", data=body)
    request.add_header("X-ClickHouse-User", WRITER)
    request.add_header("X-ClickHouse-Key", engine.token)
    return send(request)


def send(request: urllib.request.Request) -> tuple[int, str, dict[str, str]]:
    """Send a raw request: status, text, headers."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def test_every_row_of_a_large_insert_arrives(writer: ClickHouse) -> None:
    numbers = range(ROWS)
    columns = [numbers, [f"v{n}" for n in numbers], [None] * ROWS, [0] * ROWS]

    writer.insert("embedded.t", columns, ["a", "b", "c", "d"])

    assert writer.rows("SELECT count(), sum(a), uniqExact(b) FROM embedded.t") == [
        (ROWS, sum(numbers), ROWS)
    ]
    blocks = list(writer.stream("SELECT a FROM embedded.t"))
    assert sum(len(block) for block in blocks) == ROWS
    assert len(blocks) > 1


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_the_ordinary_client_inserts_with_each_compression(
    engine: EmbeddedEngine, writer: ClickHouse, compress: str | bool
) -> None:
    url = urlsplit(engine.url)
    client = clickhouse_connect.get_client(
        host=url.hostname,
        port=url.port,
        username=WRITER,
        password=engine.token,
        compress=compress,
    )
    rows = [(n, f"ü{n}", n, 0) for n in range(1000)]

    summary = client.insert("embedded.t", rows, column_names=["a", "b", "c", "d"])
    client.raw_insert("embedded.t", ["a", "b"], b'1000,"x"\n', fmt="CSV")

    assert summary.written_rows == 1000
    assert client.query("SELECT count(), max(a) FROM embedded.t").result_rows == [(1001, 1000)]
    assert b'"x"' in client.raw_query("SELECT b FROM embedded.t WHERE a = 1000", fmt="JSON")
    client.close()


def test_values_are_bound_by_the_engine_and_come_back_as_they_were(writer: ClickHouse) -> None:
    text = "tab\t quote' backslash\\ 客户 \n"
    writer.insert("embedded.t", [[1], [text], [None], [0]], ["a", "b", "c", "d"])

    found = writer.query("SELECT a, c FROM embedded.t WHERE b = {text:String}", {"text": text})

    assert found.columns == ("a", "c")
    assert found.rows == [(1, None)]


def test_an_empty_result_has_its_columns(reader: ClickHouse) -> None:
    assert reader.query("SELECT a, b FROM t WHERE a = 0").columns == ("a", "b")
    assert reader.query("SELECT a AS `x'y` FROM t WHERE 0 ORDER BY a").columns == ("x'y",)
    assert reader.query("SELECT a FROM t LIMIT 0").columns == ("a",)


def test_the_calls_mean_the_same_in_this_process(tmp_path: Path, engine: EmbeddedEngine) -> None:
    """chDB in process runs in a process of its own here: a process can open one path only."""
    code = (
        "import sys; from tocsin.agents.clickhouse.client import connect\n"
        "url, user, password = sys.argv[1:]\n"
        "client = connect(url, user=user, password=password)\n"
        "for sql in ('CREATE DATABASE same', 'CREATE TABLE same.t (a UInt8, b String)"
        " ENGINE = MergeTree ORDER BY a'): print(client.command(sql))\n"
        "client.insert('same.t', [[1, 2], ['x', 'y']], ['a', 'b'])\n"
        "print(client.query('SELECT * FROM same.t WHERE a > {n:UInt8}', {'n': 1}))\n"
        "print(list(client.stream('SELECT b FROM same.t ORDER BY a')))\n"
        "print(client.command('SELECT count() FROM same.t'), client.ping(), client.version)\n"
        "client.command('DROP DATABASE same')\n"
        "try: client.query('SELECT nothing')\n"
        "except Exception as error: print(type(error).__name__, error.code)\n"
        "client.close()\n"
    )
    urls = (f"chdb://{tmp_path}/in-process", engine.url)
    told = [
        subprocess.run(
            [sys.executable, "-c", code, url, WRITER, engine.token],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for url in urls
    ]

    assert told[0] == told[1]
    assert "Rows(columns=('a', 'b'), rows=[(2, 'y')])" in told[0]
    assert "ClickHouseRefusedError 47" in told[0]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO t SETTINGS readonly = 0 VALUES (1, '', 1, 0)",
        "CREATE TABLE u (a UInt8) ENGINE = Memory",
        "DROP TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "OPTIMIZE TABLE t FINAL",
        "SYSTEM FLUSH LOGS",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "INSERT INTO FUNCTION file('stolen.csv') SELECT 1",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT `f\\x69le`('/etc/passwd')",
        "SELECT 1 INTO OUTFILE 'stolen.txt'",
        "SELECT 1 INTO /* */ OUTFILE 'stolen.txt'",
        "SELECT * FROM Python('data')",
        "SELECT * FROM `pyth\\x6fn`('data')",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM EVAL ('SELECT 1')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM executable('ls', 'TSV', 'a String')",
        "/* */ KILL QUERY WHERE 1",
    ],
)
def test_who_does_not_show_the_token_only_reads(reader: ClickHouse, statement: str) -> None:
    with pytest.raises(ClickHouseRefusedError) as caught:
        reader.command(statement)

    assert caught.value.code == READONLY
    assert reader.rows("SELECT count() FROM t") == [(0,)]


def test_a_reader_cannot_hide_a_statement_behind_another(reader: ClickHouse) -> None:
    with pytest.raises(ClickHouseRefusedError, match="Multi-statements are not allowed"):
        reader.command("SELECT 1; DROP TABLE t")

    assert reader.rows("EXISTS TABLE t") == [(1,)]


def test_a_writer_may_ask_to_be_held_to_reading(engine: EmbeddedEngine, writer: ClickHouse) -> None:
    status, text, headers = post(engine, b"DROP TABLE embedded.t", readonly="2")

    assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, str(READONLY))
    assert "READONLY" in text


def test_get_reads_even_with_the_token(engine: EmbeddedEngine, writer: ClickHouse) -> None:
    query = urlencode({"query": "DROP TABLE embedded.t", "user": WRITER, "password": engine.token})

    status, text, _headers = send(urllib.request.Request(f"{engine.url}/?{query}"))

    assert status == 403
    assert "READONLY" in text


def test_a_wrong_token_is_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(ClickHouseRefusedError, match="Authentication failed") as caught:
        connect(engine.url, user=WRITER, password="guess")

    assert caught.value.code == 516


def test_a_request_under_a_foreign_name_is_refused(engine: EmbeddedEngine) -> None:
    request = urllib.request.Request(f"{engine.url}/?query=SELECT+1")
    request.add_header("Host", "rebound.example:80")

    assert send(request)[0] == 403


@pytest.mark.parametrize(
    "name", ["dialect", "allow_experimental_eval_table_function", "allow_ddl", "no such"]
)
def test_a_reader_sets_only_what_cannot_undo_the_checks(engine: EmbeddedEngine, name: str) -> None:
    assert post(engine, b"SELECT 1", readonly="1", max_threads="1")[0] == 200
    assert post(engine, b"SELECT 1", readonly="1", **{name: "1"})[0] in (403, 404)


def test_who_only_reads_sends_no_more_than_statements(
    engine: EmbeddedEngine, writer: ClickHouse
) -> None:
    long = b"SELECT 1 -- " + bytes(17 << 20)

    for body, encoding in ((long, "identity"), (gzip.compress(long), "gzip")):
        request = urllib.request.Request(engine.url, data=body)
        request.add_header("Content-Encoding", encoding)
        try:
            status, text, _headers = send(request)
        except urllib.error.URLError:  # refused while it was still sending
            continue
        assert status in (400, 413, 500), text
        assert "TOO_MANY_BYTES" in text or "CANNOT_DECOMPRESS" in text
    assert writer.rows("SELECT 1") == [(1,)]


def test_who_sends_slowly_or_not_to_the_end_holds_nobody_up(
    engine: EmbeddedEngine, reader: ClickHouse
) -> None:
    place = urlsplit(engine.url)
    slow = [socket.create_connection((place.hostname, place.port)) for _ in range(40)]
    for connection in slow:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: 99\r\n\r\nSEL")

    assert reader.rows("SELECT count() FROM t") == [(0,)]
    for connection in slow:
        connection.close()
    assert reader.rows("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/play", "//ping/.."]
)
def test_no_path_leads_to_a_file(engine: EmbeddedEngine, path: str) -> None:
    assert send(urllib.request.Request(engine.url + path))[0] == 404


@pytest.mark.parametrize("name", ["x` y", "x\\` y", "embedded`; DROP TABLE embedded.t; --"])
def test_a_name_in_a_request_is_a_name_and_no_statement(
    engine: EmbeddedEngine, writer: ClickHouse, name: str
) -> None:
    status, text, _headers = post(engine, b"SELECT 1", database=name)

    assert (status, "UNKNOWN_DATABASE" in text) == (404, True), text
    assert writer.rows("EXISTS TABLE embedded.t") == [(1,)]


def test_parameters_may_be_long(reader: ClickHouse) -> None:
    names = [f"customer-{n}" for n in range(20_000)]

    assert reader.rows("SELECT length({names:Array(String)})", {"names": names}) == [(20_000,)]


def test_settings_of_a_request_end_with_it(engine: EmbeddedEngine) -> None:
    ask = b"SELECT getSetting('max_threads')"

    assert post(engine, ask, max_threads="3")[1] == "3\n"
    assert post(engine, ask)[1] != "3\n"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"SELECT nothing", 404, 47),
        (b"SELECT * FROM embedded.nothing", 404, 60),
        (b"SELEC", 400, 62),
        (b"\xff\xfe", 400, 62),
    ],
)
def test_an_error_is_told_as_clickhouse_tells_it(
    engine: EmbeddedEngine, writer: ClickHouse, body: bytes, status: int, code: int
) -> None:
    answered, text, headers = post(engine, body)

    assert (answered, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert text.startswith(f"Code: {code}. DB::Exception")


def test_formats_are_chosen_as_with_clickhouse(engine: EmbeddedEngine) -> None:
    assert post(engine, b"SELECT 1 AS x")[1] == "1\n"
    assert post(engine, b"SELECT 1 AS x", default_format="JSONEachRow")[1] == '{"x":1}\n'
    assert post(engine, b"SELECT 1 AS x FORMAT CSVWithNames")[1] == '"x"\n1\n'
    assert post(engine, b"1", query="SELECT 1 +")[1] == "2\n"


def test_a_long_query_does_not_hold_up_others(reader: ClickHouse, engine: EmbeddedEngine) -> None:
    other = connect(engine.url)
    is_running = threading.Event()
    ends = list[float]()

    def long() -> None:
        is_running.set()
        other.query("SELECT sleep(2)")
        ends.append(time.monotonic())

    thread = threading.Thread(target=long)
    thread.start()
    is_running.wait()
    for _ in range(5):
        reader.query("SELECT 1")
    done = time.monotonic()
    thread.join()

    assert done < ends[0]
    other.close()


def test_a_stop_cancels_what_runs_too_long(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Files(tmp_path))
    asyncio.run(engine.start())
    client, other = connect(engine.url), connect(engine.url)
    refusals = list[Exception]()

    def ask_for_hours() -> None:
        try:
            client.query("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7")
        except UnavailableError as error:
            refusals.append(error)

    thread = threading.Thread(target=ask_for_hours)
    thread.start()
    # The statement that asks counts too.
    while other.rows("SELECT count() FROM system.processes") == [(1,)]:
        assert thread.is_alive()
    asyncio.run(engine.stop())
    thread.join(30)

    assert engine.returncode == Exit.OK
    assert "cancelled" in str(refusals[0])
    client.close()
    other.close()


def test_a_second_process_on_the_data_is_refused_in_clear_words(tmp_path: Path) -> None:
    first = EmbeddedEngine(Files(tmp_path))
    asyncio.run(first.start())
    argv = [*first.program().argv[:3], f"--data={tmp_path / 'clickhouse'}", "--port=0"]

    second = subprocess.run(
        [*argv, f"--token-file={tmp_path / 'engine.token'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    asyncio.run(first.stop())
    assert second.returncode == Exit.UNAVAILABLE
    assert "only one process may have it" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_acknowledged_insert_survives_kills_amid_inserts(tmp_path: Path) -> None:
    """Four kills (-9) while blocks are written: whole blocks only, nothing acknowledged lost."""
    engine = EmbeddedEngine(Files(tmp_path))
    block = 20_000
    acknowledged = 0
    for start in range(4):
        asyncio.run(engine.start())
        client = connect(engine.url, user=WRITER, password=engine.token)
        if start == 0:
            client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        killer = threading.Timer(0.6, engine.kill)
        killer.start()
        try:
            while True:
                first = acknowledged * block
                columns = [range(first, first + block), ["text"] * block]
                client.insert("t", columns, ["a", "b"])
                acknowledged += 1
        except UnavailableError:
            killer.join()
        client.close()

    asyncio.run(engine.start())
    client = connect(engine.url, user=WRITER, password=engine.token)
    counts = client.rows("SELECT intDiv(a, 20000) AS n, uniqExact(a) FROM t GROUP BY n ORDER BY n")
    client.close()
    asyncio.run(engine.stop())
    assert acknowledged > 0
    assert [n for n, _ in counts[:acknowledged]] == list(range(acknowledged))
    assert {count for _, count in counts} == {block}
