"""The one way to ClickHouse: the same calls on the embedded engine, a server and a cluster.

`chdb:///path` opens chDB in this process, `http(s)://host:port/database` speaks to a server or to
the embedded engine's endpoint. clickhouse-connect's errors become ours: UnavailableError when
trying again may help, ClickHouseRefusedError when the answer was no.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    InterfaceError,
    OperationalError,
    StreamFailureError,
)
from clickhouse_connect.driver.summary import QuerySummary

from tocsin.agents.settings.errors import (
    ClickHouseLoginError,
    ClickHouseRefusedError,
    ConfigurationError,
    InputError,
    UnavailableError,
)

CONNECT_WITHIN_S: Final = 10
ANSWER_WITHIN_S: Final = 600
PORTS: Final = {"http": 8123, "https": 8443}
MESSAGE_CHARACTERS_MAX: Final = 1000
PART_BYTES: Final = 1 << 20
LOCK_WITHIN_S: Final = 5
LOCK_ATTEMPTS: Final = 12
LOCKED: Final = ("lock_acquire_timeout", "DEADLOCK_AVOIDED")
"""What ClickHouse says of a lock that it could not get in time."""

# Defaults differ between versions; an insert means the same on all.
INSERT_SETTINGS: Final[Mapping[str, Any]] = {
    "async_insert": 0,  # acknowledged only when written
    "wait_end_of_query": 1,
    "insert_deduplicate": 1,
    "max_partitions_per_insert_block": 0,  # a back-fill reaches over years of months
}
LOGIN_CODES: Final = frozenset({192, 193, 194, 516})
DISTRUSTED: Final = re.compile(r"certificate verify failed: (.+?)\.? \(_ssl")
# Codes of ClickHouse that say "not now" rather than "no".
BUSY_CODES: Final = frozenset({159, 202, 209, 210, 241, 242, 243, 252, 319, 394, 999})


@dataclass(frozen=True, slots=True)
class Rows:
    """A query's answer: column names, and the rows as tuples."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class ClickHouse:
    """A connection. Blocking; one call at a time (use `asyncio.to_thread` in a loop)."""

    def __init__(self, client: Client, where: str) -> None:
        self._client = client
        self._where = where

    def __repr__(self) -> str:
        return f"ClickHouse({self._where!r})"

    @property
    def version(self) -> str:
        """The server's version."""
        return str(self._client.server_version)

    def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> str | int | Sequence[str] | None:
        """Run a statement; returns the single row of its result, None if it has no result."""
        with self._translated():
            result = self._client.command(
                sql, parameters=_parameters(parameters), settings=dict(settings or {})
            )
            return None if isinstance(result, QuerySummary) else result

    def alter(self, sql: str) -> None:
        """Run a statement that changes tables, which another program may do as well.

        Two of them can wait for a lock that the other one holds, until one gives up: here after
        `LOCK_WITHIN_S`, to try again. Raises as `command` does.
        """
        settings = {"lock_acquire_timeout": LOCK_WITHIN_S}
        for left in reversed(range(LOCK_ATTEMPTS)):
            try:
                self.command(sql, settings=settings)
                return
            except (UnavailableError, ClickHouseRefusedError) as error:
                if not left or not any(word in str(error) for word in LOCKED):
                    raise

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Ask; `{name:Type}` in the text is bound by the server to a parameter."""
        with self._translated():
            result = self._client.query(sql, parameters=_parameters(parameters))
            return Rows(tuple(result.column_names), [tuple(row) for row in result.result_rows])

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.query(sql, parameters).rows

    def columns(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Sequence[Any]]:
        """The columns of a query, with Strings as bytes: for data that may not be text."""
        with self._translated():
            result = self._client.query(
                sql,
                parameters=_parameters(parameters),
                query_formats={"String": "bytes"},
                column_oriented=True,
            )
            return list(result.result_columns)

    def stream(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Blocks of rows of a result that is too large for memory."""
        with (
            self._translated(),
            self._client.query_row_block_stream(sql, parameters=_parameters(parameters)) as blocks,
        ):
            for block in blocks:
                yield [tuple(row) for row in block]

    def raw(
        self, sql: str, form: str = "", parameters: Mapping[str, Any] | None = None
    ) -> Iterator[bytes]:
        """The bytes of an answer, in ClickHouse's format `form`, else in the one that `sql` names.

        None comes before the server has all of it, so that a failure is never half an answer.
        """
        with self._translated():
            answer = self._client.raw_stream(
                sql,
                parameters=_parameters(parameters),
                fmt=form or None,
                settings={"wait_end_of_query": 1},
            )
            with closing(cast(IO[bytes], answer)) as body:
                while part := body.read(PART_BYTES):
                    yield part

    def insert(
        self,
        table: str,
        columns: Sequence[Sequence[Any]],
        names: Sequence[str] | Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Insert column-oriented data; when it returns, the rows are written.

        With `names` mapped to the columns' types the table need not be asked for them.
        """
        types = None
        if isinstance(names, Mapping):
            types = [get_from_name(kind) for kind in names.values()]
        with self._translated():
            self._client.insert(
                table,
                columns,
                column_names=list(names),
                column_types=types,
                column_oriented=True,
                settings={**INSERT_SETTINGS, **(settings or {})},
            )

    def ping(self) -> bool:
        """Whether it answers."""
        return bool(self._client.ping())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self._where):
            yield


def connect(
    url: str,
    *,
    user: str = "",
    password: str = "",
    cafile: str = "",
    answer_within_s: int = ANSWER_WITHIN_S,
) -> ClickHouse:
    """Connect to `chdb:///path` or `http(s)://host:port/database`.

    A user and password in the URL are taken if none are given. Who serves https is verified, by
    the authorities of `cafile` or those that the machine knows. Raises ConfigurationError for a URL
    that cannot be right, UnavailableError, ClickHouseRefusedError.
    """
    # The libraries log what they also raise, with addresses; the user is told once, by us.
    for library in ("clickhouse_connect", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    parts = _split(url)
    if parts.scheme == "chdb":
        path = unquote(parts.path)
        where = f"chdb://{path}"
        with translated(where):
            return ClickHouse(clickhouse_connect.get_client(interface="chdb", path=path), where)
    if cafile and not Path(cafile).is_file():
        raise InputError(f"clickhouse_cafile: there is no file {cafile}")
    port = parts.port or PORTS[parts.scheme]
    where = f"{parts.scheme}://{parts.hostname}:{port}"
    with translated(where):
        client = clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=port,
            username=user or unquote(parts.username or "") or "default",
            password=password or unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")) or "default",
            connect_timeout=CONNECT_WITHIN_S,
            send_receive_timeout=answer_within_s,
            verify=True,
            ca_cert=cafile or None,
            autogenerate_session_id=False,  # no session state: calls may go to any replica
        )
    return ClickHouse(client, where)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn clickhouse-connect's errors into ours."""
    try:
        yield
    except StreamFailureError as error:
        raise UnavailableError(
            f"ClickHouse at {where} broke off: {_plain(error)}", mend="try again"
        ) from error
    except ClickHouseError as error:
        code = int(getattr(error, "code", 0) or 0)
        if found := DISTRUSTED.search(str(error)):
            raise ConfigurationError(
                f"ClickHouse at {where} is not trusted: {found[1]}",
                mend="check clickhouse_cafile, the host in clickhouse_url, and its certificate",
            ) from error
        if code in LOGIN_CODES:
            raise ClickHouseLoginError(
                f"ClickHouse at {where} refuses the login: {_plain(error)}",
                code=code,
                mend="check clickhouse_user and its password",
            ) from error
        if "EmbeddedServer" in str(error):
            raise UnavailableError(
                f"the ClickHouse data at {where} are in use by another process, or damaged",
                mend="stop the other one, or speak to it over HTTP",
            ) from error
        # Without a code it was no ClickHouse that answered: nothing did, or a proxy.
        is_unanswered = code == 0 and (
            isinstance(error, OperationalError) or "HTTP status 5" in str(error)
        )
        if code in BUSY_CODES or is_unanswered:
            raise UnavailableError(
                f"ClickHouse at {where} cannot be used: {_plain(error)}",
                mend="check that it runs (`tocsin doctor`) and that clickhouse_url is right",
            ) from error
        kind = "could not be asked" if isinstance(error, InterfaceError) else "refused"
        raise ClickHouseRefusedError(
            f"ClickHouse at {where} {kind}: {_plain(error)}", code=code
        ) from error


async def answers(url: str) -> bool:
    """Whether an HTTP endpoint of ClickHouse answers its ping; never raises."""
    parts = _split(url)
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(
                f"GET /ping HTTP/1.1\r\nHost: {parts.hostname}:{parts.port}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            status = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_right = (
            bool(parts.path.strip("/"))
            if parts.scheme == "chdb"
            else parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:
        is_right = False
    if not is_right:
        shown = re.sub(r"//[^/@]*@", "//***@", url)
        raise InputError(
            f"clickhouse_url {shown!r} is not an address",
            mend="write chdb:///path or http(s)://host:port/database",
        )
    return parts


def _parameters(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(given) if given else None


def _plain(error: Exception) -> str:
    """The library's message without wrapping, addresses (they may hold secrets) and excess."""
    text = str(error)
    if "HTTPConnectionPool" in text or "HTTPSConnectionPool" in text:
        cause = re.search(r"\[Errno -?\d+\] ([\w ]+)|(timed out)|(certificate[\w ]*)", text)
        return next(filter(None, cause.groups())).lower() if cause else "the connection broke"
    text = text[text.find("DB::Exception: ") + 15 :] if "DB::Exception: " in text else text
    text = re.sub(r"\s*\(for url [^)]*\)", "", text)
    text = re.sub(r"://[^/@\s]*@", "://***@", text)
    return re.sub(r"\s+", " ", text).strip()[:MESSAGE_CHARACTERS_MAX]
