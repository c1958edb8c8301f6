"""Why bytes or text were not taken as a record: stable codes and the exception that carries them.

What a decoded fact may say is checked by `tocsin.streams.facts.checks`, which has its own codes.
"""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class Code(StrEnum):
    """Stable codes of dead letters that were refused before they were understood."""

    EMPTY = "EMPTY"  # no value at all: append-only topics have no tombstones
    NOT_FRAMED = "NOT_FRAMED"  # shorter than the framing, or another first byte than 0
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"  # the registry does not know this id
    SCHEMA_FOREIGN = "SCHEMA_FOREIGN"  # the id belongs to another topic
    SCHEMA_UNREADABLE = "SCHEMA_UNREADABLE"  # the id's schema does not resolve to ours
    TYPE_UNKNOWN = "TYPE_UNKNOWN"  # a branch or type name that the schema does not have
    UNDECODABLE = "UNDECODABLE"  # the bytes do not follow the schema
    TRAILING_BYTES = "TRAILING_BYTES"  # a record, and then something more
    NOT_JSON = "NOT_JSON"  # a line that is not a JSON object
    FIELD_INVALID = "FIELD_INVALID"  # a line's field is missing, unknown or of the wrong form


class Refused(Exception):  # noqa: N818 - named for what happened; it is an outcome, not a fault
    """Input that can never be read, whatever is retried; `detail` says what and how to mend it."""

    def __init__(self, code: StrEnum, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
