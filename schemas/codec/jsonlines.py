"""Events as JSON Lines: one object a line, `type` and the fields of the Avro record of that name.

Instants are ISO 8601 with an offset, dates ISO dates, money integers in minor units. The sequence
time of a line is its `recorded_at`, else its `occurred_at`; of a policy its `effective_from`; of a
closed day the instant at which it closes. Control records without an instant of their own
(WentLive, HoldReleased, SourceCompleted, CustomerErased) carry `recorded_at` on their line only.
"""

from __future__ import annotations

import codecs
import functools
import heapq
import operator
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, BinaryIO, Final, NamedTuple, cast

import msgspec
from msgspec import Meta, Struct

from tocsin.schemas.codec.channels import STRUCTS
from tocsin.schemas.codec.decoders import Json
from tocsin.schemas.codec.line_problems import problems_of
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import packaged_schema
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    CustomerErased,
    DayClosed,
    Event,
    HoldReleased,
    PolicyPublished,
    SourceCompleted,
    WentLive,
)
from tocsin.streams.facts.refusals import UNREADABLE

LINE_BYTES_MAX: Final = 4 << 20  # no record of Kafka holds more; a policy is its longest
PROBLEMS_MAX: Final = 20
_HINT: Final = "write one JSON object a line"
MS_PER_DAY: Final = 86_400_000
MS_PER_SECOND: Final = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CALENDAR = range(1 - _EPOCH_ORDINAL, date.max.toordinal() - _EPOCH_ORDINAL + 1)  # epoch days


class Fact(NamedTuple):
    """An event where it belongs: its sequence time (epoch ms) and its topic's rank."""

    instant: int
    topic_id: int
    event: Event


class LineRefused(Refused):
    """A line that is no event; `number` counts from 1. `problems` are all that is wrong with it."""

    def __init__(self, number: int, code: Code, *problems: str) -> None:
        super().__init__(code, f"line {number}: {'; also '.join(problems)}")
        self.number = number
        self.problems = problems


class LinesError(Exception):
    """Files with lines that are no events: the first of them, all told at once."""

    def __init__(self, problems: list[str]) -> None:
        more = "" if len(problems) < PROBLEMS_MAX else f"\n(the first {PROBLEMS_MAX} problems)"
        super().__init__("\n".join(problems) + more)
        self.problems = tuple(problems)


def parse(line: bytes | str, number: int, convention: Convention) -> Fact:
    """Read one line; raise `LineRefused` if it is no event."""
    if len(line) > LINE_BYTES_MAX:
        detail = f"is longer than {LINE_BYTES_MAX} bytes; {_HINT}"
        raise LineRefused(number, Code.NOT_JSON, detail)
    try:
        read = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        code = Code.TYPE_UNKNOWN if "`$.type`" in str(error) else Code.FIELD_INVALID
        problems = problems_of(line, _KINDS) or [f"{error}; {_HINT}"]
        raise LineRefused(number, code, *problems) from error
    except UNREADABLE as error:
        raise LineRefused(number, Code.NOT_JSON, f"{error}; {_hint(line)}") from error
    form = _FORMS[type(read)]
    fields = [
        content if convert is None or content is None else convert(content)
        for content, convert in zip(_contents(read), form.converts, strict=True)
    ]
    if form.is_stamped:
        return Fact(fields.pop(), form.topic_id, form.make(*fields))
    event = form.make(*fields)
    try:
        instant = sequence_time(event, convention)
    except (OverflowError, ValueError) as error:  # a day beyond the calendar's end
        raise LineRefused(
            number, Code.FIELD_INVALID, f"date: no such business day: {error}"
        ) from error
    return Fact(instant, form.topic_id, event)


def format(event: Event, *, instant: int | None = None) -> str:  # noqa: A001 - the pair of `parse`
    """Return the line of an event, without its end; `instant` for records that have none."""
    kind = type(event)
    form = _FORMS_OF[kind]
    fields: dict[str, Any] = {"type": kind.__name__}
    for name, show in form.shows:
        content = getattr(event, name)
        if content is not None and show is not None:
            content = show(content)
        if content is not None:  # absent fields are null
            fields[name] = content
    if form.is_stamped:
        if instant is None:
            raise ValueError(f"{kind.__name__} has no instant of its own: give it one")
        fields["recorded_at"] = iso_instant(instant)
    return msgspec.json.encode(fields).decode()


def sequence_time(event: Event, convention: Convention) -> int:
    """Return the instant (epoch ms) at which the fact became known."""
    match event:
        case PolicyPublished():
            return event.effective_from
        case DayClosed():
            return convention.closes_at(event.date)
        case WentLive() | HoldReleased() | SourceCompleted() | CustomerErased():
            raise ValueError(f"{type(event).__name__} has no instant of its own")
    return event.occurred_at if event.recorded_at is None else event.recorded_at


def topic_of(event: Event) -> int:
    """Return the id of the topic that carries events of this type."""
    return _FORMS_OF[type(event)].topic_id


class Checked:
    """Files of which every line is an event; they can be read as often as is wanted."""

    def __init__(
        self, files: Sequence[tuple[Path, array[int] | None]], convention: Convention
    ) -> None:
        self._files = files
        self._convention = convention

    def facts(self) -> Iterator[Fact]:
        """The events by sequence time, rank and line."""
        sources = [_facts(file, order, self._convention) for file, order in self._files]
        if len(sources) == 1:
            return sources[0]
        return heapq.merge(*sources, key=lambda fact: fact[:2])


def read(paths: Iterable[Path], convention: Convention) -> Iterator[Fact]:
    """Yield the events of files once, see `checked`. Raises LinesError before the first one."""
    return checked(paths, convention).facts()


def checked(paths: Iterable[Path], convention: Convention) -> Checked:
    """Look at every line of files, or of all *.jsonl in folders.

    Files may be larger than memory: only the order is kept, at 16 bytes a line. Raises LinesError,
    which tells what is wrong.
    """
    problems: list[str] = []
    found = []
    for path in paths:
        events, before = 0, len(problems)
        for file in _files(path):
            order, count = _order(file, convention, problems)
            found.append((file, order))
            events += count
            if len(problems) >= PROBLEMS_MAX:
                raise LinesError(problems[:PROBLEMS_MAX])
        if not events and len(problems) == before:
            problems.append(f"{path}: is empty, there is no event in it; {_HINT}")
    if problems:
        raise LinesError(problems[:PROBLEMS_MAX])
    return Checked(found, convention)


def with_closings(facts: Iterable[Fact], convention: Convention) -> Iterator[Fact]:
    """Insert a DayClosed before the first fact at or after each closing instant.

    Days that the facts close themselves are not closed twice. Where days wait for marks, the latest
    hour of each is told too.
    """
    ends: Iterator[tuple[int, int]] | None = None
    closing, day = 0, 0
    for fact in facts:
        if ends is None:
            ends = convention.ends(convention.business_date(fact.instant))
            closing, day = next(ends)
        closed = fact.event.date if isinstance(fact.event, DayClosed) else None
        while fact.instant >= closing:
            if day != closed:
                yield Fact(closing, catalog.CLOCK.topic_id, DayClosed(day, "feed"))
            closing, day = next(ends)
        yield fact


def iso_instant(instant: int) -> str:
    """Return an instant (epoch ms) as ISO 8601 in UTC, to the millisecond.

    One that no calendar has is told as it is: refused records bear such.
    """
    day, ms = divmod(instant, MS_PER_DAY)
    if not _CALENDAR.start <= day < _CALENDAR.stop:
        return f"{instant} ms since 1970"
    seconds, ms = divmod(ms, MS_PER_SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{iso_date(day)}T{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}Z"


@functools.lru_cache(maxsize=8192)
def iso_date(day: int) -> str:
    """Return an epoch day as an ISO date; one that no calendar has as it is."""
    if not _CALENDAR.start <= day < _CALENDAR.stop:
        return f"{day} days since 1970"
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.jsonl"))
    if not found:
        raise LinesError([f"{path}: no *.jsonl file in this folder"])
    return found


def _order(
    file: Path, convention: Convention, problems: list[str]
) -> tuple[array[int] | None, int]:
    """Return where the file's lines begin, in the order of their facts, and how many there are.

    None in place of the order if they are in it.
    """
    if file.exists() and not file.is_file():
        problems.append(f"{file}: is read twice, which a pipe is not; write the lines to a file")
        return None, 0
    starts, instants, ranks = array("q"), array("q"), array("b")
    before, is_sorted = (0, 0), True
    try:
        with file.open("rb") as lines:
            for number, (start, line) in enumerate(_lines(lines), 1):
                if not line.isspace():
                    try:
                        fact = parse(line, number, convention)
                    except LineRefused as refused:
                        where = f"{file}, line {number}"
                        problems += [f"{where}: {problem}" for problem in refused.problems]
                        if len(problems) >= PROBLEMS_MAX:
                            return None, 0
                    else:
                        key = fact[:2]
                        is_sorted = is_sorted and (before <= key or not starts)
                        before = key
                        starts.append(start)
                        instants.append(fact.instant)
                        ranks.append(fact.topic_id)
    except OSError as error:
        problems.append(f"{file}: {error.strerror}; mend the path or the file's rights")
    if is_sorted:
        return None, len(starts)
    places = sorted(range(len(starts)), key=lambda place: (instants[place], ranks[place]))
    return array("q", (starts[place] for place in places)), len(starts)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins, and the line; of one that is too long only its beginning."""
    start = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        yield start, line
        start += len(line)
        if len(line) > LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_MAX)
            start = file.tell()


def _facts(file: Path, order: array[int] | None, convention: Convention) -> Iterator[Fact]:
    with file.open("rb") as lines:
        if order is None:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield parse(line, number, convention)
            return
        for start in order:
            lines.seek(start)
            yield parse(lines.readline(), 0, convention)


def _milliseconds(instant: datetime) -> int:
    since = instant - _EPOCH
    return since.days * MS_PER_DAY + since.seconds * MS_PER_SECOND + since.microseconds // 1000


def _day(day: date) -> int:
    return day.toordinal() - _EPOCH_ORDINAL


def _hint(line: bytes | str) -> str:
    """What to write in place of a line that is no JSON."""
    start = line[:3] if isinstance(line, bytes) else line[:3].encode("utf-8", "surrogatepass")
    is_marked = start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "save the file as UTF-8, without a byte order mark" if is_marked else _HINT


_contents = msgspec.structs.astuple


class _Form(Struct, frozen=True):
    """How one type of event stands on a line."""

    topic_id: int
    make: Callable[..., Event]
    is_stamped: bool  # its line carries recorded_at, its record does not
    converts: tuple[Callable[[Any], Any] | None, ...]
    shows: tuple[tuple[str, Callable[[Any], Any] | None], ...]


_LOGICAL: Final[dict[str, tuple[Any, Callable[[Any], int], Callable[[int], str]]]] = {
    "timestamp-millis": (Annotated[datetime, Meta(tz=True)], _milliseconds, iso_instant),
    "date": (date, _day, iso_date),
}
_PLAIN: Final[dict[str, Any]] = {
    "string": str,
    "boolean": bool,
    "int": Annotated[int, Meta(ge=-(2**31), lt=2**31)],
    "long": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
}
_STAMP: Final[Json] = {"name": "recorded_at", "type": {"logicalType": "timestamp-millis"}}


def _line_type(schema: Json) -> tuple[Any, Any, Any]:
    """Return a field's type on a line, the conversion into the event, and the one out of it."""
    if isinstance(schema, list):
        kind, convert, show = _line_type(schema[1])
        return kind | None, convert, show
    if isinstance(schema, str):
        return _PLAIN[schema], None, None
    if schema.get("type") == "array":
        kind, convert, show = _line_type(schema["items"])
        items = GenericAlias(tuple, (kind, ...))
        told = show and _each(show, list)
        if isinstance(schema["items"], dict):  # no parts: the field is left out
            told = lambda parts: _each(show, list)(parts) or None  # noqa: E731
        return items, convert and _each(convert, tuple), told
    if schema.get("type") == "record":
        return _part_type(schema)
    return _LOGICAL[schema["logicalType"]]


def _each(convert: Callable[[Any], Any], gather: type) -> Callable[[Any], Any]:
    return lambda items: gather(map(convert, items))


def _part_type(schema: Json) -> tuple[Any, Any, Any]:
    """Return the same of a record inside of another."""
    make = STRUCTS[schema["name"]]
    names = [field["name"] for field in schema["fields"]]
    kinds, converts, shows = zip(*(_line_type(f["type"]) for f in schema["fields"]), strict=True)
    fields: list[Any] = [
        (field["name"], kind, field["default"]) if "default" in field else (field["name"], kind)
        for field, kind in zip(schema["fields"], kinds, strict=True)
    ]
    line = msgspec.defstruct(
        schema["name"],
        fields,
        forbid_unknown_fields=True,
        kw_only=True,
        frozen=True,
    )

    def convert(read: Struct) -> Struct:
        return make(*map(_apply, converts, _contents(read)))

    def show(part: Struct) -> dict[str, Any]:
        found = zip(names, map(_apply, shows, _contents(part)), strict=True)
        return {name: content for name, content in found if content is not None}

    return line, convert, show


def _apply(convert: Callable[[Any], Any] | None, content: Any) -> Any:
    return content if convert is None or content is None else convert(content)


def _line_struct(schema: Json, topic_id: int) -> tuple[type[Struct], _Form]:
    """Make the Struct of a record's line, and what turns it into the event and back."""
    make = STRUCTS[schema["name"]]
    is_stamped = make in (WentLive, HoldReleased, SourceCompleted, CustomerErased)
    fields: list[Any] = []
    converts, shows = [], []
    for field in [*schema["fields"], *([_STAMP] if is_stamped else [])]:
        kind, convert, show = _line_type(field["type"])
        name = field["name"]
        converts.append(convert)
        if field is not _STAMP:
            shows.append((name, show))
        if "default" in field:
            default = field["default"]
            fields.append((name, kind, () if default == [] else default))
        else:
            fields.append((name, kind))
    line = msgspec.defstruct(
        schema["name"],
        fields,
        tag_field="type",
        tag=schema["name"],
        forbid_unknown_fields=True,
        kw_only=True,
        frozen=True,
    )
    make_event = cast(Callable[..., Event], make)
    return line, _Form(topic_id, make_event, is_stamped, tuple(converts), tuple(shows))


_FORMS: Final[dict[type[Struct], _Form]] = dict(
    _line_struct(branch, topic.topic_id)
    for topic in catalog.SOURCES
    for branch in cast(Json, packaged_schema(topic.name))
)
_FORMS_OF: Final[dict[type[Struct], _Form]] = {
    cast(type[Struct], form.make): form for form in _FORMS.values()
}
_KINDS: Final = {line.__name__: line for line in _FORMS}
_DECODER: Final = msgspec.json.Decoder(functools.reduce(operator.or_, _FORMS))
