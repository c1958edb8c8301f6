"""What every command shares: where the settings come from, how it prints, how it runs.

`@connected` gives a command the settings and a terminal as its first two arguments.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from tocsin.agents.logs import quiet
from tocsin.agents.secret_files import exposed
from tocsin.agents.settings import ABOUT, NAMES, SECRET_FILES, Settings, load, nearest
from tocsin.agents.terminal import Terminal

# Settings that most people give by hand have flags of their own; `--set` takes all others.
FLAGS = ("bootstrap_servers", "clickhouse_url", "data_dir", "app_id", "topic_prefix")

P = ParamSpec("P")
R = TypeVar("R")


def connected(
    function: Callable[Concatenate[Settings, Terminal, P], R],
) -> Callable[P, R]:
    """Add the options for settings and output, and pass what they make to the function."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        config = kwargs.pop("config", None)
        pairs = kwargs.pop("pairs", ())
        as_json = bool(kwargs.pop("as_json", False))
        flags = {name: kwargs.pop(name, None) for name in FLAGS}
        flags |= _pairs(pairs)  # type: ignore[arg-type]  # click's value of `--set`
        settings = load(flags, environ=os.environ, config=config)  # type: ignore[arg-type]  # a str
        quiet()
        terminal = Terminal(as_json=as_json)
        for caution in exposed(settings):
            terminal.note(f"caution: {caution}", style="yellow")
        return function(settings, terminal, *args, **kwargs)

    for name in reversed(FLAGS):
        flag = f"--{name.replace('_', '-')}"
        wrapper = click.option(flag, name, help=_sentence(ABOUT[name]))(wrapper)
    wrapper = click.option(
        "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Any other setting; may repeat."
    )(wrapper)
    wrapper = click.option("--config", metavar="FILE", help="Settings in TOML.")(wrapper)
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(wrapper)


def run(work: Coroutine[Any, Any, R]) -> R:
    """Run a command's asynchronous work to its end."""
    return asyncio.run(work)


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    flags: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise click.UsageError(f"--set {pair}: write it NAME=VALUE")
        if name in SECRET_FILES:
            raise click.UsageError(
                f"--set {name}: others could read it in the list of processes; give "
                f"{SECRET_FILES[name]}, or the variable TOCSIN_{name.upper()}"
            )
        if name not in NAMES:
            raise click.UsageError(f"--set {name}: no such setting{nearest(name, NAMES)}")
        flags[name] = value
    return flags


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


language_option = click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), default="en", help="Language of texts."
)
