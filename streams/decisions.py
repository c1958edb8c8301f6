"""What is decided: risk warnings as they go out, and the digest that compares two runs of them."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from tocsin.streams.money import MINOR_DIGITS


class Evidence(Struct, frozen=True, gc=False):
    """A record that made a warning true: its position, and the business id within it."""

    topic_id: int
    partition: int
    offset: int
    id: str


class Exposure(Struct, frozen=True, gc=False):
    """What a customer owes in one currency, net of money not applied yet; negative if ahead."""

    currency: str
    exposure_minor: int


class RiskWarning(Struct, frozen=True):
    """One step in the life of an episode; fields as in the schema of the warnings topic.

    `as_of` is an epoch day, `occurred_at` epoch milliseconds, `value` and `threshold` in `unit`.
    `currency` is that of the exposure, and of value and threshold where they are money.
    """

    warning_id: str
    episode_id: str
    customer_id: str
    rule: str
    subject: str
    transition: str
    reason: str
    severity: str
    previous_severity: str | None
    phase: str
    as_of: int
    occurred_at: int
    value: int
    threshold: int
    unit: str
    currency: str | None
    exposure_minor: int
    evidence: tuple[Evidence, ...]
    evidence_count: int
    evidence_digest: str
    clears_when_en: str
    clears_when_zh: str
    action: str
    text_en: str
    text_zh: str
    action_en: str
    action_zh: str
    policy_name: str
    policy_version: int
    policy_hash: str
    muted_by: str | None = None
    score: int | None = None
    grade: str | None = None
    flaps: int = 1
    missing: str | None = None
    incomplete: str | None = None
    other_exposures: tuple[Exposure, ...] = ()

    @property
    def exposures(self) -> tuple[Exposure, ...]:
        """What the customer owed by currency, the warning's own first, none of zero.

        A warning of logic version 1 names no currency unless it measured money; what it has then
        is in that of its subject. Without one too, its amount can't be told: it is left out.
        """
        currency = self.currency or (self.subject if self.subject in MINOR_DIGITS else None)
        if currency is None or not self.exposure_minor:
            return self.other_exposures
        return (Exposure(currency, self.exposure_minor), *self.other_exposures)


class DecisionDigest:
    """Digest over the warnings of a run, equal however customers were spread over partitions.

    Per customer a hash chain over each warning without the positions of its evidence; the whole is
    the hash over customers in order.
    """

    def __init__(self) -> None:
        self._chains: dict[str, bytes] = {}
        self.count = 0

    def add(self, warning: RiskWarning) -> None:
        """Take in the next warning of its customer."""
        fields = list(msgspec.structs.astuple(warning))
        index = RiskWarning.__struct_fields__.index("evidence")
        fields[index] = [evidence.id for evidence in warning.evidence]
        chain = self._chains.get(warning.customer_id, b"")
        self._chains[warning.customer_id] = hashlib.blake2b(
            chain + msgspec.msgpack.encode(fields), digest_size=16
        ).digest()
        self.count += 1

    def join(self, other: DecisionDigest) -> None:
        """Take in a digest over other customers."""
        self._chains |= other._chains
        self.count += other.count

    def hexdigest(self) -> str:
        """The digest of all warnings so far."""
        whole = hashlib.blake2b(digest_size=16)
        for customer_id, chain in sorted(self._chains.items()):
            name = customer_id.encode()
            whole.update(len(name).to_bytes(4, "big") + name + chain)
        return whole.hexdigest()
