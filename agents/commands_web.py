"""`tocsin web`: the console for credit controllers, and the API for programs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from tocsin.agents import logs
from tocsin.agents.errors import InputError, UnavailableError
from tocsin.agents.options import Named, connected, run
from tocsin.agents.settings import Settings
from tocsin.agents.supervisor import stop_on_signals
from tocsin.agents.terminal import Terminal
from tocsin.agents.wire import require_clickhouse

logger = logging.getLogger(__name__)


@click.command("web")
@click.option(
    "--new-token",
    "name",
    type=Named(),
    metavar="NAME",
    help="Make a token, show it once, and end.",
)
@click.option(
    "--role",
    type=click.Choice(["reader", "operator"]),
    default="reader",
    show_default=True,
    help="What the new token may: read, or enter events as well.",
)
@connected
def web(settings: Settings, terminal: Terminal, *, name: str | None, role: str) -> None:
    """Serve the console and the API until Ctrl-C, at web_host and console_port.

    On loopback it needs no token. Elsewhere it starts only with web_tokens_file, or with
    web_user_header and web_trusted_proxies; put a proxy before it that speaks TLS.
    """
    if name is not None:
        _new_token(settings, terminal, name, role)
        return
    from tocsin.agents.web import run_web

    require_clickhouse(settings)
    logs.configure(settings.log_level, settings.log_format)
    run(_check_brokers(settings))

    async def serve() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await run_web(settings, stop, lambda address: terminal.say(f"console at {address}"))

    run(serve())


async def _check_brokers(settings: Settings) -> None:
    """Raise ConfigurationError for a right that is lacking, or another clock than the topics'.

    Brokers that are away can't tell, and keep nobody from reading the history.
    """
    from tocsin.agents.clock_keeper import with_clock
    from tocsin.agents.rights import require_rights

    try:
        await require_rights(settings, "web")
        await with_clock(settings)
    except UnavailableError as error:
        logger.warning("rights_not_asked", extra={"why": str(error)})


def _new_token(settings: Settings, terminal: Terminal, name: str, role: str) -> None:
    from tocsin.agents.web_users import OPERATOR, READER, TokenFile

    if not settings.web_tokens_file:
        raise InputError(
            "web_tokens_file is not set", mend="name the file: --set web_tokens_file=FILE"
        )
    path = Path(settings.web_tokens_file).expanduser()
    token = TokenFile(path).add(name, OPERATOR if role == "operator" else READER)
    terminal.result({"name": name, "role": role, "token": token})
    terminal.say(token)
    terminal.note(f"kept in {path} as a hash: it cannot be shown again")
