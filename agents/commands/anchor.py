"""`tocsin anchor`: signed statements of what topics hold, to be kept elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from tocsin.agents.anchors.making import export
from tocsin.agents.anchors.signing import create_key, read_key
from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import GivenPath, connected, run
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.settings import Settings


@click.group("anchor", cls=Group)
def anchor() -> None:
    """Sign what the topics hold, so that a later change of anything is found and named."""


@anchor.command("key")
@connected
def anchor_key(settings: Settings, terminal: Terminal) -> None:
    """Tell the fingerprint of the key that signs anchors; make the key if there is none.

    Keep the fingerprint where auditors find it, apart from this machine: they set it as
    anchor_keys, and believe no other key.
    """
    path = settings.anchor_key_path
    is_new = not path.exists()
    key = create_key(path) if is_new else read_key(settings)
    terminal.result(
        {
            "key_file": str(path),
            "fingerprint": key.fingerprint,
            "public_key": base64.b64encode(key.public).decode(),
            "is_new": is_new,
        }
    )
    terminal.say(f"{'made' if is_new else 'there is'} a key in {path}, of fingerprint")
    terminal.say(key.fingerprint)


@anchor.command("export")
@click.option(
    "--to",
    "folder",
    type=GivenPath(is_folder_too=True),
    required=True,
    help="Folder that has the anchor before, or none yet.",
)
@connected
def anchor_export(settings: Settings, terminal: Terminal, folder: Path) -> None:
    """Write the next anchor: what came into the topics since the one before, signed.

    Made to be run once a day; over a long history the first run writes several. The folder belongs
    on other storage than Kafka's and ClickHouse's, where what is written once stays. Exit code 1 if
    the topics do not go on from where the anchor before ended, or a journal's chain is broken: then
    none is written.
    """
    if not folder.is_dir():
        raise click.UsageError(f"--to {folder}: it is no folder")
    made = run(export(settings, folder))
    found = made.last
    terminal.result(
        {
            "file": str(made.path),
            "number": found.number,
            "made_at": found.made_at,
            "previous": found.previous.file if found.previous else None,
            "anchors": len(made.anchors),
            "records": made.records,
            "journal": [
                {"partition": head.partition, "sequence": head.sequence, "hash": head.hash}
                for head in found.heads
            ],
        }
    )
    begun = made.anchors[0].previous
    before = f"since {begun.file}" if begun else "the first"
    terminal.say(f"{made.path}: {made.records:,} records, {before}")
