"""Words that people read, in every language that the product speaks."""

from __future__ import annotations

from msgspec import Struct


class Text(Struct, frozen=True):
    """The same words in English and Chinese."""

    en: str
    zh: str


NO_TEXT = Text("", "")
