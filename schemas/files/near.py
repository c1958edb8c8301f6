"""Which known name somebody meant who wrote another: only one that is a slip or two away."""

from __future__ import annotations

from collections.abc import Iterable

LETTERS_A_SLIP = 4  # one slip in a short name, one more for every so many letters
SLIPS_MAX = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean x?)` if a known name is near, else nothing."""
    found = near(name, known)
    return f" (did you mean {found}?)" if found else ""


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that is fewest slips away, None if none is near; case does not count.

    A slip is a letter too many, too few, another one, or two that changed places.
    """
    most = slips_allowed(name)
    close = (one for one in known if abs(len(one) - len(name)) <= most)
    found = [(slips(name.lower(), one.lower()), one) for one in close]
    count, best = min(found, default=(most + 1, None))
    return best if count <= most else None


def slips_allowed(name: str) -> int:
    """How many slips there may be in a name; not as many as it has letters."""
    return min(SLIPS_MAX, max(1, len(name) // LETTERS_A_SLIP), max(0, len(name) - 1))


def slips(one: str, other: str) -> int:
    """How many slips lead from one text to another (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
