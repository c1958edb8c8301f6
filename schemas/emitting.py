"""The text of a function that is made from a schema: its lines, their indent, fresh names."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Lines:
    """Lines of the function being made, for the records whose types are given by name."""

    def __init__(self, structs: Mapping[str, type[Struct]]) -> None:
        self.lines: list[str] = []
        self.indent = 0
        self.structs = structs
        self._count = 0

    def line(self, text: str) -> None:
        """Add a line at the present indent."""
        self.lines.append("    " * self.indent + text)

    def variable(self) -> str:
        """A name that the function does not have yet."""
        self._count += 1
        return f"x{self._count}"
