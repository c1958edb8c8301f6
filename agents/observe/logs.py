"""Structured logs on stderr: an event in words, then key=value; JSON lines where no one looks.

Fields come from `extra=` and from `bind`. What says how much or who (amounts, names, texts) is left
out of every line but DEBUG ones, whoever logs it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

Form = Literal["auto", "json", "text"]

PRIVATE_NAMES = frozenset({"name", "text", "value", "document", "source"})
PRIVATE_ENDINGS = ("_minor", "_name", "_text", "password")
# Libraries that tell at WARNING what they then retry or raise; the error is ours to tell.
TALKATIVE = ("aiokafka", "kafka", "faust", "mode", "clickhouse_connect", "aiohttp", "asyncio")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Bound(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds ids to each line; those of one line win over those bound."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the bound fields beneath the line's own."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def bind(logger: logging.Logger, **fields: object) -> Bound:
    """A logger whose lines carry these fields, such as partition or app_id."""
    return Bound(logger, fields)


def configure(level: str, form: Form = "auto", *, stream: TextIO | None = None) -> None:
    """Send the logs of this process to stderr; by itself as JSON unless that is a terminal."""
    target = stream or sys.stderr
    wants_json = form == "json" or (form == "auto" and not target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonLines() if wants_json else KeyValues())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


def quiet() -> None:
    """Silence the libraries in a command: it tells itself what went wrong."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line."""
        line = {
            "at": _instant(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class KeyValues(logging.Formatter):
    """Readable lines: instant, level, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line."""
        parts = [_instant(record), f"{record.levelname:<7}", record.getMessage()]
        parts += [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        line = " ".join(parts)
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """The line's fields, without those that are private at its level."""
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.levelno <= logging.DEBUG:
        return fields
    return {name: value for name, value in fields.items() if not _is_private(name)}


def _is_private(name: str) -> bool:
    return name in PRIVATE_NAMES or name.endswith(PRIVATE_ENDINGS)


def _instant(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    text = str(value)
    is_plain = text and not any(char.isspace() or char in '"=' for char in text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)
