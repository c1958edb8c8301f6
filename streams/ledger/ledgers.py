"""All ledgers of a partition: those in use as objects, dormant ones as bytes.

A portfolio is mostly dormant, and a ledger's objects take some ten times the memory of its bytes.
What is asked for is thawed; what nobody asked for in two rests is frozen. A frozen ledger goes on
as if it had never been: that is the law of the persisted state, see `state_records`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from operator import attrgetter

import msgspec
from msgspec import Raw, Struct

from tocsin.streams.facts.refusals import UNREADABLE
from tocsin.streams.ledger.documents import (
    NEVER,
    Case,
    Complaint,
    Dispute,
    Entry,
    Funds,
    Invoice,
    Order,
    Summary,
)
from tocsin.streams.ledger.ledger import Ledger

REST_DAYS = 30
"""Business days between two rests."""


class StateError(Exception):
    """State that this version can't read; the message says what and what to do."""


class _Frozen(Struct, array_like=True):
    """A ledger in one piece of bytes; the fields are those of `Ledger`."""

    summary: Summary
    invoices: dict[str, Invoice]
    funds: dict[str, Funds]
    complaints: dict[str, Complaint]
    disputes: dict[str, Dispute]
    orders: dict[str, Order]
    entries: dict[str, Entry]
    cases: dict[str, Case]


class _Dates(Struct, array_like=True):
    """What the index of due days needs of a summary: its first fields."""

    partition: int = 0
    next_date: int = NEVER


class _Glimpse(Struct, array_like=True):
    """A frozen ledger of which only the summary's first fields are read."""

    summary: _Dates


_PARTS = _Frozen.__struct_fields__
_DOCUMENTS = _PARTS[1:]
_parts_of = attrgetter(*_PARTS)
_encode = msgspec.msgpack.Encoder().encode
_thaw = msgspec.msgpack.Decoder(_Frozen).decode
_glimpse = msgspec.msgpack.Decoder(_Glimpse).decode
_SHELVES = {"i": 1, "k": 3, "d": 4, "o": 5}  # by kind letter, which is left out there
_ENTRIES = 6
_LETTERED = {"p": 2, "c": 2, "q": 7, "l": 7, "g": 7, "r": 7}  # keys with their letter, as entries'


class Ledgers(MutableMapping[str, Ledger]):
    """Ledgers by customer id."""

    def __init__(self) -> None:
        self._fresh: dict[str, Ledger] = {}  # asked for since the last rest
        self._resting: dict[str, Ledger] = {}  # asked for before it
        self._frozen: dict[str, bytes] = {}

    def freeze(self, customer_id: str, summary: bytes, documents: Mapping[str, bytes]) -> None:
        """Take in a ledger as its persisted parts: bodies of the summary and of its documents.

        Documents are keyed by kind letter and id.
        """
        parts: list[dict[str, Raw]] = [{} for _ in _DOCUMENTS]
        for key, body in documents.items():
            shelf = _SHELVES.get(key[0])
            if shelf is not None:
                parts[shelf - 1][key[1:]] = Raw(body)
            else:
                parts[_LETTERED.get(key[0], _ENTRIES) - 1][key] = Raw(body)
        self._frozen[customer_id] = _encode((Raw(summary), *parts))

    def next_dates(self) -> Iterator[tuple[str, int]]:
        """Every customer with the day on which its ledger is to be looked at."""
        for customer_id, frozen in self._frozen.items():
            try:
                yield customer_id, _glimpse(frozen).summary.next_date
            except UNREADABLE as error:
                raise _damaged(customer_id) from error
        for live in (self._resting, self._fresh):
            for customer_id, ledger in live.items():
                yield customer_id, ledger.summary.next_date

    def peek(self, customer_id: str) -> Ledger:
        """A ledger for a look: if it was frozen it stays so, unless it is put back by `[...] =`."""
        frozen = self._frozen.get(customer_id)
        return self[customer_id] if frozen is None else _thawed(customer_id, frozen)

    def rated(self, customer_id: str) -> tuple[int | None, str]:
        """Score and grade of a customer; None and empty without."""
        summary = self.peek(customer_id).summary
        return summary.score, summary.grade

    def copied(self, customer_id: str) -> Ledger | None:
        """A copy of a customer's ledger, to try something; None if there is none."""
        if customer_id not in self:
            return None
        live = self._live(customer_id)
        frozen = self._frozen[customer_id] if live is None else _encode(_parts_of(live))
        return _thawed(customer_id, frozen)

    def document_count(self, customer_id: str) -> int:
        """How many documents a customer's ledger counts; 0 if there is none."""
        if customer_id not in self:
            return 0
        ledger = self._live(customer_id) or _thawed(customer_id, self._frozen[customer_id])
        return ledger.summary.document_count

    def _live(self, customer_id: str) -> Ledger | None:
        return self._fresh.get(customer_id) or self._resting.get(customer_id)

    def freeze_idle(self) -> None:
        """Freeze what was not asked for since the rest before the last."""
        for customer_id, ledger in self._resting.items():
            self._frozen[customer_id] = _encode(_parts_of(ledger))
        self._resting, self._fresh = self._fresh, {}

    def __getitem__(self, customer_id: str) -> Ledger:
        ledger = self._fresh.get(customer_id)
        if ledger is not None:
            return ledger
        ledger = self._resting.pop(customer_id, None)
        if ledger is None:
            ledger = _thawed(customer_id, self._frozen.pop(customer_id))
        self._fresh[customer_id] = ledger
        return ledger

    def find(self, customer_id: str) -> Ledger | None:
        """The ledger of a customer, if there is one: `get` without the mapping's detours."""
        ledger = self._fresh.get(customer_id)
        if ledger is None and customer_id in self:
            ledger = self[customer_id]
        return ledger

    def __setitem__(self, customer_id: str, ledger: Ledger) -> None:
        if customer_id not in self._fresh:
            self._resting.pop(customer_id, None)
            self._frozen.pop(customer_id, None)
            self._fresh[customer_id] = ledger

    def __delitem__(self, customer_id: str) -> None:
        raise TypeError("a customer's ledger is never taken away")

    def __contains__(self, customer_id: object) -> bool:
        return (
            customer_id in self._fresh
            or customer_id in self._resting
            or customer_id in self._frozen
        )

    def __iter__(self) -> Iterator[str]:
        return iter([*self._frozen, *self._resting, *self._fresh])  # asking moves them

    def __len__(self) -> int:
        return len(self._frozen) + len(self._resting) + len(self._fresh)

    @property
    def frozen_count(self) -> int:
        """How many are kept as bytes."""
        return len(self._frozen)


def _thawed(customer_id: str, frozen: bytes) -> Ledger:
    try:
        parts = _thaw(frozen)
        ledger = Ledger(customer_id, parts.summary)
        for name in _DOCUMENTS:
            setattr(ledger, name, getattr(parts, name))
        ledger.index()
    except (*UNREADABLE, KeyError) as error:  # a document may lack its place in the summary
        raise _damaged(customer_id) from error
    return ledger


def _damaged(customer_id: str) -> StateError:
    return StateError(
        f"the state of customer {customer_id!a} can't be read: the changelog is damaged, or a "
        "program of another version wrote it; write it anew: tocsin rebuild --replace"
    )
