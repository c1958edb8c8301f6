"""State machines as data: what a process may be in, and what takes it further.

A trigger without a transition is noted and changes nothing: every arrival has a defined outcome.
The diagrams of the documentation are made of these (see `tocsin.agents.docs.diagrams`).
"""

from __future__ import annotations

from msgspec import Struct

BEFORE = ""
"""The state of a process that has not begun: only something later is known of it so far."""


class Words(Struct, frozen=True):
    """What people call a state or a trigger."""

    en: str
    zh: str


class Machine(Struct, frozen=True):
    """A process. It begins in BEFORE; a state in `final` is left by no trigger.

    `letter` stands before the ids of its cases, empty where its documents are of a kind of their
    own. `triggers` are in the order in which those of one instant are taken.
    """

    name: str
    letter: str
    states: dict[str, Words]
    triggers: dict[str, Words]
    transitions: dict[tuple[str, str], str]
    final: tuple[str, ...]


def step(machine: Machine, state: str, trigger: str) -> str | None:
    """The state that a trigger leads to; None where it changes nothing."""
    return machine.transitions.get((state, trigger))
