"""`tocsin dead-letters`: see what was refused and why, mend it, send it again, end a hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import COUNT, GivenPath, Named, connected, run
from tocsin.agents.entry.dead_letters import (
    Outgoing,
    as_it_was,
    mended,
    release,
    resend,
)
from tocsin.agents.queries.dead_letters import event_line, find_refused, parse_place, refused_json
from tocsin.agents.queries.lookup import open_lookup, place_of
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import CUT, GAP_ACCEPTED, OWN_CODES
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.foreign_values import MappingCode
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.codec.refused import Code as FormCode
from tocsin.schemas.contracts.catalog import BY_ID, BY_NAME, SOURCES
from tocsin.schemas.files.near import did_you_mean
from tocsin.streams.facts.refusals import Code

TOPIC = click.Choice([topic.name for topic in SOURCES])
CODES = sorted({code.value for code in (*Code, *FormCode, *MappingCode)} | OWN_CODES)
BYTES_SHOWN = 256
RESEND_MAX = 10_000


@click.group("dead-letters", cls=Group)
def dead_letters() -> None:
    """Records that were refused: nothing of them is lost, and all can be sent again."""


class Reason(click.ParamType):
    """A code for which records are refused, in capitals or not."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the code."""
        code = str(value).upper()
        if code not in CODES:
            about = did_you_mean(code, CODES) or "; docs/refusals.md has the codes"
            self.fail(f"no record is refused for {value!r}{about}", param, ctx)
        return code


@dead_letters.command("list")
@click.option("--topic", type=TOPIC, help="Only records of this topic.")
@click.option("--code", type=Reason(), help="Only those refused for this reason.")
@click.option("--limit", type=COUNT, default=50, show_default=True, help="How many at most.")
@connected
def dead_letters_list(
    settings: Settings, terminal: Terminal, *, topic: str | None, code: str | None, limit: int
) -> None:
    """List refused records, newest first."""
    with open_lookup(settings) as lookup:
        found = lookup.dead_letters(
            topic_id=BY_NAME[topic].topic_id if topic else None, code=code or "", limit=limit
        )
    terminal.result([refused_json(refused) for refused in found])
    columns = [
        Column("record"),
        Column("when"),
        Column("key"),
        Column("code", style="yellow"),
        Column("sent again"),
        Column("what is wrong", wraps=True),
    ]
    rows = [
        (
            place_of(refused.letter),
            instant(refused.letter.timestamp),
            _text(refused.letter.key),
            refused.letter.code,
            "yes" if refused.is_resent else "no",
            refused.letter.detail,
        )
        for refused in found
    ]
    terminal.table(columns, rows, empty="no record was refused")


@dead_letters.command("show")
@click.argument("record", metavar="TOPIC/PARTITION/OFFSET")
@connected
def dead_letters_show(settings: Settings, terminal: Terminal, *, record: str) -> None:
    """Show one refused record whole: why, its headers, its bytes, and the event if readable."""
    place = parse_place(record)
    with open_lookup(settings) as lookup:
        refused = find_refused(lookup, place)
    letter = refused.letter
    event = event_line(settings, letter)
    terminal.result({**refused_json(refused), "event": event})
    terminal.facts(
        [
            ("record", place_of(letter)),
            ("when", instant(letter.timestamp)),
            ("key", _text(letter.key)),
            ("code", letter.code),
            (
                "refused",
                {"DECODE": "when read", "CHECK": "when checked"}.get(letter.stage, "")
                or "when decided",
            ),
            ("detail", letter.detail),
            ("sent again", "yes" if refused.is_resent else "no"),
            *((f"header {header.name}", _text(header.value)) for header in letter.headers),
        ]
    )
    terminal.heading("Event")
    terminal.say(event or "cannot be read")
    terminal.heading(f"Bytes ({len(letter.value or b'')})")
    terminal.say(_dump((letter.value or b"")[:BYTES_SHOWN]))
    terminal.heading("To mend it")
    terminal.say("correct the event line, put it into a file, and")
    terminal.say(f"tocsin dead-letters resend {place_of(letter)} --event FILE")


@dead_letters.command("resend")
@click.argument("records", metavar="TOPIC/PARTITION/OFFSET...", nargs=-1)
@click.option("--code", type=Reason(), help="All that were refused for this reason, not yet sent.")
@click.option(
    "--event",
    type=GivenPath(),
    help="A file with the corrected event, one JSON line; for one record.",
)
@click.option("--again", is_flag=True, help="Also what was sent again before.")
@connected
def dead_letters_resend(
    settings: Settings,
    terminal: Terminal,
    *,
    records: tuple[str, ...],
    code: str | None,
    event: Path | None,
    again: bool,
) -> None:
    """Send refused records again: as they are, or one with a corrected event.

    They go to the end of the topic they were refused on, as ordinary events.
    """
    if not records and not code:
        raise click.UsageError("name records, or give --code")
    if event is not None and len(records) != 1:
        raise click.UsageError("--event corrects one record: name exactly one")
    places = [parse_place(record) for record in records]
    with open_lookup(settings) as lookup:
        found = [find_refused(lookup, place) for place in places]
        found += lookup.letters_to_send(code, RESEND_MAX, again=again) if code else []
    chosen = [refused.letter for refused in found if again or not refused.is_resent]
    if records and len(chosen) < len(records):
        raise InputError("a record was sent again before", mend="--again sends it twice")
    chosen_records = [(letter, outgoing(letter, event, settings)) for letter in chosen]
    sent = run(resend(settings, chosen_records))
    terminal.result(sent)
    for done in sent:
        terminal.say(f"sent {done.refused_at} to {done.sent_to}")
    if not sent:
        terminal.say("nothing to send")
    elif len(sent) >= RESEND_MAX:
        terminal.say("there may be more: say it again")


@dead_letters.command("release")
@click.argument("topic", type=TOPIC)
@click.option("--partition", type=int, required=True, help="The partition that is held.")
@click.option(
    "--reason", type=Named(), required=True, help="Why it may go on; kept with the record."
)
@click.option("--drain", is_flag=True, help="Refusals in the backlog do not bring the hold back.")
@connected
def dead_letters_release(
    settings: Settings, terminal: Terminal, *, topic: str, partition: int, reason: str, drain: bool
) -> Exit:
    """End the hold that a storm of refusals put on a topic in one partition.

    The backlog up to now is read first; only then do rules judge by that topic again.
    """
    event = run(release(settings, BY_NAME[topic], partition, reason=reason, drain=drain))
    terminal.result(event)
    how = "draining" if drain else "reading"
    terminal.say(f"released {topic} in partition {partition}, {how} up to {event.until_offset}")
    return Exit.OK


def outgoing(letter: DeadLetter, event: Path | None, settings: Settings) -> Outgoing:
    """What is sent for a refused record. A letter that was cut cannot go as it is."""
    if letter.topic_id not in BY_ID:
        raise InputError(
            f"{place_of(letter)} was refused by the intake, and stands in its own topic",
            mend="mend the mapping or its source, and send it there again",
        )
    if letter.code == GAP_ACCEPTED:
        raise InputError(
            f"{place_of(letter)} begins a gap that was accepted: nothing of it is known here",
            mend="let its source send what was lost again, as new records",
        )
    if event is None and letter.detail.endswith(CUT):
        raise InputError(
            f"{place_of(letter)} was too large for dead letters and is not kept whole there",
            mend="send the corrected event with --event",
        )
    if event is None:
        return as_it_was(letter, settings)
    lines = [
        line for line in read_given(event, jsonlines.LINE_BYTES_MAX).splitlines() if line.strip()
    ]
    if len(lines) != 1:
        raise click.UsageError(f"{event} has {len(lines)} lines: it must be one event")
    return mended(letter, lines[0], settings)


def _text(content: bytes | None) -> str:
    """Bytes as text where they are text, else in hexadecimal."""
    if content is None:
        return "-"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    return text if text.isprintable() else f"0x{content.hex()}"


def _dump(content: bytes) -> str:
    """Offsets, hexadecimal and characters, sixteen bytes a line."""
    lines = []
    for start in range(0, len(content), 16):
        part = content[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:04x}  {part.hex(' '):<47}  {shown}")
    return "\n".join(lines) or "none"
