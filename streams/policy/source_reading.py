"""Reading what a policy says of its sources: words, and whether rules wait for complete ones."""

from __future__ import annotations

from typing import Any

from tocsin.streams.policy.policy import SOURCE_HELD, SOURCE_INCOMPLETE, SourceWords
from tocsin.streams.policy.value_reading import ACTION, ACTION_NAMING, Path, Reader

WHEN_INCOMPLETE = "when_incomplete"
_TROUBLES = (SOURCE_INCOMPLETE, SOURCE_HELD)
_TEXTS = ("text", "clears_when", "action_text", "over")
_HOLD, _MARK = "hold", "mark"


def read_sources(reader: Reader, plain: object) -> dict[str, SourceWords]:
    """The words about sources that can't be relied on, by what is wrong with them."""
    path = ("sources",)
    section = reader.mapping(plain, path, (*_TROUBLES, WHEN_INCOMPLETE), _TROUBLES)
    read_is_held(reader, section, path)
    return {name: _words(reader, section.get(name), (*path, name)) for name in _TROUBLES}


def with_sources(rules_plain: dict[str, Any], sources_plain: object) -> dict[str, Any]:
    """Rules as they are written, with the policy's `when_incomplete` where they say none."""
    if not isinstance(sources_plain, dict) or sources_plain.get(WHEN_INCOMPLETE) != _MARK:
        return rules_plain
    return {
        name: {WHEN_INCOMPLETE: _MARK, **plain} if isinstance(plain, dict) else plain
        for name, plain in rules_plain.items()
    }


def read_is_held(reader: Reader, plain: dict[str, Any], path: Path) -> bool:
    """Whether a rule is held back while a source of its is incomplete; it is marked if not."""
    word = plain.get(WHEN_INCOMPLETE, _HOLD)
    if word not in (_HOLD, _MARK):
        reader.note((*path, WHEN_INCOMPLETE), f"is unknown: use {_HOLD} or {_MARK}")
    return bool(word != _MARK)


def _words(reader: Reader, plain: object, path: Path) -> SourceWords:
    keys = ("action", *_TEXTS)
    words = reader.mapping(plain, path, keys, keys)
    said = {key: reader.text(words.get(key), (*path, key)) for key in _TEXTS}
    return SourceWords(action=reader.matching(words, "action", path, ACTION, ACTION_NAMING), **said)
