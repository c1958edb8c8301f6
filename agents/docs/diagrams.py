"""docs/processes.md: every process as a diagram, made of the machine by which it is folded.

Written by `make docs`; a test compares the file with what this module would write today.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tocsin.streams.fold.processes import PROCESSES
from tocsin.streams.fold.state_machines import BEFORE, Machine

FILE = Path("docs") / "processes.md"

_HEAD = """# Processes

What is recorded about a customer on the topic `engagements` drives these state machines. They are
data ([streams/fold/state_machines.py](../streams/fold/state_machines.py)); the diagrams are drawn
of them by `make docs`.

- A case is the sum of its events in the order of their instants: an event that comes late, twice or
  before the case's beginning ends where it would have ended in time.
- An event for which a state has no arrow is noted and changes nothing. Nothing is an error.
- Days are business days. "Due today" is not overdue: a promise or an instalment lapses when its
  last day has closed.
- A step that waits too long is a warning by a rule over `step_age` or `collection_step_age`.

Which money keeps a promise or an instalment is said in
[streams/fold/fulfilment.py](../streams/fold/fulfilment.py): payments by value date, first to the
promises that are open on that day (those that name a paid invoice before the others, the oldest
first), what is left to those that are broken; plans apart from promises. A bounced payment undoes
what it kept. The ratio of promises kept is kept / (kept + broken + kept late); open and withdrawn
ones count nowhere.
"""


def main() -> None:
    """Write the file."""
    FILE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *(_section(machine) for machine in PROCESSES.values())])


def _section(machine: Machine) -> str:
    lines = [
        f"## {machine.name}",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *_arrows(machine),
        "```",
        "",
    ]
    lines += ["| state | in words | 中文 |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {words.en} | {words.zh} |" for name, words in machine.states.items()]
    lines += ["", "| event | in words | 中文 |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {words.en} | {words.zh} |" for name, words in machine.triggers.items()]
    return "\n".join([*lines, ""])


def _arrows(machine: Machine) -> Iterator[str]:
    """The transitions, those between the same two states as one arrow."""
    between: dict[tuple[str, str], list[str]] = {}
    for (state, trigger), after in machine.transitions.items():
        between.setdefault((state, after), []).append(machine.triggers[trigger].en)
    for (state, after), words in between.items():
        yield f"    {'[*]' if state == BEFORE else state} --> {after}: {', '.join(words)}"
    for state in machine.final:
        yield f"    {state} --> [*]"


if __name__ == "__main__":
    main()
