"""Servers that receive deliveries, and fail on demand in every way that servers do."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from tocsin.agents.embedded_kafka import free_port

Manner = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Call(msgspec.Struct, frozen=True):
    """A request that came in, and the status it was answered with (0: not at all)."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.body)


class HttpReceiver:
    """One server on a port of its own, up or down, that behaves as its `manner` says."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.manner: Manner = says(200)
        self.calls: list[Call] = []
        self.begun: list[str] = []
        self._tls = tls
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Call]:
        return [call for call in self.calls if call.status == 200]

    def ids(self) -> list[str]:
        """Idempotency keys of what was answered with 200, in order."""
        return [call.headers["webhook-id"] for call in self.taken]

    async def up(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True
        ).start()

    async def down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.begun.append(request.headers.get("webhook-id", ""))
        status = 0
        try:
            response = await self.manner(request)
            status = response.status
            return response
        finally:
            headers = {name.lower(): value for name, value in request.headers.items()}
            call = Call(request.path, request.query_string, headers, body, status)
            self.calls.append(call)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpReceiver]:
    """A server that is up."""
    receiver = HttpReceiver(tls)
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()


def says(status: int, body: Any = None, **headers: str) -> Manner:
    """Answer with a status, and a JSON body."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status,
            body=b"" if body is None else msgspec.json.encode(body),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return answer


async def hangs(_request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def trickles(request: web.Request) -> web.StreamResponse:
    """Answer byte by byte, without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(0.05)


async def floods(request: web.Request) -> web.StreamResponse:
    """Answer with more than anybody wants to read."""
    response = web.StreamResponse()
    await response.prepare(request)
    part = b"x" * 65_536
    for _ in range(16_000):
        await response.write(part)
    return response


async def breaks(request: web.Request) -> web.StreamResponse:
    """Cut the connection amid the answer's head."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody vouches for, and a server's context with it."""
    path, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", path, "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return path, context


class MailReceiver:
    """A mail server: `answers` replace its usual ones by the command's first word."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, is_wrapped: bool = False) -> None:
        self.answers: dict[str, str] = {}
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self._tls, self._is_wrapped = tls, is_wrapped
        self._server: asyncio.Server | None = None
        self.port = 0

    async def up(self) -> None:
        self._server = await asyncio.start_server(
            self._converse, "127.0.0.1", 0, ssl=self._tls if self._is_wrapped else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._say(writer, "HELO", "220 ready", key="CONNECT")
            while line := (await reader.readline()).decode().strip():
                word = line.split(maxsplit=1)[0].upper()
                self.commands.append(line)
                usual = "250 ok"
                if word == "EHLO":
                    usual = "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"
                elif word == "DATA":
                    usual = "354 go on"
                elif word == "AUTH":
                    usual = "235 welcome"
                elif word == "STARTTLS":
                    usual = "220 begin"
                await self._say(writer, word, usual)
                if word == "DATA" and self.answers.get("DATA", "354").startswith("354"):
                    mail = await reader.readuntil(b"\r\n.\r\n")
                    said = await self._say(writer, "END", "250 taken")
                    if said.startswith("250"):
                        self.mails.append(mail)
                elif word == "STARTTLS" and self._tls is not None:
                    await writer.start_tls(self._tls)
                elif word == "QUIT":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client had enough
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, word: str, usual: str, key: str = "") -> str:
        text = self.answers.get(key or word, usual)
        if text == "HANG":
            await asyncio.Event().wait()
        writer.write(f"{text}\r\n".encode())
        await writer.drain()
        return text


@asynccontextmanager
async def receiving_mail(
    tls: ssl.SSLContext | None = None, *, is_wrapped: bool = False
) -> AsyncIterator[MailReceiver]:
    """A mail server that is up."""
    receiver = MailReceiver(tls, is_wrapped=is_wrapped)
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()
