"""All that is wrong with a JSON line that is no event: each field, what it is, how to mend it.

The decoder stops at the first fault. This looks at a line that it refused once more, field by
field, so that whoever wrote it mends it in one go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from tocsin.schemas.files.near import did_you_mean
from tocsin.streams.facts.refusals import UNREADABLE

PROBLEMS_A_LINE_MAX: Final = 20
NAME_CHARS_MAX: Final = 100
TYPE: Final = "type"
_FORMS: Final[Mapping[Any, str]] = {
    int: "write a whole number",
    str: "write a text in quotes",
    bool: "write true or false",
    date: "write it like 2025-01-31",
    datetime: "write it like 2025-01-31T08:00:00.000Z",
}
_MONEY: Final = "write a whole number of minor units, such as 12345 for 123.45"


def problems_of(line: bytes | str, kinds: Mapping[str, type[Struct]]) -> list[str]:
    """Tell what keeps a line from being read as the kind of event that it names.

    Empty if nothing is found: then the decoder's own words say best what is wrong.
    """
    try:
        return list(islice(_of_line(msgspec.json.decode(line), line, kinds), PROBLEMS_A_LINE_MAX))
    except UNREADABLE:
        return []


def _of_line(content: Any, line: bytes | str, kinds: Mapping[str, type[Struct]]) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    name = content.get(TYPE)
    if TYPE not in content:
        yield f"{TYPE}: is missing; write the name of the event, such as InvoiceIssued"
    elif not isinstance(name, str) or name not in kinds:
        meant = did_you_mean(name, kinds) if isinstance(name, str) else ""
        meant = meant or f"; use one of {', '.join(sorted(kinds))}"
        yield f"{TYPE}: {_shown(name)} is no type of event{meant}"
    else:
        fields = msgspec.json.decode(line, type=dict[str, Raw])
        del fields[TYPE]
        yield from _of_struct(fields, kinds[name], "", name)


def _of_struct(given: Mapping[str, Raw], kind: type[Struct], path: str, what: str) -> Iterator[str]:
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in given:
        if name not in known:
            meant = did_you_mean(name, known) or f"; its fields are {', '.join(known)}"
            yield f"{path}{name[:NAME_CHARS_MAX]}: is no field of {what}{meant}"
    for name, field in known.items():
        if name in given:
            yield from _of_value(given[name], field.type, f"{path}{name}")
        elif field.required:
            yield f"{path}{name}: is missing; {_mend(_plain(field.type), name)}"


def _of_value(raw: Raw, kind: Any, path: str) -> Iterator[str]:
    try:
        msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        yield from _of_parts(raw, _plain(kind), path) or [_told(str(error), _plain(kind), path)]


def _of_parts(raw: Raw, kind: Any, path: str) -> list[str]:
    """The problems inside of a list or a record; none if it is neither."""
    found: list[str] = []
    if get_origin(kind) is tuple and bytes(raw).lstrip().startswith(b"["):
        item = get_args(kind)[0]
        for place, part in enumerate(msgspec.json.decode(raw, type=list[Raw])):
            found += _of_value(part, item, f"{path}[{place}]")
    elif isinstance(kind, type) and issubclass(kind, Struct) and bytes(raw).lstrip()[:1] == b"{":
        fields = msgspec.json.decode(raw, type=dict[str, Raw])
        found += _of_struct(fields, kind, f"{path}.", path)
    return found


def _told(error: str, kind: Any, path: str) -> str:
    what = error.split(" - at `")[0]
    return f"{path}: {what[:1].lower()}{what[1:]}; {_mend(kind, path)}"


def _mend(kind: Any, name: str) -> str:
    if kind is int and name.endswith("_minor"):
        return _MONEY
    if get_origin(kind) is tuple:
        return "write a list in brackets"
    return _FORMS.get(kind, "write an object in braces")


def _plain(kind: Any) -> Any:
    """A type without `| None` and without bounds."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _shown(content: Any) -> str:
    return msgspec.json.encode(content).decode()[:NAME_CHARS_MAX]
