"""The embedded ClickHouse: one process owns chDB and serves it over HTTP on loopback.

It speaks as much of ClickHouse's HTTP interface as clickhouse-connect's ordinary client and BI
tools need. Who shows the write token writes; everybody else reads (`embedded_chdb`), and GET always
reads. Not offered: sessions and temporary tables over requests, external data, cluster functions.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import logging
import os
import signal
import sys
import uuid
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import lz4.frame  # type: ignore[import-untyped] # it ships no types
from aiohttp import BasicAuth, web

from tocsin.agents.embedded.chdb_pool import DEFAULT_FORMAT, Engine, Statement, StatementError
from tocsin.agents.embedded.framing import framed
from tocsin.agents.settings.errors import TocsinError, UnavailableError
from tocsin.agents.settings.exits import Exit

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
WRITER: Final = "tocsin"  # the user whose password is the write token
QUERIES_AT_ONCE: Final = 8
BODY_BYTES_MAX: Final = 512 << 20
READER_BODY_BYTES_MAX: Final = 16 << 20  # as sent, and as unpacked: statements, no data
URL_BYTES_MAX: Final = 1 << 20
DECOMPRESSED_BYTES_MAX: Final = 2 << 30
GRACE_S: Final = 3.0  # what runs at the stop may end in this time; then it is cancelled
SHUTDOWN_WITHIN_S: Final = 8.0
# What the HTTP interface itself understands; the engine would call these unknown settings.
TRANSPORT_PARAMETERS: Final = frozenset(
    {
        "query", "database", "default_format", "user", "password", "query_id", "session_id",
        "session_timeout", "session_check", "quota_key", "buffer_size", "compress", "decompress",
        "wait_end_of_query", "client_protocol_version", "role", "enable_http_compression",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "stacktrace",
        "cancel_http_readonly_queries_on_client_close", "add_http_cors_header",
    }
)  # fmt: skip
HTTP_STATUS: Final = {
    **dict.fromkeys((46, 47, 60, 81, 115), 404),  # unknown function, name, table, database, setting
    **dict.fromkeys((6, 26, 27, 36, 41, 42, 43, 53, 62, 69, 70, 72, 456, 457), 400),
    164: 403,
    516: 403,
    159: 408,
    307: 413,
    48: 501,
}


class Endpoint:
    """The HTTP side: takes requests apart, lets threads run them, shapes the answers."""

    def __init__(self, engine: Engine, token: str) -> None:
        self._engine = engine
        self._token = token
        self._pool = ThreadPoolExecutor(QUERIES_AT_ONCE, thread_name_prefix="query")
        self._running = 0

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=READER_BODY_BYTES_MAX)  # of forms
        application.router.add_get("/ping", self._ping)
        application.router.add_get("/replicas_status", self._ping)
        application.router.add_route("*", "/", self._query)
        application.on_shutdown.append(self._finish)
        return application

    async def _finish(self, _application: web.Application) -> None:
        """Give running statements a moment, then cancel them: no insert of theirs is confirmed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_S
        while self._running and loop.time() < deadline:  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(0.05)
        if self._running:
            await asyncio.to_thread(self._engine.cancel_all)

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "X-ClickHouse-Server-Display-Name": "tocsin",
            "X-ClickHouse-Query-Id": request.query.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": self._engine.zone,
        }
        try:
            if request.method not in ("GET", "POST"):
                raise StatementError("Code: 48. DB::Exception: GET or POST (NOT_IMPLEMENTED)")
            statement = await self._statement(request)
            if statement.text.strip() == b"":
                return web.Response(text="Ok.\n", headers=headers)
            pack = _framed if request.query.get("compress") in ("1", "true") else None
            if statement.is_streamed:
                return await self._stream(request, statement, headers, pack)
            body, counts = await self._run(partial(self._engine.execute, statement))
            if pack is not None:
                body = await self._run(partial(pack, body))
        except StatementError as error:
            return self._refusal(error, headers)
        if statement.result_format:
            headers["X-ClickHouse-Format"] = statement.result_format
        headers["X-ClickHouse-Summary"] = json.dumps({k: str(v) for k, v in counts.items()})
        return web.Response(body=body, headers=headers, content_type="application/octet-stream")

    async def _stream(
        self,
        request: web.Request,
        statement: Statement,
        headers: dict[str, str],
        pack: Callable[[bytes], bytes] | None,
    ) -> web.StreamResponse:
        """Send chunks as they come; an error after the first breaks the connection off."""
        chunks = self._engine.stream(statement)
        try:
            chunk = await self._run(partial(next, chunks, None))
            headers |= {
                "X-ClickHouse-Format": statement.result_format,
                "X-ClickHouse-Summary": "{}",
            }
            response = web.StreamResponse(headers=headers)
            response.content_type = "application/octet-stream"
            await response.prepare(request)
            while chunk is not None:
                sent = chunk if pack is None else await self._run(partial(pack, chunk))
                await response.write(sent)
                try:
                    chunk = await self._run(partial(next, chunks, None))
                except StatementError as error:
                    logger.warning("query_broke_off", extra={"cause": error.text})
                    if request.transport is not None:
                        request.transport.abort()
                    raise ConnectionResetError from error
            await response.write_eof()
            return response
        finally:
            # At the end of a shutdown the thread may still be in it; then the process ends it.
            with suppress(ValueError):
                await self._run(chunks.close)

    async def _statement(self, request: web.Request) -> Statement:
        """Take a request apart. Raises StatementError."""
        if request.host.rpartition(":")[0] not in (HOST, "localhost"):
            # A page of another site, led here by its name server, must not read anything.
            raise StatementError("Code: 516. DB::Exception: not a loopback name")
        fields, headers = dict(request.query), request.headers
        body = b""
        if request.content_type == "multipart/form-data":
            fields |= await _form_fields(request)
        else:
            body = await _body(request, is_writer=self._is_writer(request, fields))
        if fields.get("decompress") in ("1", "true"):
            raise StatementError(
                "Code: 48. DB::Exception: decompress=1; use Content-Encoding (NOT_IMPLEMENTED)"
            )
        text = b"\n".join(part for part in (fields.get("query", "").encode(), body) if part)
        settings = {
            name: value
            for name, value in fields.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        }
        is_restricted = settings.pop("readonly", "0") not in ("", "0")
        is_writer = self._is_writer(request, fields) and request.method == "POST"
        return Statement(
            text=text,
            parameters={n[6:]: v for n, v in fields.items() if n.startswith("param_")},
            settings=settings,
            database=fields.get("database") or headers.get("X-ClickHouse-Database") or "",
            format=fields.get("default_format")
            or headers.get("X-ClickHouse-Format")
            or DEFAULT_FORMAT,
            is_reader=is_restricted or not is_writer,
        )

    def _is_writer(self, request: web.Request, fields: Mapping[str, str]) -> bool:
        """Whether the caller shows the write token. Raises StatementError for a wrong one."""
        user = request.headers.get("X-ClickHouse-User") or fields.get("user", "")
        password = request.headers.get("X-ClickHouse-Key") or fields.get("password", "")
        if "Authorization" in request.headers:
            try:
                basic = BasicAuth.decode(request.headers["Authorization"])
            except ValueError as error:
                raise StatementError("Code: 516. DB::Exception: only Basic is known") from error
            user, password = basic.login, basic.password
        if user != WRITER:
            return False
        if not hmac.compare_digest(password.encode(), self._token.encode()):
            raise StatementError(
                f"Code: 516. DB::Exception: {WRITER}: Authentication failed: password is not the "
                "write token (AUTHENTICATION_FAILED)"
            )
        return True

    async def _run(self, act: Callable[[], Any]) -> Any:
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, act)
        finally:
            self._running -= 1

    def _refusal(self, error: StatementError, headers: dict[str, str]) -> web.Response:
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        text = f"{error.text} (version {self._engine.version})\n"
        return web.Response(text=text, status=HTTP_STATUS.get(error.code, 500), headers=headers)


def _framed(data: bytes) -> bytes:
    return b"".join(framed(data))


async def serve(folder: Path, port: int, token: str, stop: asyncio.Event) -> None:
    """Own chDB over `folder` and serve it on the loopback port until `stop`.

    Raises UnavailableError.
    """
    engine = Engine(folder)
    runner = web.AppRunner(
        Endpoint(engine, token).application(),
        access_log=None,
        max_line_size=URL_BYTES_MAX,  # clients put parameters into the address
        auto_decompress=False,  # we know more encodings than aiohttp, and bound what comes out
        shutdown_timeout=SHUTDOWN_WITHIN_S,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            raise UnavailableError(
                f"port {port} on {HOST} cannot be listened on: {error.strerror}",
                mend="give another with --port, or stop the program that has it",
            ) from error
        await stop.wait()
    finally:
        await runner.cleanup()
        engine.close()


async def _body(request: web.Request, *, is_writer: bool) -> bytes:
    """The body, unpacked. Raises StatementError before it takes in more than may be sent."""
    sent_max = BODY_BYTES_MAX if is_writer else READER_BODY_BYTES_MAX
    unpacked_max = DECOMPRESSED_BYTES_MAX if is_writer else READER_BODY_BYTES_MAX
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > sent_max:
            raise StatementError(
                f"Code: 307. DB::Exception: body above {sent_max} bytes (TOO_MANY_BYTES)"
            )
    encoding = request.headers.get("Content-Encoding", "identity")
    try:
        return decompress(bytes(body), encoding, unpacked_max)
    except (RuntimeError, ValueError, EOFError, zlib.error, OSError) as error:
        raise StatementError(
            f"Code: 271. DB::Exception: {encoding}: {error} (CANNOT_DECOMPRESS)"
        ) from error


def decompress(data: bytes, encoding: str, size_max: int) -> bytes:
    """Undo a Content-Encoding, frame by frame: clients send a frame for each block.

    Raises ValueError if it is unknown, cut off or too large.
    """
    if encoding in ("", "identity"):
        return data
    start = FRAME_READERS.get(encoding)
    if start is None:
        raise ValueError(f"unknown Content-Encoding; send {', '.join(FRAME_READERS)} or none")
    parts = []
    left = size_max
    while data:
        reader = start()
        part = reader.decompress(data, max(left, 1))  # to zlib, 0 would mean: no bound
        if not reader.eof or len(part) > left:
            raise ValueError(f"cut off, or more than {size_max} bytes")
        parts.append(part)
        left -= len(part)
        data = reader.unused_data or b""
    return b"".join(parts)


def _zstd_reader() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor()


FRAME_READERS: Final[Mapping[str, Callable[[], Any]]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": _zstd_reader,
    "gzip": partial(zlib.decompressobj, zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
}


async def _form_fields(request: web.Request) -> dict[str, str]:
    """Text fields of a form. Raises StatementError for files: external data is not offered."""
    form = await request.post()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if len(fields) < len(form):
        raise StatementError("Code: 48. DB::Exception: external data (NOT_IMPLEMENTED)")
    return fields


async def _main(folder: Path, port: int, token: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(folder, port, token, stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the engine's process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tocsin-engine", description="chDB served over HTTP.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--port", type=int, required=True, help="loopback port")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the write token")
    given = parser.parse_args(arguments)
    try:
        token = given.token_file.read_text(encoding="utf-8").strip()
        if not token:
            raise UnavailableError(f"{given.token_file} holds no write token")
        asyncio.run(_main(given.data, given.port, token))
    except (TocsinError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code if isinstance(error, TocsinError) else Exit.UNAVAILABLE
    return Exit.OK


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    # chDB's threads may not outlive the interpreter's end quietly; everything is closed by now.
    os._exit(code)
