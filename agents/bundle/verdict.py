"""Judges a bundle that came from somebody: its zip, what is in it, what the topics say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.anchors.papers import Finding
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
    """What was found; `is_compared` says whether the topics were asked.

    `signed_by` is the fingerprint of the key that signed it, `unsigned` what its signature leaves
    unproven.
    """

    manifest: Manifest
    contents: Contents
    problems: Sequence[str]
    is_compared: bool
    signed_by: str | None = None
    unsigned: str = ""

    @property
    def is_sound(self) -> bool | None:
        """Whether it is genuine and whole; None where only the topics could tell."""
        if self.problems:
            return False
        return True if self.is_compared else None

    @property
    def unproven(self) -> Sequence[str]:
        """What was not looked at."""
        if self.is_compared:
            return ()
        return (*UNPROVEN, self.unsigned) if self.unsigned else UNPROVEN


def with_signature(verdict: Verdict, found: Finding) -> Verdict:
    """A verdict with what the signature beside the bundle is worth."""
    problems = [*verdict.problems, found.problem] if found.problem else verdict.problems
    return replace(verdict, problems=problems, signed_by=found.fingerprint, unsigned=found.unproven)


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
