"""What every command shares: where the settings come from, how it prints, how it runs.

`@connected` gives a command the settings and a terminal as its first two arguments; `GivenPath` is
a file that must be there.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from tocsin.agents.observe.logs import quiet
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.given_files import require_readable
from tocsin.agents.settings.secret_files import readable_by_others
from tocsin.agents.settings.settings import ABOUT, FLAGS, NAMES, SECRET_FILES, Settings, load
from tocsin.schemas.files.near import did_you_mean

ROWS_MAX = 1_000_000
COUNT = click.IntRange(1, ROWS_MAX)  # of rows to show

P = ParamSpec("P")
R = TypeVar("R")


class CheckedPath(click.Path):
    """A path that is looked at before the command begins."""

    def __init__(self, check: Callable[[str, str], None], *, is_folder_too: bool = False) -> None:
        """`check` gets the path and what names it on the command line; it raises what is wrong."""
        super().__init__(dir_okay=is_folder_too, path_type=Path)
        self._check = check

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path. Raises UnavailableError if it can't be what it is for."""
        if not os.fspath(value):
            self.fail("an empty path names no file", param, ctx)
        hint = "" if param is None or ctx is None else param.get_error_hint(ctx).strip("'")
        self._check(os.fspath(value), hint)
        return super().convert(value, param, ctx)


class GivenPath(CheckedPath):
    """A file to read, or a folder of them. One that isn't there is no mistake of the line."""

    def __init__(self, *, is_folder_too: bool = False) -> None:
        super().__init__(require_readable, is_folder_too=is_folder_too)


class TargetPath(CheckedPath):
    """A file to write, in a folder that is there: told before the work that is to fill it."""

    def __init__(self) -> None:
        super().__init__(_require_folder)


def _require_folder(path: str, _hint: str) -> None:
    folder = Path(path).parent
    if not folder.is_dir():
        raise UnavailableError(f"{path}: there is no folder {folder}", mend="make it first")


class Named(click.ParamType):
    """What names something. An empty text, as of a variable that is not set, names nothing."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it is."""
        if not str(value).strip():
            self.fail("it is empty, and names nothing", param, ctx)
        return str(value)


class Number(click.FloatRange):
    """A finite number in a range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number to count with", param, ctx)
        return number


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
        for caution in readable_by_others(settings):
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
            raise click.UsageError(f"--set {name}: no such setting{did_you_mean(name, NAMES)}")
        flags[name] = value
    return flags


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


as_of_option = click.option(
    "--as-of",
    type=Named(),
    metavar="MOMENT",
    help="What was known then: a day, to its end, or an instant.",
)
language_option = click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), default="en", help="Language of texts."
)
