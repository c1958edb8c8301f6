"""SQL that a person writes: whether it only reads, and in which format it wants its answer."""

from __future__ import annotations

import re
from typing import Final

READING: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
# What a terminal cannot show.
BINARY: Final = re.compile(
    r"Parquet|Arrow|ORC|Avro|Native|RowBinary|MsgPack|Protobuf|CapnProto|BSON|Npy|Buffers"
)
_ASIDE: Final = re.compile(  # comments, and what stands in quotes
    r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`", re.DOTALL
)
_WRITING: Final = re.compile(r"\bINSERT\s+INTO\b|\bINTO\s+OUTFILE\b", re.IGNORECASE)
_FORMAT: Final = re.compile(
    r"\bFORMAT\s+(?!(?:ASC|DESC|NULLS)\b)(\w+)\s*(?:\bSETTINGS\b.*)?$", re.IGNORECASE | re.DOTALL
)


def bare(statement: str) -> str:
    """A statement without the semicolon at its end."""
    return statement.strip().rstrip(";").strip()


def refusal(statement: str) -> str | None:
    """Why a statement is not asked: it would change something, or says nothing."""
    plain = _plain(statement)
    words = plain.split(None, 1)
    if not words:
        return "there is no statement"
    if words[0].upper().lstrip("(") not in READING or _WRITING.search(plain):
        return f"{words[0].upper()} is not asked here: only {', '.join(sorted(READING))}"
    return None


def own_format(statement: str) -> str:
    """The format that a statement names with FORMAT at its end; empty if none."""
    found = _FORMAT.search(_plain(statement))
    return found[1] if found else ""


def _plain(statement: str) -> str:
    return bare(_ASIDE.sub(lambda aside: "''" if aside[0][0] in "'\"`" else " ", statement))
