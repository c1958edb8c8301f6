"""Severities, and the ladder of thresholds that turns a value into one of them.

Hysteresis: a severity begins at its `raise_at` and holds while the value stays at or above its
`hold_at`, which lies as far below as `clear_at` lies below the lowest `raise_at`.
"""

from __future__ import annotations

from msgspec import Struct

LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4
SEVERITIES = {"LOW": LOW, "MEDIUM": MEDIUM, "HIGH": HIGH, "CRITICAL": CRITICAL}
SEVERITY_NAMES = {number: name for name, number in SEVERITIES.items()}


class Rung(Struct, frozen=True):
    """One severity of a ladder, in the measure's unit."""

    severity: int
    raise_at: int
    hold_at: int


class Ladder(Struct, frozen=True):
    """Thresholds of one rule (and currency), rising. Below `clear_at` an episode is over."""

    rungs: tuple[Rung, ...]
    clear_at: int
    lowest: int

    def level(self, value: int, current: int) -> int:
        """The severity of a value for an episode of severity `current` (0: none is open)."""
        level = 0
        for rung in self.rungs:
            if value >= rung.raise_at or (rung.severity <= current and value >= rung.hold_at):
                level = rung.severity
        return level

    def raise_at(self, severity: int) -> int:
        """Where a severity begins; of the next milder rung if the ladder lacks that severity."""
        found = self.lowest
        for rung in self.rungs:
            if rung.severity <= severity:
                found = rung.raise_at
        return found

    def reached_at(self, severity: int, value: int) -> int:
        """What a value reaches that holds a severity: where that begins, else where it ends."""
        begins = self.raise_at(severity)
        return begins if value >= begins else self.hold_at(severity)

    def hold_at(self, severity: int) -> int:
        """Below which a severity ends."""
        found = self.clear_at
        for rung in self.rungs:
            if rung.severity <= severity:
                found = rung.hold_at
        return found


def build_ladder(raise_at: dict[int, int], clear_at: int) -> Ladder:
    """A ladder from thresholds by severity, which must rise, and a lower `clear_at`."""
    steps = sorted(raise_at.items())
    margin = steps[0][1] - clear_at
    rungs = tuple(Rung(severity, value, value - margin) for severity, value in steps)
    return Ladder(rungs, clear_at, steps[0][1])
