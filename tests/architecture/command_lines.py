"""Command lines as `tocsin` parses them, without running them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tocsin.agents.commands.cli import tocsin


def parse(words: Sequence[str]) -> click.Context:
    """Parse what follows `tocsin`; raises click's UsageError for what it would refuse."""
    command: click.Command = tocsin
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            raise click.UsageError(f"no such command: {' '.join(words)}")
        command, rest = found, rest[1:]
    return command.make_context(command.name, rest)


def commands() -> dict[str, click.Command]:
    """Every command that does something, by its words; groups are left out."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, words: list[str]) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                walk(below, [*words, name])
        else:
            found[" ".join(words)] = command

    walk(tocsin, [])
    return found
