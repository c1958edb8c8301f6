"""Signatures of papers that leave the house, such as bundles and letters: each in a file beside it.

`FILE.sig` is JSON: the SHA-256 of the file, the public key with its fingerprint, and the signature
of Ed25519 over `tocsin paper`, a line feed and the 32 bytes of that hash. What it proves offline is
who made the file, and that nothing of it was changed since; not that what it says is true.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tocsin.agents.anchors.signing import PAPER, believed, fingerprint, is_signed, read_key
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole

SUFFIX: Final = ".sig"


class Signature(Struct, frozen=True):
    """What stands in `FILE.sig`: key and signature in base 64, the hash in hexadecimal digits."""

    sha256: str
    fingerprint: str
    public_key: str
    signature: str


class Finding(Struct, frozen=True):
    """What a signature is worth: by which key, what is wrong with it, what stays unproven."""

    fingerprint: str | None
    problem: str = ""
    unproven: str = ""


def sign_paper(settings: Settings, path: Path, content: bytes) -> str | None:
    """Write the signature beside a file; the key's fingerprint, None without one."""
    if not settings.anchor_key_path.exists():
        return None
    key = read_key(settings)
    digest = sha256(content)
    signed = Signature(
        digest.hexdigest(),
        key.fingerprint,
        base64.b64encode(key.public).decode(),
        base64.b64encode(key.sign(digest.digest(), PAPER)).decode(),
    )
    with writing_whole(beside(path)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n")
    return key.fingerprint


def check_paper(settings: Settings, path: Path, content: bytes) -> Finding:
    """What the signature beside a file is worth. Without one nothing is wrong, but unproven."""
    try:
        signed = msgspec.json.decode(beside(path).read_bytes(), type=Signature)
        public = base64.b64decode(signed.public_key, validate=True)
        signature = base64.b64decode(signed.signature, validate=True)
    except FileNotFoundError:
        return Finding(None, unproven="who made it: there is no signature beside it")
    except (ValueError, msgspec.MsgspecError):
        return Finding(None, problem=f"{beside(path).name} is no signature")
    own = fingerprint(public)
    if not is_signed(public, signature, sha256(content).digest(), PAPER):
        return Finding(own, problem=f"the signature in {beside(path).name} is not over this file")
    try:
        is_believed = own in believed(settings)
    except InputError:
        return Finding(own, unproven=f"whose key {own} is: set anchor_keys")
    if not is_believed:
        return Finding(own, problem=f"it is signed by {own}, which is not one of anchor_keys")
    return Finding(own)


def beside(path: Path) -> Path:
    """The file with the signature of a file."""
    return path.with_name(path.name + SUFFIX)
