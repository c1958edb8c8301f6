"""Commands that hold others: an unknown one is answered with the one that was meant."""

from __future__ import annotations

import click

from tocsin.schemas.files.near import did_you_mean


class Group(click.Group):
    """A group that names the nearest of its commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of this name. Raises UsageError."""
        known = self.list_commands(ctx)
        name = args[0] if args else ""
        if args and name not in known and not name.startswith("-"):
            ctx.fail(f"no such command: {name}{did_you_mean(name, known)}")
        return super().resolve_command(ctx, args)
