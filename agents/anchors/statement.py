"""The anchor: what it states, its file, and the row of anchors that it ends.

A file has two lines of JSON: the statement, and the signature over the first line's bytes. Each
statement covers what came after the one before, and names that one's file and its SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tocsin.agents.anchors.extents import Extent
from tocsin.agents.anchors.signing import Key, fingerprint, is_signed
from tocsin.agents.settings.errors import InputError, UnavailableError
from tocsin.schemas.contracts.catalog import BY_NAME

FORMAT: Final = 1
SUFFIX: Final = ".anchor"
_NAME: Final = re.compile(r"(?P<app>[A-Za-z0-9._-]{1,100})-(?P<number>[0-9]{6,12})\.anchor")


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """The last record of a partition's journal, and the SHA-256 of its value (hex)."""

    partition: int
    sequence: int
    offset: int
    hash: str


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """The anchor before: its file's name and SHA-256 (hex)."""

    file: str
    sha256: str


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """What topics held at an instant (ISO 8601), beyond what the anchor before says."""

    format: int
    app_id: str
    number: int
    made_at: str
    made_by: str
    previous: Link | None
    heads: tuple[Head, ...]
    extents: tuple[Extent, ...]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.app_id}-{self.number:06}{SUFFIX}"

    @property
    def ends(self) -> dict[tuple[int, int], int]:
        """By topic id and partition, the offset after the last that it covers."""
        return {extent.place: extent.next for extent in self.extents}


class _Signed(Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    signature: str


class Stored(Struct, frozen=True):
    """An anchor as it was read from its file, and the file's SHA-256 (hex)."""

    anchor: Anchor
    path: Path
    sha256: str


class AnchorError(InputError):
    """A file that is no anchor, or one whose signature does not count."""


def encode(anchor: Anchor, key: Key) -> bytes:
    """The content of an anchor's file."""
    statement = msgspec.json.encode(anchor)
    signed = _Signed(_text(key.public), _text(key.sign(statement)))
    return statement + b"\n" + msgspec.json.encode(signed) + b"\n"


def read_anchor(path: Path, keys: Collection[str]) -> Stored:
    """Read an anchor that one of the keys has signed. Raises AnchorError, UnavailableError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"{path}: {error.strerror}", mend="give the path of an anchor that may be read"
        ) from error
    return Stored(_decode(content, path, keys), path, sha256(content).hexdigest())


def _decode(content: bytes, path: Path, keys: Collection[str]) -> Anchor:
    lines = content.split(b"\n")
    if len(lines) != 3 or lines[2]:
        raise _no_anchor(path, "it does not have two lines")
    try:
        signed = msgspec.json.decode(lines[1], type=_Signed)
        public = base64.b64decode(signed.key, validate=True)
        signature = base64.b64decode(signed.signature, validate=True)
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise _no_anchor(path, f"its second line is no signature: {error}") from error
    if msgspec.json.encode(_Signed(_text(public), _text(signature))) != lines[1]:
        raise _no_anchor(path, "its second line is not written as we write it")
    if fingerprint(public) not in keys:
        raise AnchorError(
            f"{path} is signed by {fingerprint(public)}, which does not count here",
            mend=f"it takes {' or '.join(sorted(keys))}: see anchor_keys",
        )
    if not is_signed(public, signature, lines[0]):
        raise AnchorError(f"{path} was changed: its signature does not fit", mend="restore it")
    try:
        anchor = msgspec.json.decode(lines[0], type=Anchor)
    except msgspec.MsgspecError as error:
        raise _no_anchor(path, f"its first line is no statement that we know: {error}") from error
    if anchor.format != FORMAT:
        raise _no_anchor(path, f"it has format {anchor.format}, and this version reads {FORMAT}")
    if unknown := sorted({extent.topic for extent in anchor.extents} - BY_NAME.keys()):
        raise _no_anchor(path, f"it covers {unknown[0]}, a topic that this version does not know")
    return anchor


def last_file(folder: Path, app_id: str) -> Path | None:
    """The newest anchor of a deployment in a folder, by its name; None if there is none."""
    found = {
        int(match["number"]): path
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) and match["app"] == app_id
    }
    return found[max(found)] if found else None


class Row(Struct, frozen=True):
    """The anchors up to one, the oldest first, and what is wrong with those before it.

    A problem ends the row: what is further back is proven by nothing here.
    """

    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()


def row_of(last: Stored, keys: Collection[str]) -> Row:
    """Follow the links from an anchor back to the first, through files in its folder."""
    files, current = [last.path], last
    while (link := current.anchor.previous) is not None:
        path = last.path.parent / Path(link.file).name
        name = current.path.name
        if not path.exists():
            return _row(files, f"{path} is missing: {name} goes on from it")
        try:
            before = read_anchor(path, keys)
        except (AnchorError, UnavailableError) as error:
            return _row(files, str(error))
        if before.sha256 != link.sha256:
            return _row(files, f"{path} is not the file that {name} goes on from")
        if before.anchor.number >= current.anchor.number:
            return _row(files, f"{path} does not come before {name}")
        files.append(path)
        current = before
    return _row(files)


def _row(files: list[Path], *problems: str) -> Row:
    return Row(tuple(reversed(files)), problems)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _no_anchor(path: Path, reason: str) -> AnchorError:
    return AnchorError(f"{path} is no anchor: {reason}", mend="give a file of `tocsin anchor`")
