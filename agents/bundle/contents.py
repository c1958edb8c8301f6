"""A customer's history as evidence in one file: what it holds, and how its files are made.

A bundle is a function of the records in it, so it can be made again from them, byte by byte. One of
them is a record of the journal: the bundle has all that this record and those before it cover, and
nothing later. So it can be compared with the topics, for what it has and for what it lacks
(`tocsin.agents.bundle.topics`); what can be seen without them is in `tocsin.agents.bundle.checks`.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct

from tocsin.agents.bundle.archive import MANIFEST, BundleError
from tocsin.agents.bundle.texts import README, SECTIONS
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.events import describe_event
from tocsin.agents.settings.formats import clean, day
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import BY_ID, BY_NAME, POLICIES
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning
from tocsin.streams.facts.events import CustomerEvent, Event, PolicyPublished
from tocsin.streams.facts.refusals import UNREADABLE

FORMAT: Final = 2
RECORDS: Final = "raw/records.jsonl"
WARNINGS_RAW: Final = "raw/warnings.jsonl"
POLICIES_RAW: Final = "raw/policies.jsonl"
JOURNAL_RAW: Final = "raw/journal.jsonl"
RAW: Final = (RECORDS, WARNINGS_RAW, POLICIES_RAW, JOURNAL_RAW)
NO_EVENT: Final = msgspec.Raw(b"null")
COLUMNS: Final = ("when", "event", "id", "what", "refused", "record", "sha256")
POLICY_COLUMNS: Final = (*COLUMNS[:5], "file", *COLUMNS[5:])
WARNING_COLUMNS: Final = (
    "as_of",
    "rule",
    "subject",
    "severity",
    "step",
    "reason",
    "value",
    "threshold",
    "text",
    "text_zh",
    "muted_by",
    "policy",
    "evidence",
    "record",
    "sha256",
)


_PLACE: Final = re.compile(r"([a-z-]+)/(\d{1,9})/(\d{1,18})")


class Manifest(Struct, frozen=True, kw_only=True):
    """What a bundle holds: all up to a record of the journal, and the business date then open.

    `until` is the instant of its last record.
    """

    format: int
    made_by: str
    customer_id: str
    episode_id: str
    journal: str
    business_date: str
    until: str
    records: int
    warnings: int
    policies: int
    record_digest: str
    files: dict[str, str]  # by name, the SHA-256 of each


class Line(Struct, frozen=True, omit_defaults=True):
    """A record as a line of JSON; bytes are base64. `event` tells people what `value` says."""

    record: str
    timestamp_ms: int
    key_base64: bytes | None
    value_base64: bytes | None
    sha256: str
    refused: str | None = None
    event: msgspec.Raw = NO_EVENT


class Contents(Struct, frozen=True):
    """What a bundle is made of: records in order, those refused with their codes by place.

    `journal` is the last record of the partition's journal that the bundle covers.
    """

    customer_id: str
    episode_id: str
    records: Sequence[HistoryRecord]
    warnings: Sequence[HistoryRecord]
    policies: Sequence[HistoryRecord]
    journal: HistoryRecord
    refused: Mapping[str, str]

    @property
    def every(self) -> list[HistoryRecord]:
        """All records, in the order of the files that hold them."""
        return [*self.records, *self.warnings, *self.policies, self.journal]


def files_of(contents: Contents, codec: Codec) -> dict[str, bytes]:
    """Every file of a bundle by its name, the manifest last. Raises Refused."""
    files = body_of(contents, codec)
    return {**files, MANIFEST: manifest_of(contents, codec, files, made_by())}


def body_of(contents: Contents, codec: Codec, *, is_revealed: bool = True) -> dict[str, bytes]:
    """Every file but the manifest; not `is_revealed`, with what is encrypted as it is stored."""
    files = {"README.txt": README.encode()}
    files |= _tables(contents, codec, is_revealed=is_revealed)
    files |= _policies(contents, codec)
    files["warnings.csv"] = _warning_table(contents.warnings, codec)
    records = (contents.records, contents.warnings, contents.policies, [contents.journal])
    for name, found in zip(RAW, records, strict=True):
        files[name] = _raw(found, codec, contents.refused)
    return files


def contents_of(files: Mapping[str, bytes]) -> Contents:
    """The records that a bundle holds. Raises BundleError if they cannot be read."""
    manifest = read_manifest(files)
    lines = {name: _lines(files, name) for name in RAW}
    refused = {
        line.record: line.refused for found in lines.values() for line in found if line.refused
    }
    records, warnings, policies, last = ([_record(line) for line in lines[name]] for name in RAW)
    if len(last) != 1:
        raise BundleError(f"{JOURNAL_RAW} holds {len(last)} records of the journal, not one")
    return Contents(
        manifest.customer_id, manifest.episode_id, records, warnings, policies, last[0], refused
    )


def record_digest(records: Iterable[HistoryRecord]) -> str:
    """SHA-256 over a line per record: place, timestamp, key, SHA-256 of the value."""
    lines = hashlib.sha256()
    for record in records:
        key = base64.b64encode(record.key or b"").decode()
        text = f"{record_place(record)} {record.timestamp} {key} {sha256(record.value or b'')}\n"
        lines.update(text.encode())
    return lines.hexdigest()


def record_place(record: HistoryRecord) -> str:
    """How people name a record: topic/partition/offset."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def in_order(records: Iterable[HistoryRecord]) -> list[HistoryRecord]:
    """Records as they became known: by time, topic and offset."""
    return sorted(
        records, key=lambda r: (r.timestamp, BY_NAME[r.topic].topic_id, r.partition, r.offset)
    )


def chosen(
    records: Sequence[HistoryRecord], warnings: Sequence[RiskWarning]
) -> list[HistoryRecord]:
    """Those records that concern warnings: their evidence, and all that is no document."""
    wanted = {evidence_place(evidence) for warning in warnings for evidence in warning.evidence}
    return [
        record
        for record in records
        if record_place(record) in wanted or record.topic in ("customers", "engagements")
    ]


def customer_of(record: HistoryRecord, codec: Codec) -> str:
    """Whom a record of events is about. Raises Refused."""
    event: CustomerEvent = codec.decode(BY_NAME[record.topic].topic_id, record.value)  # type: ignore[assignment]  # all of its topic have a customer
    return event.customer_id


def _tables(contents: Contents, codec: Codec, *, is_revealed: bool) -> dict[str, bytes]:
    """One table per kind of event, for people; kinds without events have none."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for record in contents.records:
        topic_id = BY_NAME[record.topic].topic_id
        event: Event = codec.decode(topic_id, record.value)
        if is_revealed:
            event = codec.reveal(topic_id, event)
        section = SECTIONS.get(type(event).__name__, record.topic)
        rows.setdefault(section, []).append(
            (
                jsonlines.iso_instant(record.timestamp),
                *describe_event(event),
                contents.refused.get(record_place(record), ""),
                record_place(record),
                sha256(record.value or b""),
            )
        )
    return {f"{name}.csv": csv_of(COLUMNS, found) for name, found in sorted(rows.items())}


def _warning_table(records: Iterable[HistoryRecord], codec: Codec) -> bytes:
    rows = []
    for record in records:
        warning = codec.decode_warning(record.value)
        rows.append(
            (
                day(warning.as_of),
                warning.rule,
                warning.subject,
                warning.severity,
                warning.transition,
                warning.reason,
                cards.value_of(warning),
                cards.threshold_of(warning),
                warning.text_en,
                warning.text_zh,
                warning.muted_by or "",
                f"{warning.policy_name} {warning.policy_version} {warning.policy_hash}",
                " ".join(evidence_place(evidence) for evidence in warning.evidence),
                record_place(record),
                sha256(record.value or b""),
            )
        )
    return csv_of(WARNING_COLUMNS, rows)


def evidence_place(evidence: Evidence) -> str:
    """How people name the record that a piece of evidence points to."""
    topic = BY_ID.get(evidence.topic_id)  # none in a forged record
    name = topic.name if topic else evidence.topic_id
    return f"{name}/{evidence.partition}/{evidence.offset}"


def _policies(contents: Contents, codec: Codec) -> dict[str, bytes]:
    """Every version of the policy: a table, and the text of each as its author wrote it."""
    files, rows = {}, []
    for record in contents.policies:
        event = codec.decode(POLICIES.topic_id, record.value)
        if isinstance(event, PolicyPublished):
            name = f"policies/{record.offset}.yaml"
            files[name] = event.source.encode()
            refused = contents.refused.get(record_place(record), "")
            told = (
                *describe_event(event),
                refused,
                name,
                record_place(record),
                sha256(record.value or b""),
            )
            rows.append((jsonlines.iso_instant(record.timestamp), *told))
    return {**files, "policies.csv": csv_of(POLICY_COLUMNS, rows)}


def _raw(records: Iterable[HistoryRecord], codec: Codec, refused: Mapping[str, str]) -> bytes:
    lines = []
    for record in records:
        event = NO_EVENT
        if BY_NAME[record.topic].is_source:
            decoded = codec.decode(BY_NAME[record.topic].topic_id, record.value)
            event = msgspec.Raw(jsonlines.format(decoded, instant=record.timestamp).encode())
        name, digest = record_place(record), sha256(record.value or b"")
        line = Line(
            name, record.timestamp, record.key, record.value, digest, refused.get(name), event
        )
        lines.append(msgspec.json.encode(line) + b"\n")
    return b"".join(lines)


def _lines(files: Mapping[str, bytes], name: str) -> list[Line]:
    try:
        return [msgspec.json.decode(line, type=Line) for line in files[name].splitlines()]
    except KeyError as error:
        raise BundleError(f"it holds no {name}") from error
    except UNREADABLE as error:
        raise BundleError(f"{name} cannot be read: {error}") from error


def _record(line: Line) -> HistoryRecord:
    match = _PLACE.fullmatch(line.record)
    if match is None or match[1] not in BY_NAME:
        raise BundleError(f"{line.record!a} is no place of a record")
    key, value = line.key_base64, line.value_base64
    return HistoryRecord(match[1], int(match[2]), int(match[3]), line.timestamp_ms, key, value)


def read_manifest(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of a bundle. Raises BundleError."""
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except UNREADABLE as error:
        raise BundleError(f"{MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"its format is {manifest.format}, not {FORMAT}")
    return manifest


def manifest_of(contents: Contents, codec: Codec, files: Mapping[str, bytes], maker: str) -> bytes:
    """The manifest that `maker` writes for contents and the other files. Raises Refused."""
    every = contents.every
    entry = codec.decode_journal(contents.journal.value)
    told = Manifest(
        format=FORMAT,
        made_by=maker,
        customer_id=contents.customer_id,
        episode_id=contents.episode_id,
        journal=record_place(contents.journal),
        business_date=day(entry.business_date),
        until=jsonlines.iso_instant(max(r.timestamp for r in every[:-1] or every)),
        records=len(contents.records),
        warnings=len(contents.warnings),
        policies=len(contents.policies),
        record_digest=record_digest(every),
        files={name: sha256(content) for name, content in sorted(files.items())},
    )
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table as a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: str) -> str:
    """A text that no spreadsheet takes for a formula: it may come from outside."""
    return f"'{clean(value)}" if value[:1] in ("=", "+", "-", "@") else clean(value)


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def made_by() -> str:
    """What makes bundles here: the program and its version."""
    return f"tocsin {version('tocsin')}"
