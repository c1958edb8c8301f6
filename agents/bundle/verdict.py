"""Judges a bundle that came from somebody: its zip, what is in it, what the topics say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tocsin.agents.bundle.archive import is_as_packed, unpacked
from tocsin.agents.bundle.checks import problems
from tocsin.agents.bundle.contents import Contents, Manifest, contents_of, read_manifest
from tocsin.agents.bundle.topics import differences
from tocsin.agents.replay.replay import Log
from tocsin.schemas.codec.codec import Codec

UNPROVEN: Final = (
    "whether its records are those that were sent and decided",
    "whether any of them is missing",
    "which of them were refused",
)
"""What only the topics can tell: whoever can make a bundle can make one of invented records."""


class Verdict(Struct, frozen=True):
    """What was found; `is_compared` says whether the topics were asked."""

    manifest: Manifest
    contents: Contents
    problems: Sequence[str]
    is_compared: bool

    @property
    def is_sound(self) -> bool | None:
        """Whether it is genuine and whole; None where only the topics could tell."""
        if self.problems:
            return False
        return True if self.is_compared else None

    @property
    def unproven(self) -> Sequence[str]:
        """What was not looked at."""
        return () if self.is_compared else UNPROVEN


async def judge(content: bytes, codec: Codec, log: Log | None, partitions: int) -> Verdict:
    """Check a bundle by itself and, if nothing is wrong so far, against the topics of `log`.

    `partitions` are those of the deployment. Raises BundleError if it cannot be read.
    """
    files = unpacked(content)
    manifest, contents = read_manifest(files), contents_of(files)
    found = problems(files, codec)
    if not is_as_packed(content, files):
        found.append("the zip holds something beside its files, or was packed anew")
    if log is None or found:
        return Verdict(manifest, contents, found, is_compared=False)
    found = await differences(log, codec, contents, partitions)
    return Verdict(manifest, contents, found, is_compared=True)
