"""The table of signals: what makes a bad business customer, and what here serves each point."""

from __future__ import annotations

from importlib import resources

import msgspec
import yaml
from msgspec import Struct

SIGNALS_NAME = "signals.yaml"


class Signal(Struct, frozen=True, forbid_unknown_fields=True):
    """A point of the checklist and what serves it, by name; see the head of the table."""

    id: str
    what: str
    zh: str
    rules: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    out: str = ""
    later: str = ""

    @property
    def served_by(self) -> str:
        """What serves it, in one line."""
        parts = [*self.rules, *self.records, *self.topics, *self.views]
        parts += [f"tocsin {command}" for command in self.commands]
        parts += [f"out: {self.out}"] if self.out else []
        parts += [f"later: {self.later}"] if self.later else []
        return ", ".join(parts)


def read_signals() -> list[Signal]:
    """The packaged table, in its order."""
    text = resources.files(__package__).joinpath(SIGNALS_NAME).read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text)["signals"], list[Signal])
