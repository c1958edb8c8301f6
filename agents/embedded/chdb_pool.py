"""chDB for many: statements of readers and of the writer, each with a connection of its own.

Settings therefore never leak from one request to another. Readers are held to reading by chDB's
`readonly=1`. That leaves a few things open (writing a file with INTO OUTFILE, reading one with
file(), the table functions Python, arrowstream and eval, KILL), so a reader's statement is first
normalised by chDB's own formatter, and these are refused there. It also refuses several statements
at once, as ClickHouse's HTTP interface does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import chdb

from tocsin.agents.settings.errors import UnavailableError

DEFAULT_FORMAT: Final = "TabSeparated"
# Each chunk of these is complete in itself, so chunks can be sent one after the other.
STREAMED_FORMATS: Final = frozenset(
    {"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"}
)
SERVER_DEFAULTS: Final = {"implicit_select": "0"}  # chDB is more lenient than a server
READER_LIMITS: Final = {"max_execution_time": "300", "max_memory_usage": "4000000000"}
SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
NOT_FOR_READERS: Final = re.compile(
    r"\bINTO OUTFILE\b|\b(?:file|eval|Python|arrowstream)\(|^KILL\b", re.IGNORECASE
)
# Others could undo the checks: `dialect`, for one, would have the text read by another parser.
READER_SETTINGS: Final = re.compile(
    r"max_\w+|output_format_\w+|date_time_\w+|session_timezone|extremes|final|join_use_nulls"
    r"|log_comment|\w+_overflow_mode"
)
# Drivers send these with every statement. They change no reading, so a reader's are passed over.
INSERT_SETTINGS: Final = re.compile(
    r"async_insert\w*|wait_for_async_insert\w*|insert_\w+|input_format_\w+"
)
HAS_RESULT: Final = re.compile(
    rb"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*"
    rb"(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK|FROM|VALUES)\b",
    re.IGNORECASE | re.DOTALL,
)
SELECTS: Final = re.compile(rb"(?:\s|\()*(?:SELECT|WITH)\b", re.IGNORECASE)
TRAILING_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
# An INSERT up to and with its FORMAT; quoted names and texts are stepped over.
INSERT_HEAD: Final = re.compile(
    rb"\s*(INSERT\s+INTO\s(?:'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|[^'`\"])*?)"
    rb"\sFORMAT\s+(\w+)[ \t]*(?:\r?\n|;|\s|$)",
    re.IGNORECASE | re.DOTALL,
)
INSERT_HEAD_BYTES_MAX: Final = 65_536
ERROR_CODE: Final = re.compile(r"Code: (\d+)\.")


class StatementError(Exception):
    """A statement failed; the text is ClickHouse's, with its code."""

    def __init__(self, text: str) -> None:
        begin = text.find("Code: ")
        self.text = text[begin:].strip() if begin >= 0 else f"Code: 1002. DB::Exception: {text}"
        found = ERROR_CODE.match(self.text)
        self.code = int(found[1]) if found else 1002
        super().__init__(self.text)


@dataclass(frozen=True, slots=True)
class Statement:
    """One request, taken apart. `text` may end in data of an INSERT."""

    text: bytes
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str
    format: str
    is_reader: bool

    @property
    def result_format(self) -> str:
        """The format that the result has; empty for a statement without result."""
        if not HAS_RESULT.match(self.text):
            return ""
        found = TRAILING_FORMAT.search(self.text)
        return found[1].decode() if found else self.format

    @property
    def is_streamed(self) -> bool:
        """Whether the result can be sent while it is made; chDB offers that for SELECT alone."""
        return bool(SELECTS.match(self.text)) and self.result_format in STREAMED_FORMATS


class Engine:
    """chDB over one folder. Its methods block and may be called from several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the folder. Raises UnavailableError if another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = str(folder)
        try:
            # Held as long as we live: the engine ends with its last connection.
            self._keeper = chdb.connect(self._path)
        except RuntimeError as error:
            raise UnavailableError(
                f"the ClickHouse data in {folder} cannot be opened",
                mend="only one process may have it: stop the other one (`tocsin up` or a "
                "program that uses chdb:// on this folder), or give another folder",
            ) from error
        version, zone = self._keeper.query("SELECT version(), timezone()", "TSV").data().split()
        self.version, self.zone = str(version), str(zone)

    def cancel_all(self) -> None:
        """Cancel every running statement; what they had inserted in whole blocks stays."""
        self._keeper.query("KILL QUERY WHERE query NOT LIKE 'KILL%' ASYNC")

    def close(self) -> None:
        """Flush and close."""
        self._keeper.close()

    def execute(self, statement: Statement) -> tuple[bytes, dict[str, int]]:
        """Run a statement whole: its result and what it read and wrote. Raises StatementError."""
        with self._session(statement) as connection:
            return self._execute(connection, statement)

    def stream(self, statement: Statement) -> Generator[bytes, None, None]:
        """Run a statement and yield its result in chunks. Raises StatementError at the first."""
        with self._session(statement) as connection:
            is_empty = True
            chunks = connection.send_query(
                statement.text.decode(), statement.format, params=dict(statement.parameters)
            )
            try:
                for chunk in chunks:
                    is_empty = False
                    yield chunk.bytes()
            finally:
                chunks.close()
        if is_empty and statement.result_format == "Native":
            yield self._native_header(statement)

    def _execute(self, connection: Any, statement: Statement) -> tuple[bytes, dict[str, int]]:
        if head := INSERT_HEAD.match(statement.text[:INSERT_HEAD_BYTES_MAX]):
            inserter = connection.send_insert(head[1].decode(), head[2].decode())
            inserter.append(memoryview(statement.text)[head.end() :])
            done = inserter.finish()
            return b"", {"written_rows": done.rows_written, "written_bytes": done.bytes_written}
        result = connection.query(
            statement.text.decode(), statement.format, params=dict(statement.parameters)
        )
        return result.bytes() or b"", {
            "read_rows": result.rows_read(),
            "read_bytes": result.bytes_read(),
            "written_rows": result.rows_written(),
            "written_bytes": result.bytes_written(),
        }

    @contextmanager
    def _session(self, statement: Statement) -> Iterator[Any]:
        """A connection of its own, with the statement's database, settings and rights."""
        chosen = _check_settings(statement)
        if statement.is_reader:
            self._check_reader(statement)
        connection = chdb.connect(self._path)
        try:
            limits = READER_LIMITS if statement.is_reader else {}
            for name, value in {**SERVER_DEFAULTS, **limits, **chosen}.items():
                connection.query(f"SET {name} = {_quoted(value)}")
            if statement.database:
                connection.query(f"USE {_quoted(statement.database, '`')}")
            if statement.is_reader:
                connection.query("SET readonly = 1")  # last: it forbids any further SET
            yield connection
        except RuntimeError as error:
            raise StatementError(str(error)) from error
        except UnicodeDecodeError as error:
            raise StatementError("Code: 62. DB::Exception: not UTF-8 (SYNTAX_ERROR)") from error
        finally:
            connection.close()

    def _check_reader(self, statement: Statement) -> None:
        """Refuse what `readonly=1` leaves open. Several statements at once fail here too."""
        connection = chdb.connect(self._path)
        try:
            text = _quoted(statement.text.decode())
            normal = connection.query(f"SELECT formatQuerySingleLine({text})", "TSVRaw").data()
        except (RuntimeError, UnicodeDecodeError) as error:
            raise StatementError(str(error)) from error
        finally:
            connection.close()
        if found := NOT_FOR_READERS.search(normal):
            raise StatementError(
                f"Code: 164. DB::Exception: {found[0].strip('( ')} is not for readers (READONLY)"
            )

    def _native_header(self, statement: Statement) -> bytes:
        """A Native block without rows, since chDB sends none: clients learn the columns from it."""
        text = TRAILING_FORMAT.sub(b"", statement.text).strip().rstrip(b";")
        if not SELECTS.match(text):
            return b""
        described = Statement(
            b"DESCRIBE TABLE (" + text + b"\n) FORMAT JSONCompact",
            statement.parameters,
            statement.settings,
            statement.database,
            statement.format,
            statement.is_reader,
        )
        columns = json.loads(self.execute(described)[0])["data"]
        fields = [text for column in columns for text in column[:2]]
        encoded = b"".join(_varint(len(raw)) + raw for raw in map(str.encode, fields))
        return _varint(len(columns)) + _varint(0) + encoded


def _check_settings(statement: Statement) -> dict[str, str]:
    """The settings that are to be made. Raises StatementError for those that may not be."""
    chosen = dict(statement.settings)
    for name in statement.settings:
        if not SETTING_NAME.fullmatch(name):
            raise StatementError(
                f"Code: 115. DB::Exception: Unknown setting {name!r} (UNKNOWN_SETTING)"
            )
        if not statement.is_reader:
            continue
        if INSERT_SETTINGS.fullmatch(name):
            del chosen[name]
        elif not READER_SETTINGS.fullmatch(name):
            raise StatementError(
                f"Code: 164. DB::Exception: Cannot modify {name!r} setting as a reader (READONLY)"
            )
    return chosen


def _quoted(text: str, quote: str = "'") -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return f"{quote}{escaped}{quote}"


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
