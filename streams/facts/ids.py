"""Identifiers that depend on nothing but what they are made of."""

from __future__ import annotations

import hashlib


def derived_id(*parts: object) -> str:
    """An identifier that depends on nothing but its parts: 32 hexadecimal digits."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
