"""Feed merged chunks to an agent: fetch, wait for what the broker already has, merge; no Faust.

Nothing here is read from the broker without its position: a batch of records and the positions
after it arrive together, so "caught up" never refers to records that are still on their way.
A source is caught up when its position has reached its end, as told by an end-offset request that
is at most `END_OFFSETS_AGE_MAX_S` old: whatever the broker had then is waited for, the records of
transactions that are still open too. Who must not wait for strangers' transactions for ever gives
up waiting after `open_patience_s`: the source is passed until its transaction has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from msgspec import structs

from tocsin.agents.transactions.merger import BEFORE_ALL, Merger, Source, Times
from tocsin.agents.transactions.transaction import Chunk

END_OFFSETS_AGE_MAX_S = 0.02
FETCH_WAIT_S = 0.2
BUFFER_CHUNKS = 2  # how many chunks' worth of records are buffered per source
CHUNKS_OUTSTANDING_MAX = 2
OPEN_ASKED_EVERY_S = 0.2
MARKERS_AFTER_S = 0.5  # of quiet, markers that came without records are told of
PACE_S = 0.02  # between chunks of few records: each takes a fetch, a look at the ends, a commit
FETCHED_AHEAD = 2  # fetches that lie ready when such a pause ends: this feed's own, the client's
FRESH_WITHIN_S = 0.005  # what a broker that has records needs for its answer
BACKLOG_SHARE = 4  # of a chunk's worth of records: fewer wait until the chunk before is committed


class SourceProgress(NamedTuple):
    """How far a group's sources were fetched, and whether any of it is not committed yet.

    `positions` is where the next fetch begins, `fetched` what follows the last record that came:
    between the two are offsets without records, such as markers of transactions.
    """

    positions: Mapping[Source, int]
    fetched: Mapping[Source, int]
    is_busy: bool


class Fetched(NamedTuple):
    """Records of some sources, and the positions of all that were asked for, after them."""

    records: Mapping[Source, Sequence[Any]]
    positions: Mapping[Source, int]


class Fetcher(Protocol):
    """The consumer, as the feed needs it."""

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        """Wait for records of these sources, at most `timeout_s`."""

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Ask the brokers for the ends, uncommitted records included, in one batch per broker."""

    async def stable_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Ask the brokers up to where all transactions have ended."""

    async def seek(self, positions: Mapping[Source, int]) -> None:
        """Read on from these positions."""


class _Group:
    """One group's merger, and how many of its chunks are not committed yet."""

    def __init__(self, sources: Sequence[Source], times: Times | None, reached: int) -> None:
        self.merger = Merger(sources, times, reached)
        self.outstanding = 0
        self.blocked_at: float | None = None  # since when nothing may be taken of what is buffered


class Feed:
    """Chunks of all groups that this worker owns.

    `gating` says whether a source is waited for by `merge_idle_s` when it is caught up; control
    topics are not. `on_merged` is told how long each chunk waited for other topics. A source that
    waits for the end of a transaction is waited for `open_patience_s`, if that is given, else until
    the broker ends it.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        chunk_records_max: int,
        merge_idle_s: float = 0.0,
        is_gating: Callable[[Source], bool] = lambda source: True,
        times: Times | None = None,
        on_merged: Callable[[float], None] = lambda wait_s: None,
        open_patience_s: float | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._limit = chunk_records_max
        self._merge_idle_s = merge_idle_s
        self._is_gating = is_gating
        self._times = times
        self._on_merged = on_merged
        self._open_patience_s = open_patience_s
        self._stuck: dict[Source, float] = {}  # since when nothing comes though the end is ahead
        self._open: set[Source] = set()  # of these, who waits for the end of a transaction
        self._open_asked_at = -1.0
        self._groups: dict[int, _Group] = {}
        self._group_of: dict[Source, _Group] = {}
        self._positions: dict[Source, int] = {}
        self._told: dict[Source, int] = {}  # positions that chunks have told of
        self._fetched: dict[Source, int] = {}
        self._ends: Mapping[Source, int] = {}
        self._ends_asked_at = -1.0
        self._absorbed_at = -1.0
        self._arrived_at: dict[Source, float] = {}
        self._reseeks: dict[Source, int] = {}
        self._taken = 0
        self._taken_at = -1.0
        self._stale: dict[Source, int] = {}  # number of the last chunk taken before the hold
        self._fetch: asyncio.Task[Fetched] | None = None
        self._wake = asyncio.Event()
        self.generation = 0

    @property
    def groups(self) -> list[int]:
        """Groups that are fed, sorted."""
        return sorted(self._groups)

    def standings(self) -> dict[int, SourceProgress]:
        """How far each group is."""
        return {
            number: SourceProgress(
                {source: self._positions[source] for source in group.merger.sources},
                {s: self._fetched[s] for s in group.merger.sources if s in self._fetched},
                bool(group.merger) or group.outstanding > 0,
            )
            for number, group in self._groups.items()
        }

    async def assign(
        self,
        groups: Mapping[int, Sequence[Source]],
        positions: Mapping[Source, int],
        held: Iterable[Source],
        generation: int,
        reached: Mapping[int, int] = MappingProxyType({}),
        known: Mapping[Source, int] = MappingProxyType({}),
    ) -> None:
        """Start afresh with these groups at these positions; nothing buffered survives.

        `reached` is the latest time (epoch ms) of what a group has taken, where that is known;
        `known` are the positions that are on record, where they are others.
        """
        await self.revoke()
        await self._fetcher.seek(positions)
        self._positions = dict(positions)
        self._told = {**positions, **known}
        for number, sources in groups.items():
            group = self._groups[number] = _Group(
                sources, self._times, reached.get(number, BEFORE_ALL)
            )
            self._group_of.update(dict.fromkeys(sources, group))
        for source in held:
            self._group_of[source].merger.hold(source)
        self.generation = generation

    async def revoke(self) -> None:
        """Forget everything. A fetch in flight is waited for, never cancelled: it has moved on."""
        self._groups = {}
        self._group_of = {}
        self._positions = {}
        self._told = {}
        self._fetched = {}
        self._ends, self._ends_asked_at = {}, -1.0
        self._arrived_at = {}
        self._reseeks = {}
        self._stale = {}
        self._stuck = {}
        self._open = set()
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            await asyncio.wait({fetch})
            if not fetch.cancelled():
                fetch.exception()  # retrieved: what it brought or why it failed no longer matters

    def committed(self, chunk: Chunk) -> None:
        """Note that all of a chunk is committed; makes room for the group's next one."""
        if chunk.generation == self.generation and chunk.group in self._groups:
            self._groups[chunk.group].outstanding -= 1
        self._wake.set()

    def hold(self, source: Source) -> None:
        """Leave a source out until it is released."""
        group = self._group_of.get(source)
        if group is not None:
            group.merger.hold(source)
            self._stale[source] = self._taken

    def current(self, chunk: Chunk) -> Chunk:
        """Return a chunk without records of sources that were put on hold since it was taken.

        Records before them were left out by the hold, even if it is released by now: after the
        release all of them are read again, in order.
        """
        stale = {source for source, number in self._stale.items() if chunk.number <= number}
        if not stale:
            return chunk
        records = [r for r in chunk.records if Source(r.topic, r.partition) not in stale]
        positions = {s: at for s, at in chunk.positions.items() if s not in stale}
        return structs.replace(chunk, records=records, positions=positions)

    def release(self, source: Source, position: int) -> None:
        """Read a source again from `position`."""
        if source in self._group_of:
            self._reseeks[source] = position
            self._wake.set()

    async def next(self, timeout_s: float) -> list[Chunk]:
        """Chunks that may be processed now; empty if none came within about `timeout_s`."""
        pause = self._taken_at + PACE_S - monotonic()
        if pause > 0 and not any(map(self._has_backlog, self._groups.values())):
            await asyncio.sleep(pause)
            await self._freshen()
        await self._keep_fetching()
        chunks = await self._take()
        if not chunks:
            await self._wait(timeout_s)
            await self._keep_fetching()
            chunks = await self._take()
        return chunks

    async def _freshen(self) -> None:
        """Pass what was fetched before the pause, so that what came during it is taken too."""
        for _ in range(FETCHED_AHEAD):
            await self._keep_fetching()
            if self._fetch is not None:
                await asyncio.wait({self._fetch}, timeout=FRESH_WITHIN_S)

    async def _keep_fetching(self) -> None:
        """Take in what was fetched, and have the next fetch under way while chunks are folded."""
        if self._fetch is not None and self._fetch.done():
            fetch, self._fetch = self._fetch, None
            self._absorb(fetch.result())
        if self._fetch is None:
            await self._reseek()
            self._start_fetch()

    async def _take(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        generation = self.generation
        for number, group in list(self._groups.items()):
            # A commit costs the same for one record as for many, and they would stand in its way.
            is_waiting = group.outstanding > 0 and not self._has_backlog(group)
            if group.outstanding >= CHUNKS_OUTSTANDING_MAX or is_waiting:
                continue
            if not group.merger:
                if self._is_past_markers(group):
                    chunks.append(self._chunk(number, group, (), ()))
                continue
            await self._confirm_ends()
            await self._look_for_open()
            if generation != self.generation or number not in self._groups:
                return []
            merged = group.merger.take(self._is_caught_up, self._limit)
            if merged is None:
                group.blocked_at = group.blocked_at or monotonic()
            else:
                self._on_merged(monotonic() - group.blocked_at if group.blocked_at else 0.0)
                chunks.append(self._chunk(number, group, *merged))
        return chunks

    def _chunk(
        self, number: int, group: _Group, records: Sequence[Any], passed_idle: tuple[int, ...]
    ) -> Chunk:
        """A chunk of records that were taken, with the positions of sources that they exhaust."""
        group.blocked_at = None
        group.outstanding += 1
        self._taken += 1
        self._taken_at = monotonic()
        reseeking = self._reseeks
        positions = {s: self._positions[s] for s in group.merger.emptied if s not in reseeking}
        self._told.update(positions)
        return Chunk(number, records, passed_idle, self.generation, self._taken, positions)

    def _is_past_markers(self, group: _Group) -> bool:
        """Whether an idle group has passed offsets without records that no chunk has told of.

        They may be deleted as well as records: a restart before them would miss something.
        """
        return (
            not group.outstanding
            and monotonic() - max(self._taken_at, self._absorbed_at) >= MARKERS_AFTER_S
            and any(self._positions[s] > self._told.get(s, 0) for s in group.merger.emptied)
        )

    def _has_backlog(self, group: _Group) -> bool:
        return len(group.merger) > self._limit // BACKLOG_SHARE

    async def _confirm_ends(self) -> None:
        """Make the known ends young enough, if any source might count as caught up by them.

        They are asked for again after every arrival: what came may be younger than the answer, and
        the broker may have had something older elsewhere by then.
        """
        now = monotonic()
        age = now - self._ends_asked_at
        if age <= END_OFFSETS_AGE_MAX_S and self._absorbed_at <= self._ends_asked_at:
            return
        ends = self._ends
        if ends and all(
            position < ends.get(source, 0) for source, position in self._positions.items()
        ):
            return
        positions = self._positions
        answer = await self._fetcher.end_offsets(list(positions))
        if positions is self._positions:
            self._ends, self._ends_asked_at = answer, now

    async def _look_for_open(self) -> None:
        """Note which sources have waited too long for the end of a transaction."""
        if self._open_patience_s is None:
            return
        now, positions = monotonic(), self._positions
        behind = [s for s, position in positions.items() if position < self._ends.get(s, 0)]
        self._stuck = {source: self._stuck.get(source, now) for source in behind}
        self._open.intersection_update(behind)
        late = [s for s, since in self._stuck.items() if now - since >= self._open_patience_s]
        if not late or now - self._open_asked_at < OPEN_ASKED_EVERY_S:
            return
        self._open_asked_at = now
        stable = await self._fetcher.stable_offsets(late)
        if positions is self._positions:
            self._open = {s for s in late if s in self._stuck and positions[s] >= stable[s]}

    def _is_caught_up(self, source: Source) -> bool:
        if self._positions[source] < self._ends.get(source, self._positions[source] + 1):
            return source in self._open
        if self._merge_idle_s and self._is_gating(source):
            return monotonic() - self._arrived_at.get(source, 0.0) >= self._merge_idle_s
        return True

    async def _reseek(self) -> None:
        if not self._reseeks:
            return
        reseeks, self._reseeks = self._reseeks, {}
        positions = self._positions
        await self._fetcher.seek(reseeks)
        if positions is self._positions:  # else all was revoked meanwhile
            positions.update(reseeks)
            for source in reseeks:
                self._group_of[source].merger.release(source)

    def _start_fetch(self) -> None:
        below = self._limit * BUFFER_CHUNKS
        wanted = [
            source for group in self._groups.values() for source in group.merger.hungry(below)
        ]
        if wanted:
            self._fetch = asyncio.ensure_future(self._fetcher.fetch(wanted, FETCH_WAIT_S))

    async def _wait(self, timeout_s: float) -> None:
        self._wake.clear()
        wake = asyncio.ensure_future(self._wake.wait())
        waited = {wake} if self._fetch is None else {wake, self._fetch}
        await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        wake.cancel()

    def _absorb(self, fetched: Fetched) -> None:
        now = self._absorbed_at = monotonic()
        for source, records in fetched.records.items():
            group = self._group_of.get(source)
            if group is not None and records:
                group.merger.extend(source, records)
                self._fetched[source] = records[-1].offset + 1
                self._arrived_at[source] = now
        for source, position in fetched.positions.items():
            if source in self._positions:
                if position != self._positions[source]:
                    self._stuck.pop(source, None)
                    self._open.discard(source)
                self._positions[source] = position
