"""docs/security.md: its table of the rights that each program needs.

Written by `make docs`; a test compares it with what this module would write today.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Final

from tocsin.agents.kafka.acls import ROLES, needs
from tocsin.agents.settings.settings import Settings

FILE: Final = Path("docs") / "security.md"

_HEAD: Final = "| role | on | names | may | since it |"


def render(text: str) -> str:
    """The whole file anew: its words as they are, its table of rights as the code has them."""
    settings = Settings(partitions=1)
    lines = [text[: text.index(_HEAD)] + _HEAD, "| --- | --- | --- | --- | --- |"]
    for role in ROLES:
        by_purpose = groupby(
            needs(role, settings), key=lambda need: (need.resource, need.operations, need.why)
        )
        for (resource, operations, why), found in by_purpose:
            names = ", ".join(f"`{need.name}`" for need in found)
            may = ", ".join(operation.value for operation in operations)
            on = resource.value.replace("-", " ")
            lines.append(f"| {role} | {on} | {names} | {may} | {why} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the file."""
    FILE.write_text(render(FILE.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
