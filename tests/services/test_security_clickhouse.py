"""ClickHouse behind TLS with an authority of our own: trust, logins, and a whole migration."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.services.secured import Authority
from tocsin.agents.clickhouse.client import connect
from tocsin.agents.commands.cli import run_command
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import SettingsError, load

DATABASE = "behind_tls"

# asyncio leaves the transport of a TLS handshake that the other side breaks off to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    """Carry one connection to the engine and back, until either side ends."""
    inner_reader, inner_writer = await asyncio.open_connection(host, port)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.close()

    await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))


@contextmanager
def behind_tls(url: str, certificate: tuple[Path, Path]) -> Iterator[str]:
    """An address that speaks TLS and hands all through to the engine's; ends with the block."""
    inner = urlsplit(url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    loop = asyncio.new_event_loop()
    started = threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await forward(reader, writer, str(inner.hostname), int(inner.port or 0))

        async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
            ports.append(server.sockets[0].getsockname()[1])
            started.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield f"https://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
    loop.close()
    gc.collect()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure_url(engine: EmbeddedEngine, authority: Authority) -> Iterator[str]:
    with behind_tls(engine.url, authority.issue("clickhouse")) as url:
        plain = connect(engine.url, user=WRITER, password=engine.token)
        plain.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        plain.close()
        yield f"{url}/{DATABASE}"


def test_a_server_with_a_private_authority_is_migrated_over_tls(
    secure_url: str,
    engine: EmbeddedEngine,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOCSIN_CLICKHOUSE_PASSWORD", engine.token)
    given = ["--set", f"clickhouse_user={WRITER}", "--clickhouse-url", secure_url]
    trusting = [*given, "--set", f"clickhouse_cafile={authority.cafile}"]

    assert run_command(["migrate", *trusting]) == Exit.OK
    assert "applied 0001 history" in capsys.readouterr().out
    assert run_command(["migrate", *given]) == Exit.CONFIGURATION
    told = capsys.readouterr().err
    assert "is not trusted: unable to get local issuer certificate" in told
    assert "check clickhouse_cafile" in told
    assert engine.token not in told


def test_a_wrong_password_is_no_reason_to_try_again(
    secure_url: str,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOCSIN_CLICKHOUSE_PASSWORD", "canary-guess")
    given = ["--set", f"clickhouse_user={WRITER}", "--clickhouse-url", secure_url]

    code = run_command(["migrate", *given, "--set", f"clickhouse_cafile={authority.cafile}"])

    told = capsys.readouterr().err
    assert code == Exit.CONFIGURATION
    assert "refuses the login" in told
    assert "check clickhouse_user and its password" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("name", "host", "days", "says"),
    [
        ("expired", "127.0.0.1", -1, "certificate has expired"),
        ("elsewhere", "elsewhere.example", 30, "certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused(
    engine: EmbeddedEngine, authority: Authority, name: str, host: str, days: int, says: str
) -> None:
    with (
        behind_tls(engine.url, authority.issue(name, host=host, days=days)) as url,
        pytest.raises(ConfigurationError, match=says),
    ):
        connect(url, user=WRITER, password=engine.token, cafile=str(authority.cafile))


def test_certificates_of_another_authority_vouch_for_nothing(
    secure_url: str, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another")

    with pytest.raises(ConfigurationError, match="is not trusted"):
        connect(secure_url, user=WRITER, password=engine.token, cafile=str(other.cafile))


def test_a_file_of_certificates_that_is_not_there_is_named(secure_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"clickhouse_cafile: there is no file /nowhere"):
        connect(secure_url, cafile="/nowhere.pem")


def test_certificates_without_tls_are_a_contradiction() -> None:
    with pytest.raises(SettingsError, match="begin clickhouse_url with https://"):
        load({"clickhouse_url": "http://localhost/x", "clickhouse_cafile": "/ca.pem"})
