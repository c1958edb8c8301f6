"""Whether one Avro schema reads all that was written under another, by Avro's rules of resolution.

Registries check this when a schema is registered. Programs check it again when they start, since a
registry may have been told not to, and a schema file has nobody else to check it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from fastavro.schema import expand_schema

from tocsin.schemas.codec.decoders import Json

_PROMOTED: Final[dict[str, frozenset[str]]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}


def unreadable(reader: Json, writer: Json) -> str:
    """What of `writer`'s records `reader` can't read, and why; empty if it reads all."""
    try:
        writer = expand_schema(deepcopy(writer))
    except Exception as error:  # whatever a foreign schema provokes
        return f"it is no Avro schema: {error}"
    return _clash(expand_schema(deepcopy(reader)), writer, "")


def _clash(reader: Any, writer: Any, place: str) -> str:
    reader, writer = _bare(reader), _bare(writer)
    if isinstance(writer, list):
        return next(filter(None, (_clash(reader, branch, place) for branch in writer)), "")
    if isinstance(reader, list):
        return _no_branch(reader, writer, place)
    if _kind(reader) != _kind(writer):
        if _kind(reader) in _PROMOTED.get(_kind(writer), ()):
            return ""
        return f"{place}: {_kind(writer)} became {_kind(reader)}"
    if _name(reader) != _name(writer):
        return f"{place}: {_name(writer)} became {_name(reader)}"
    match _kind(reader):
        case "record":
            return _fields_clash(reader, writer, f"{place}.{_name(reader)}".lstrip("."))
        case "array":
            return _clash(reader["items"], writer["items"], f"{place}[]")
        case "map":
            return _clash(reader["values"], writer["values"], f"{place}[]")
        case "enum" if "default" not in reader:
            gone = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            return f"{place}: {', '.join(gone)} is gone from {_name(reader)}" if gone else ""
        case "fixed" if reader["size"] != writer["size"]:
            return f"{place}: {writer['size']} bytes became {reader['size']}"
    return ""


def _no_branch(reader: list[Any], writer: Any, place: str) -> str:
    """Why no branch of a union reads the type; a branch of its name knows best."""
    clashes = {_name(_bare(branch)): _clash(branch, writer, place) for branch in reader}
    if "" in clashes.values():
        return ""
    gone = f"{place}: {_name(writer)} is gone from a union".lstrip(": ")
    return clashes.get(_name(writer), gone)


def _fields_clash(reader: Any, writer: Any, place: str) -> str:
    written = {field["name"]: field["type"] for field in writer["fields"]}
    for field in reader["fields"]:
        where = f"{place}.{field['name']}"
        if field["name"] in written:
            clash = _clash(field["type"], written[field["name"]], where)
            if clash:
                return clash
        elif "default" not in field:
            return f"{where}: is new and has no default"
    return ""


def _bare(schema: Any) -> Any:
    """A type without the braces that may stand around it."""
    while isinstance(schema, dict) and isinstance(schema["type"], dict | list):
        schema = schema["type"]
    return schema


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _name(schema: Any) -> str:
    """Name of a named type without its namespace; of the others their kind."""
    if isinstance(schema, dict) and "name" in schema:
        return str(schema["name"]).rpartition(".")[2]
    return _kind(schema)
