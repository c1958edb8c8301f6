"""Policies that build on another: `extends: default`, and only what differs.

What an extending policy names is merged by name: of rules, components of the score, strategies,
classes, collection and the words of sources field by field, so that a field is given whole; `null`
takes a rule or a field away; anything else, such as `overrides`, stands in place of what was there.
What is published is the whole policy, so that a later default changes nothing that is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EXTENDS = "extends"
OWN = ("name", "version")
"""What every policy says for itself."""

_DEPTHS = {
    "rules": 2,
    "score": 3,
    "grades": 1,
    "strategy": 2,
    "classes": 2,
    "sources": 2,
    "collection": 1,
    "telling": 1,
}
"""How deep mappings are merged by name; below, and elsewhere but for `texts`, they are replaced."""

Note = Callable[[tuple[str, ...], str], None]


def extended(plain: Any, packaged: Callable[[str], Any], names: tuple[str, ...], note: Note) -> Any:
    """A plain policy with what it extends written out; unchanged if it extends nothing.

    `packaged` gives the plain policy of one of `names`. Problems go to `note`.
    """
    if not isinstance(plain, dict) or EXTENDS not in plain:
        return plain
    base = plain[EXTENDS]
    if base not in names:
        note((EXTENDS,), f"must be one of {', '.join(names)}")
        return plain
    for key in OWN:
        if key not in plain:
            note((), f"lacks {key}: a policy that extends another has its own")
    changes = {key: value for key, value in plain.items() if key != EXTENDS}
    found = dict(packaged(base))
    for key, value in changes.items():
        depth = _DEPTHS.get(key, int(key == "texts"))
        _merge(found, key, value, depth, (key,), note)
    return found


def _merge(
    found: dict[str, Any], key: str, value: Any, depth: int, path: tuple[str, ...], note: Note
) -> None:
    before = found.get(key)
    if value is None:
        if key not in found:
            note(path, "is null, which takes it away, but what is extended has none")
        found.pop(key, None)
    elif depth and isinstance(before, Mapping) and isinstance(value, Mapping):
        inner = found[key] = dict(before)
        for name, part in value.items():
            _merge(inner, name, part, depth - 1, (*path, name), note)
    else:
        found[key] = value
