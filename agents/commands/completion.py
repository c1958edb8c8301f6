"""`tocsin completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

COMPLETE_VARIABLE = "_TOCSIN_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete tocsin's commands and options.

    Bash (4.4 or newer) and fish load it from the folders below; for zsh, write
    `eval "$(tocsin completion zsh)"` into ~/.zshrc.
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this click does not know {shell}")
    click.echo(found(ctx.find_root().command, {}, "tocsin", COMPLETE_VARIABLE).source())
