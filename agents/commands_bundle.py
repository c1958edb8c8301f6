"""`tocsin bundle`: all that is known of a customer, as evidence in one file; and its check."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from tocsin.agents.bundle import (
    BundleError,
    Contents,
    contents_of,
    files_of,
    packed,
    problems,
    unpacked,
)
from tocsin.agents.bundle_reading import differences, gather
from tocsin.agents.errors import InputError
from tocsin.agents.exits import Exit
from tocsin.agents.lookup import history
from tocsin.agents.options import GivenPath, Named, TargetPath, connected, run
from tocsin.agents.privacy import opening
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Terminal
from tocsin.agents.whole_files import writing_whole
from tocsin.agents.wire import open_codec

SHOWN_MAX = 20


@click.command("bundle")
@click.argument("customer_id", metavar="[CUSTOMER]", required=False, type=Named())
@click.option("--out", type=TargetPath(), help="The zip to write.")
@click.option("--episode", default="", metavar="ID", help="Only what concerns this episode.")
@click.option(
    "--verify",
    "checked",
    type=GivenPath(),
    help="Check a bundle instead of making one.",
)
@click.option("--offline", is_flag=True, help="Check it by itself, without the topics.")
@connected
def bundle(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str | None,
    out: Path | None,
    episode: str,
    checked: Path | None,
    offline: bool,
) -> Exit:
    """Write a customer's history as evidence, or check such a file.

    Facts, money, contacts, promises, disputes, warnings with what they rest on, silences and every
    policy: as tables, and as the raw records with their hashes. The same records give the same
    bytes. A check looks whether the file says what its records say, and whether those are the
    topics'; exit code 1 if not.
    """
    if checked is not None:
        if customer_id or out or episode:
            raise click.UsageError("--verify takes a bundle, and no customer, --out or --episode")
        return _verify(settings, terminal, checked, offline)
    if not customer_id or out is None:
        raise click.UsageError("name a CUSTOMER and --out FILE, or give --verify FILE")
    guard = opening(settings)
    codec = open_codec(settings, guard)
    with history(settings) as client:
        contents = gather(settings, client, codec, guard.customer(customer_id), episode)
    content = packed(files_of(contents, codec))
    with writing_whole(out) as file:
        file.write(content)
    _tell(terminal, out, contents, content)
    return Exit.OK


def _tell(terminal: Terminal, path: Path, contents: Contents, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    terminal.result(
        {
            "file": str(path),
            "sha256": digest,
            "customer_id": contents.customer_id,
            "episode_id": contents.episode_id or None,
            "records": len(contents.records),
            "warnings": len(contents.warnings),
            "policies": len(contents.policies),
        }
    )
    terminal.say(
        f"{path}: {len(contents.records):,} records and {len(contents.warnings):,} warnings of "
        f"{contents.customer_id}, {len(contents.policies)} policies"
    )
    terminal.say(f"sha256 {digest}")


def _verify(settings: Settings, terminal: Terminal, path: Path, offline: bool) -> Exit:
    try:
        files = unpacked(path.read_bytes())
        found = problems(files, open_codec(settings, opening(settings)))
        contents = contents_of(files)
    except BundleError as error:
        raise InputError(f"{path}: {error}", mend="make it anew") from error
    is_compared = bool(settings.bootstrap_servers) and not offline and not found
    if is_compared:
        found += run(differences(settings, contents))
    terminal.result(
        {
            "file": str(path),
            "customer_id": contents.customer_id,
            "is_sound": not found,
            "compared_with_topics": is_compared,
            "problems": found,
        }
    )
    for problem in found[:SHOWN_MAX]:
        terminal.say(problem, style="red")
    if len(found) > SHOWN_MAX:
        terminal.say(f"and {len(found) - SHOWN_MAX} more; --json has all")
    if not found:
        how = "its records are those of the topics" if is_compared else "not compared with topics"
        terminal.say(f"{path} is sound: every table says what its records say; {how}")
    return Exit.DIFFERENCE if found else Exit.OK
