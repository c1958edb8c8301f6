"""The command line: names the commands, loads only the one that is called, ends with one line.

Every error of our tree becomes one message (what, where, how to mend) and its exit code. Anything
else is a defect: it is named in one line, and TOCSIN_DEBUG=1 shows where it arose.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import click
from click.shell_completion import CompletionItem
from msgspec import Struct

from tocsin.agents.commands.examples import epilog
from tocsin.agents.commands.groups import Group
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import is_text
from tocsin.schemas.files.near import near

DEBUG_VARIABLE = "TOCSIN_DEBUG"


class Entry(Struct, frozen=True):
    """A command: under which heading it is listed, in which module it is, what it does."""

    section: str
    module: str
    about: str


COMMANDS = {
    "demo": Entry("Run", "demo", "See the main job, whole."),
    "up": Entry("Run", "services", "Run Kafka and ClickHouse on this machine."),
    "worker": Entry("Run", "services", "Turn events into warnings."),
    "audit": Entry("Run", "services", "Copy every record into ClickHouse."),
    "intake": Entry("Run", "services", "Bring foreign topics in."),
    "web": Entry("Run", "web", "The console and the API."),
    "notify": Entry("Run", "notify", "Bring warnings to those who must know."),
    "topics": Entry("Set up", "topics", "Create the topics, or check them."),
    "migrate": Entry("Set up", "services", "Bring ClickHouse's tables up to date."),
    "policy": Entry("Set up", "policy", "Check, show or publish a policy."),
    "complete": Entry("Set up", "complete", "A source has everything up to a day."),
    "go-live": Entry("Set up", "topics", "History is loaded: warnings count from now."),
    "warnings": Entry("See", "warnings", "The latest, the open ones, or each as it comes."),
    "worklist": Entry("See", "worklist", "Whom to deal with next, and how."),
    "customer": Entry("See", "customer", "The credit file of one customer."),
    "explain": Entry("See", "explain", "Why one warning was given, with its evidence."),
    "contacts": Entry("See", "contacts", "Who was spoken to, when, and what came of it."),
    "dossier": Entry("See", "dossier", "Why the business may end, what was tried, what is left."),
    "bundle": Entry("See", "bundle", "All that is known of a customer, as evidence in one file."),
    "demand": Entry("See", "money", "What may be demanded, with interest, and why."),
    "letter": Entry("See", "letter", "Write to a customer: reminder, notice, statement, end."),
    "provision": Entry("See", "money", "Expected losses, and how they are derived."),
    "sql": Entry("See", "sql", "Ask the history in SQL."),
    "log": Entry("Events", "log", "Enter a contact, a dispute, a promise ... by hand."),
    "generate": Entry("Events", "data", "Make up a portfolio's events."),
    "produce": Entry("Events", "data", "Send events from JSON Lines."),
    "replay": Entry("Prove", "data", "Decide again, and compare."),
    "backtest": Entry("Prove", "backtest", "What a policy would have done, and how early."),
    "shadow": Entry("Prove", "shadow", "A candidate policy beside the one in force."),
    "verify": Entry("Prove", "data", "Compare Kafka, ClickHouse and journal."),
    "anchor": Entry("Prove", "anchor", "Sign what the topics hold, to find later changes."),
    "doctor": Entry("Mend", "doctor", "Find what is wrong, and how to mend it."),
    "keys": Entry("Set up", "keys", "Keys of customers' personal data."),
    "erase": Entry("Mend", "keys", "Destroy a customer's key: its personal data end."),
    "dead-letters": Entry("Mend", "dead_letters", "Refused records: see, mend, send again."),
    "completion": Entry("Set up", "completion", "Let your shell complete commands."),
    "rebuild": Entry("Mend", "recovery", "Write lost state anew, from journal and events."),
    "reshard": Entry("Mend", "recovery", "Move to topics with other partitions."),
    "gap": Entry("Mend", "recovery", "Accept that records were deleted unread."),
    "reset": Entry("Mend", "topics", "Forget all state, decide again from the events."),
}


class Commands(Group):
    """Lists commands by section without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the catalog."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"tocsin.agents.commands.{entry.module}")
        command = cast(click.Command, getattr(module, cmd_name.replace("-", "_")))
        _show_examples(command, cmd_name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell may put after `tocsin`; loads no command."""
        found = [
            CompletionItem(name, help=entry.about)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their sections."""
        sections = list(dict.fromkeys(entry.section for entry in COMMANDS.values()))
        for section in sections:
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name, entry.about)
                        for name, entry in COMMANDS.items()
                        if entry.section == section
                    ]
                )


def _show_examples(command: click.Command, path: str) -> None:
    """Put examples under the help of a command and of those below it."""
    command.epilog = epilog(path)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            _show_examples(below, f"{path} {name}")


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tocsin {version('tocsin')}")
        ctx.exit()


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def tocsin() -> None:
    """Early warning for bad business customers, from invoices, payments and complaints."""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; prints what went wrong."""
    if not all(map(is_text, arguments)):
        _complain("an argument is not UTF-8 text; write it in this terminal's own encoding")
        return Exit.USAGE
    try:
        result = tocsin.main(list(arguments), prog_name="tocsin", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error.possibilities = _near_options(error)
        error.show()
        return Exit.USAGE
    except TocsinError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _let_go_of_output()  # who read it has seen enough
        return Exit.OK
    except OSError as error:
        if error.filename is None:
            _let_go_of_output()  # it may be the one that is full
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}; see that there is room, and the right to it")
        return Exit.UNAVAILABLE
    return _code(result)


def main() -> None:
    """Entry point of `tocsin`."""
    try:
        code = run_command(sys.argv[1:])
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        _complain(
            f"a defect in tocsin: {type(error).__name__}: {error}; {DEBUG_VARIABLE}=1 shows where"
        )
        code = Exit.AGENT
    sys.exit(code)


def _near_options(error: click.NoSuchOption) -> list[str]:
    """The option that was meant; click itself proposes whatever shares some letters."""
    known = error.ctx.command.get_params(error.ctx) if error.ctx else []
    found = near(error.option_name, (flag for option in known for flag in option.opts))
    return [] if found is None else [found]


def _let_go_of_output() -> None:
    """Write no more to stdout; without this Python complains at exit of what is left in it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _code(result: Any) -> int:
    """A command's exit code: what it returned if that is one."""
    return result if isinstance(result, int) and not isinstance(result, bool) else Exit.OK


def _complain(message: str) -> None:
    mark = click.style("error:", fg="red", bold=True)
    color = False if os.environ.get("NO_COLOR") else None  # else as the terminal can
    click.echo(f"{mark} {message}", err=True, color=color)


if __name__ == "__main__":
    main()
