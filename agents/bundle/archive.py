"""The zip of a bundle: how its files are packed, and how a file from somebody is unpacked."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

MANIFEST: Final = "manifest.json"
BYTES_MAX: Final = 1 << 30
ENTRY_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell: it tells nothing

# What zipfile and what it unpacks with raise for bytes that are no zip, or a damaged one.
_NO_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
)


class BundleError(Exception):
    """A file that is no bundle, or one that cannot be read."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """A zip of files, by name. Not compressed: other versions of zlib would give other bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, ENTRY_TIME)
            entry.create_system = 3  # as on Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return whole.getvalue()


def unpacked(content: bytes) -> dict[str, bytes]:
    """The files of a zip by name. Raises BundleError if it is none or has no manifest."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > BYTES_MAX:
                raise BundleError(f"no bundle: it unpacks to more than {BYTES_MAX:,} bytes")
            files = {entry.filename: _entry(archive, entry) for entry in entries}
    except _NO_ZIP as error:
        raise BundleError(f"no bundle: {error}") from error
    if MANIFEST not in files:
        raise BundleError(f"no bundle: it holds no {MANIFEST}")
    if len(files) < len(entries):
        raise BundleError("no bundle: it holds a file twice")
    return files


def is_as_packed(content: bytes, files: Mapping[str, bytes]) -> bool:
    """Whether a zip is its files and nothing else: no bytes between, before, behind or beside.

    Readers of zips differ in what they make of such bytes, so that two could see two bundles.
    """
    try:
        return packed(files) == content
    except _NO_ZIP:
        return False


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """What is in a file of a zip, never more than the size that the zip says."""
    with archive.open(entry) as content:
        return content.read(entry.file_size)
