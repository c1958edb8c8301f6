"""A candidate's state of one partition, and its way to and from its changelog.

Keys are the first half of the policy's hash, NUL and the customer's id; none for the partition's
own record. That one names the journal record it belongs to: where the journal ends elsewhere, the
shadow was off meanwhile, and what it knew is worth nothing. It is forgotten then, as is what
another candidate knew, and the shadow begins anew.
"""

from __future__ import annotations

import msgspec

from tocsin.agents.transactions.journal import Journal, Output
from tocsin.agents.transactions.transaction import Route
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.decide.shadow import Shadow, ShadowState
from tocsin.streams.facts.refusals import UNREADABLE
from tocsin.streams.ledger.ledgers import StateError
from tocsin.streams.ledger.state_records import Kind
from tocsin.streams.policy.policy import Policy

SHADOW_VERSION = 1
"""Of the layout of stands and standings. What has another one is forgotten: it was told nobody."""

HASH_DIGITS = 32

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ShadowState).decode


class ShadowStore:
    """What a candidate keeps of a partition; `shadow` judges once `attach` was called."""

    def __init__(self, partition: int, codec: Codec, policy: Policy, route: Route) -> None:
        self._partition, self._codec, self._policy, self._route = partition, codec, policy, route
        self._prefix = f"{policy.hash[:HASH_DIGITS]}\0".encode()
        self._loaded: dict[bytes, bytes] = {}
        self._forgotten: list[bytes] = []
        self.shadow: Shadow

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog."""
        if value is None:
            self._loaded.pop(key, None)
        else:
            self._loaded[key] = value

    def attach(self, desk: DecisionEngine, journal: Journal) -> None:
        """Let the candidate judge beside a desk that stands where a journal ends.

        Raises StateError.
        """
        loaded, self._loaded = self._loaded, {}
        try:
            standing = self._standing(loaded, journal)
            stands: dict[str, bytes] = {}
            if standing is not None:
                loaded.pop(self._prefix)
                for customer_id in desk.ledgers:  # whose text is kept once
                    value = loaded.pop(self._prefix + customer_id.encode(), None)
                    if value is not None:
                        stands[customer_id] = self._codec.decode_state(value).body
            self._forgotten = sorted(loaded)
            self.shadow = desk.attach(self._policy, stands, standing)
        except (*UNREADABLE, Refused) as error:
            raise StateError(
                f"the state of the candidate in {self._route.topic}, partition {self._partition}, "
                f"can't be read ({error}): run the worker once without shadow_policy; with it "
                "again, the candidate begins anew"
            ) from error

    def outputs(self, instant: int) -> list[Output]:
        """Records of what this transaction touched, and of the partition itself."""
        shadow, told = self.shadow, [self._record(key, None, instant) for key in self._forgotten]
        self._forgotten = []
        for customer_id in shadow.touched:
            key = self._prefix + customer_id.encode()
            told.append(self._record(key, (Kind.CUSTOMER, shadow.stands[customer_id]), instant))
        standing, state = shadow.standing, shadow.state
        standing.journal_sequence, standing.journal_hash = (
            state.journal_sequence,
            state.journal_hash,
        )
        told.append(self._record(self._prefix, (Kind.PARTITION, _encode(standing)), instant))
        return told

    def _record(self, key: bytes, content: tuple[Kind, bytes] | None, instant: int) -> Output:
        value = None
        if content is not None:
            kind, body = content
            value = self._codec.encode_state(kind, SHADOW_VERSION, body)
        route = self._route
        return Output(route.topic_id, route.topic, self._partition, key, value, (), instant)

    def _standing(self, loaded: dict[bytes, bytes], journal: Journal) -> ShadowState | None:
        """The partition's own record, if it goes with the journal's last one."""
        value = loaded.get(self._prefix)
        if value is None:
            return None
        state = self._codec.decode_state(value)
        if state.version != SHADOW_VERSION:
            return None
        standing = _decode(state.body)
        place = standing.journal_sequence, standing.journal_hash
        return standing if place == (journal.sequence, journal.previous_hash.hex()) else None
