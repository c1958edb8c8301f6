"""What encrypted personal data look like in a record, so that checks leave room for them.

Whoever has the keys makes and opens such texts (`tocsin.agents.privacy.encryption`); decisions
never do. The same text of a customer's field is always encrypted to the same text, so that a record
sent twice is seen as the same.
"""

from __future__ import annotations

from typing import Final

SEALED: Final = "enc:v1:"
OVERHEAD_CHARS: Final = 128  # its key's name and version, and what shows that nobody changed it


def text_limit(value: str, limit: int) -> int:
    """How many characters a text may have: `limit` if it is plain, what they take if encrypted."""
    if not value.startswith(SEALED):
        return limit
    return limit * 16 // 3 + OVERHEAD_CHARS  # up to 4 bytes a character, in base 64
