"""The judge of a fault run: what the topics and ClickHouse themselves say, and nothing else.

It reads every topic as a subscriber of committed records, decodes by the schema files, orders the
source records by itself, folds them by `reference.py` and compares. No code of the product is
imported here or in what is imported from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.faults import wire
from tests.faults.reference import Expected, Fold

READ_WITHIN_S = 60.0
LOADED_WITHIN_S, LOOK_AGAIN_S = 5.0, 0.2
SHOWN_MAX = 8

Partition = dict[str, list[ConsumerRecord]]  # by topic, without the prefix


@dataclass
class Verdict:
    """What was counted, and everything that is wrong."""

    events: int = 0
    refused: int = 0
    warnings: int = 0
    transactions: int = 0
    lost: int = 0
    doubled: int = 0
    spurious: int = 0
    reordered: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As a part of a recorded line."""
        told = asdict(self)
        told["problems"] = self.problems[:SHOWN_MAX]
        return told


async def read_all(
    servers: str, prefix: str, topics: Sequence[str], partitions: int
) -> list[Partition]:
    """Every committed record of the topics, by partition number and topic, in offset order."""
    found: list[Partition] = [{topic: [] for topic in topics} for _ in range(partitions)]
    places = {
        TopicPartition(prefix + topic, number): (topic, number)
        for topic in topics
        for number in range(partitions)
    }
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with asyncio.timeout(READ_WITHIN_S), consumer:
        consumer.assign(list(places))
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(list(places))
        while ends:
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                topic, number = places[place]
                found[number][topic] += records
            ends = {p: end for p, end in ends.items() if await consumer.position(p) < end}
    return found


async def committed_offsets(
    servers: str, group: str, prefix: str, partitions: int
) -> dict[tuple[str, int], int | None]:
    """What the group's offsets say, by topic and partition number.

    Asked again for a while where they say nothing: aiokafka takes a coordinator that is still
    reading its log for one that knows of no offset.
    """
    deadline = time.monotonic() + LOADED_WITHIN_S
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)

    async def told(place: TopicPartition) -> int | None:
        offset: int | None = await consumer.committed(place)
        while offset is None and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_AGAIN_S)
            offset = await consumer.committed(place)
        return offset

    async with asyncio.timeout(READ_WITHIN_S), consumer:
        return {
            (topic, number): await told(TopicPartition(prefix + topic, number))
            for topic in wire.SOURCES
            for number in range(partitions)
        }


class Judge:
    """Goes through one deployment's topics; `verdict` collects what is wrong."""

    def __init__(self, partitions: Sequence[Partition], *, is_whole: bool = True) -> None:
        """`is_whole`: all must have been decided; else what there is must be a beginning."""
        self.partitions, self.is_whole = partitions, is_whole
        self.verdict = Verdict()

    def judge(self) -> Verdict:
        """Look at every partition."""
        for number, partition in enumerate(self.partitions):
            self._judge(number, partition)
        return self.verdict

    def _wrong(self, number: int, what: str) -> None:
        self.verdict.problems.append(f"partition {number}: {what}")

    def _judge(self, number: int, partition: Partition) -> None:
        verdict = self.verdict
        journal = [plain(wire.decode("journal", r.value)) for r in partition["journal"]]
        chunk_of = self._chained(number, partition, journal)
        ordered = sorted(_ranked(partition), key=lambda entry: entry[:3])
        expected, refused, outputs = self._fold(number, ordered, chunk_of)
        verdict.events += len(ordered)
        verdict.transactions += len(journal)
        self._positions(number, ordered, chunk_of)
        for place, entry in enumerate(journal):
            if entry["output_count"] != outputs[place]:
                self._wrong(
                    number,
                    f"journal record {place} counts {entry['output_count']} outputs, "
                    f"{outputs[place]} are due",
                )
        self._warnings(number, partition, expected)
        self._letters(number, partition, refused)

    def _chained(
        self, number: int, partition: Partition, journal: list[dict[str, Any]]
    ) -> dict[tuple[int, int], int]:
        """Which journal record read which source record, by rank and offset."""
        before, ends = b"", dict.fromkeys(range(len(wire.SOURCES)), 0)
        chunk_of: dict[tuple[int, int], int] = {}
        for place, entry in enumerate(journal):
            if entry["sequence"] != place or entry["previous_hash"] != before:
                self._wrong(number, f"journal record {place} does not follow the one before it")
            before = hashlib.sha256(partition["journal"][place].value).digest()
            for span in entry["ranges"]:
                rank = span["topic_id"]
                if span["first"] != ends[rank]:
                    self._wrong(
                        number,
                        f"journal record {place} reads {wire.SOURCES[rank]} from "
                        f"{span['first']}, not from {ends[rank]}",
                    )
                ends[rank] = span["next"]
                inside = [
                    record.offset
                    for record in partition[wire.SOURCES[rank]]
                    if span["first"] <= record.offset < span["next"]
                ]
                if len(inside) != span["count"]:
                    self._wrong(number, f"journal record {place} counts {wire.SOURCES[rank]} wrong")
                chunk_of.update({(rank, offset): place for offset in inside})
        return chunk_of

    def _fold(
        self,
        number: int,
        ordered: list[tuple[int, int, int, ConsumerRecord]],
        chunk_of: dict[tuple[int, int], int],
    ) -> tuple[list[Expected], list[tuple[int, ConsumerRecord]], Counter[int]]:
        """What follows from the source records, in the order of their time."""
        fold, outputs = Fold(), Counter[int]()
        expected: list[Expected] = []
        refused: list[tuple[int, ConsumerRecord]] = []
        for timestamp, rank, offset, record in ordered:
            chunk = chunk_of.get((rank, offset))
            if chunk is None and not self.is_whole:
                break
            topic = wire.SOURCES[rank]
            kind, event = _read(topic, record)
            found: list[Expected] = []
            if event is None:
                refused.append((rank, record))
            elif topic != "policies":
                found = fold.pass_time(timestamp)
                if topic != "clock":
                    found += fold.take(kind, event, timestamp)
            if chunk is not None:
                outputs[chunk] += len(found) + (event is None)
            expected += found
        return expected, refused, outputs

    def _positions(
        self,
        number: int,
        ordered: list[tuple[int, int, int, ConsumerRecord]],
        chunk_of: dict[tuple[int, int], int],
    ) -> None:
        # When what is refused was read is all one: its time says nothing.
        chunks = [
            chunk_of.get((rank, offset))
            for _, rank, offset, record in ordered
            if _read(wire.SOURCES[rank], record)[1] is not None
        ]
        read = [chunk for chunk in chunks if chunk is not None]
        if self.is_whole and len(chunk_of) < len(ordered):
            self._wrong(number, f"{len(ordered) - len(chunk_of)} records were never read")
        if None in chunks[: len(read)]:
            self._wrong(number, "a record was passed over")
        if read != sorted(read):
            self._wrong(number, "records were read out of the order of their time")

    def _warnings(self, number: int, partition: Partition, expected: list[Expected]) -> None:
        verdict = self.verdict
        found = [_step(wire.decode("warnings", record.value)) for record in partition["warnings"]]
        verdict.warnings += len(found)
        due = Counter(entry.warning_id for entry in expected)
        told = Counter(entry.warning_id for entry in found)
        lost, spurious = due.keys() - told.keys(), told.keys() - due.keys()
        doubled = sum(count - 1 for count in told.values())
        verdict.lost += len(lost)
        verdict.spurious += len(spurious)
        verdict.doubled += doubled
        if lost or spurious or doubled:
            self._wrong(
                number,
                f"{len(lost)} warnings lost, {doubled} doubled, {len(spurious)} that are not due",
            )
            return
        by_customer: dict[str, list[Expected]] = defaultdict(list)
        for entry in found:
            by_customer[entry.customer_id].append(entry)
        wanted: dict[str, list[Expected]] = defaultdict(list)
        for entry in expected:
            wanted[entry.customer_id].append(entry)
        for name, steps in wanted.items():
            if by_customer[name] == steps:
                continue
            if [step.warning_id for step in by_customer[name]] != [s.warning_id for s in steps]:
                verdict.reordered += 1
                self._wrong(number, f"the warnings of {name} are in another order")
            else:
                first = next(p for p in zip(by_customer[name], steps, strict=True) if p[0] != p[1])
                self._wrong(number, f"a warning of {name} is {first[0]}, not {first[1]}")

    def _letters(
        self, number: int, partition: Partition, refused: list[tuple[int, ConsumerRecord]]
    ) -> None:
        letters = [plain(wire.decode("dead-letters", r.value)) for r in partition["dead-letters"]]
        self.verdict.refused += len(letters)
        told = [(e["topic_id"], e["offset"], e["key"], e["value"]) for e in letters]
        due = [(rank, record.offset, record.key, record.value) for rank, record in refused]
        if sorted(told, key=repr) != sorted(due, key=repr):
            self._wrong(number, f"{len(told)} dead letters, not the {len(due)} that are due")
        if not all(entry["partition"] == number and entry["code"] for entry in letters):
            self._wrong(number, "a dead letter names another partition, or no reason")


def offsets_agree(
    partitions: Sequence[Partition], told: dict[tuple[str, int], int | None]
) -> Iterator[str]:
    """Differences between the group's offsets and the last journal records."""
    for number, partition in enumerate(partitions):
        if not partition["journal"]:
            continue
        last = plain(wire.decode("journal", partition["journal"][-1].value))
        for span in last["ranges"]:
            topic = wire.SOURCES[span["topic_id"]]
            if span["next"] and told[topic, number] != span["next"]:
                yield f"{topic}-{number}: group offset {told[topic, number]}, not {span['next']}"


class Rows:
    """ClickHouse, asked over HTTP."""

    def __init__(self, url: str, database: str, user: str, password: str) -> None:
        self._url = f"{url}/?database={database}&default_format=JSONCompactEachRow"
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}

    def ask(self, sql: str) -> list[list[Any]]:
        """Rows of a query. Raises OSError."""
        request = urllib.request.Request(self._url, sql.encode(), self._headers)
        with urllib.request.urlopen(request, timeout=READ_WITHIN_S) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def counts(self) -> dict[str, int]:
        """Rows of every history table."""
        return {
            topic: int(self.ask(f"SELECT count() FROM `{_table(topic)}` FINAL")[0][0])
            for topic in wire.HISTORY
        }

    def places(self, topic: str) -> list[tuple[int, int]]:
        """Partition and offset of every row of a topic's table, in their order."""
        rows = self.ask(
            f"SELECT partition, offset FROM `{_table(topic)}` FINAL ORDER BY partition, offset"
        )
        return [(int(partition), int(offset)) for partition, offset in rows]

    def differences(self, partitions: Sequence[Partition]) -> Iterator[str]:
        """Where tables and topics are not the same records, each once."""
        for topic in wire.HISTORY:
            table = _table(topic)
            rows = self.ask(
                "SELECT partition, offset, toUnixTimestamp64Milli(timestamp), hex(raw_key), "
                f"hex(MD5(ifNull(raw_value, ''))) FROM `{table}` FINAL ORDER BY partition, offset"
            )
            told = [
                (int(place), int(offset), int(instant), key, digest)
                for place, offset, instant, key, digest in rows
            ]
            due = [
                (number, r.offset, r.timestamp, None if r.key is None else r.key.hex().upper(),
                 hashlib.md5(r.value or b"").hexdigest().upper())
                for number, partition in enumerate(partitions)
                for r in partition[topic]
            ]  # fmt: skip
            if told != due:
                missing, spare = Counter(due) - Counter(told), Counter(told) - Counter(due)
                yield (
                    f"table {table}: {missing.total()} records are missing, "
                    f"{spare.total()} rows too many or other"
                )


def _table(topic: str) -> str:
    return topic.replace("-", "_")


def plain(read: Any) -> dict[str, Any]:
    """A decoded record without its name."""
    return read[1] if isinstance(read, tuple) else read


def _ranked(partition: Partition) -> Iterator[tuple[int, int, int, ConsumerRecord]]:
    """Records with the keys of their order: what is refused comes no later than the next one."""
    for rank, topic in enumerate(wire.SOURCES):
        following: int | None = None
        for record in reversed(partition[topic]):
            timestamp = record.timestamp
            if _read(topic, record)[1] is not None:
                following = timestamp
            elif following is not None:
                timestamp = min(timestamp, following)
            yield timestamp, rank, record.offset, record


def _read(topic: str, record: ConsumerRecord) -> tuple[str, dict[str, Any] | None]:
    """Kind and fields of a source record; no fields if it is to be refused."""
    if any(name == wire.FUTURE_HEADER for name, _ in record.headers):
        return "", None
    try:
        kind, event = wire.decode(topic, record.value)
    except Exception:  # whatever fastavro makes of broken bytes
        return "", None
    return kind.removeprefix("tocsin."), event


def _step(read: Any) -> Expected:
    told = plain(read)
    return Expected(**{name: told[name] for name in Expected.__dataclass_fields__})
