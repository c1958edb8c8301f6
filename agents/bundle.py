"""A customer's history as evidence in one file: what it holds, and how it is checked.

A bundle is a function of the records in it. So one that was not changed can be made again from its
own raw records, byte by byte, and its records can be compared with the topics that they came from.
Nothing in it depends on when or where it was made: the same records give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct

from tocsin.agents import cards
from tocsin.agents.bundle_words import README, SECTIONS
from tocsin.agents.events_told import tell
from tocsin.agents.formats import clean, day
from tocsin.agents.history import HistoryRecord
from tocsin.schemas import jsonlines
from tocsin.schemas.catalog import BY_ID, BY_NAME, POLICIES
from tocsin.schemas.codec import Codec
from tocsin.schemas.refused import Refused
from tocsin.streams.decisions import Evidence, RiskWarning
from tocsin.streams.events import PolicyPublished
from tocsin.streams.refusals import UNREADABLE
from tocsin.streams.sealed import SEALED

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
RECORDS: Final = "raw/records.jsonl"
WARNINGS_RAW: Final = "raw/warnings.jsonl"
POLICIES_RAW: Final = "raw/policies.jsonl"
RAW: Final = (RECORDS, WARNINGS_RAW, POLICIES_RAW)
BYTES_MAX: Final = 1 << 30
NO_EVENT: Final = msgspec.Raw(b"null")
ENTRY_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell: it tells nothing
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


class BundleError(Exception):
    """A file that is no bundle, or one that cannot be read."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a bundle holds; `until` is the instant of its last record."""

    format: int
    made_by: str
    customer_id: str
    episode_id: str
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
    """What a bundle is made of: records in order, those refused with their codes by place."""

    customer_id: str
    episode_id: str
    records: Sequence[HistoryRecord]
    warnings: Sequence[HistoryRecord]
    policies: Sequence[HistoryRecord]
    refused: Mapping[str, str]


def files_of(contents: Contents, codec: Codec) -> dict[str, bytes]:
    """Every file of a bundle by its name, the manifest last."""
    files = {"README.txt": README.encode()}
    files |= _tables(contents, codec)
    files |= _policies(contents, codec)
    files["warnings.csv"] = _warning_table(contents.warnings, codec)
    records = (contents.records, contents.warnings, contents.policies)
    for name, found in zip(RAW, records, strict=True):
        files[name] = _raw(found, codec, contents.refused)
    files[MANIFEST] = _manifest(contents, files)
    return files


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


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """What is in a file of a zip, never more than the size that the zip says."""
    with archive.open(entry) as content:
        return content.read(entry.file_size)


def contents_of(files: Mapping[str, bytes]) -> Contents:
    """The records that a bundle holds. Raises BundleError if they cannot be read."""
    manifest = _manifest_of(files)
    lines = {name: _lines(files, name) for name in RAW}
    refused = {
        line.record: line.refused for found in lines.values() for line in found if line.refused
    }
    records, warnings, policies = ([_record(line) for line in lines[name]] for name in RAW)
    return Contents(manifest.customer_id, manifest.episode_id, records, warnings, policies, refused)


def problems(files: Mapping[str, bytes], codec: Codec) -> list[str]:
    """What in a bundle contradicts itself; nothing if it is as it was made.

    Raises BundleError if it cannot be read at all.
    """
    manifest = _manifest_of(files)
    listed = manifest.files
    found = [f"{name} is missing" for name in sorted(listed.keys() - files.keys())]
    found += [f"{name} was added" for name in sorted(files.keys() - listed.keys() - {MANIFEST})]
    found += [
        f"{name} was changed"
        for name, digest in sorted(listed.items())
        if name in files and _sha256(files[name]) != digest
    ]
    if found:
        return found
    contents = contents_of(files)
    if record_digest(_every(contents)) != manifest.record_digest:
        return [f"{MANIFEST} has another digest than the records"]
    try:
        again = files_of(contents, codec)
    except Refused as error:
        return [f"a record cannot be decoded: {error.detail}"]
    # Other words for the same records are no fault, nor is what only a holder of keys can read.
    if manifest.made_by != _made_by() or _is_sealed(contents):
        again = {name: again[name] for name in RAW}
    return [
        f"{name} does not say what its records say"
        for name, content in sorted(again.items())
        if files.get(name) != content
    ]


def record_digest(records: Iterable[HistoryRecord]) -> str:
    """SHA-256 over a line per record: place, timestamp, key, SHA-256 of the value."""
    lines = hashlib.sha256()
    for record in records:
        key = base64.b64encode(record.key or b"").decode()
        text = f"{place(record)} {record.timestamp} {key} {_sha256(record.value or b'')}\n"
        lines.update(text.encode())
    return lines.hexdigest()


def place(record: HistoryRecord) -> str:
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
    wanted = {_place_of(evidence) for warning in warnings for evidence in warning.evidence}
    return [
        record
        for record in records
        if place(record) in wanted or record.topic in ("customers", "engagements")
    ]


def _tables(contents: Contents, codec: Codec) -> dict[str, bytes]:
    """One table per kind of event, for people; kinds without events have none."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for record in contents.records:
        topic_id = BY_NAME[record.topic].topic_id
        event = codec.reveal(topic_id, codec.decode(topic_id, record.value))
        section = SECTIONS.get(type(event).__name__, record.topic)
        rows.setdefault(section, []).append(
            (
                jsonlines.iso_instant(record.timestamp),
                *tell(event),
                contents.refused.get(place(record), ""),
                place(record),
                _sha256(record.value or b""),
            )
        )
    return {f"{name}.csv": _csv(COLUMNS, found) for name, found in sorted(rows.items())}


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
                " ".join(_place_of(evidence) for evidence in warning.evidence),
                place(record),
                _sha256(record.value or b""),
            )
        )
    return _csv(WARNING_COLUMNS, rows)


def _is_sealed(contents: Contents) -> bool:
    """Whether the records hold what is encrypted: tables tell what their maker could read."""
    return any(SEALED.encode() in (record.value or b"") for record in contents.records)


def _place_of(evidence: Evidence) -> str:
    return f"{BY_ID[evidence.topic_id].name}/{evidence.partition}/{evidence.offset}"


def _policies(contents: Contents, codec: Codec) -> dict[str, bytes]:
    """Every version of the policy: a table, and the text of each as its author wrote it."""
    files, rows = {}, []
    for record in contents.policies:
        event = codec.decode(POLICIES.topic_id, record.value)
        if isinstance(event, PolicyPublished):
            name = f"policies/{record.offset}.yaml"
            files[name] = event.source.encode()
            refused = contents.refused.get(place(record), "")
            told = (*tell(event), refused, name, place(record), _sha256(record.value or b""))
            rows.append((jsonlines.iso_instant(record.timestamp), *told))
    return {**files, "policies.csv": _csv(POLICY_COLUMNS, rows)}


def _raw(records: Iterable[HistoryRecord], codec: Codec, refused: Mapping[str, str]) -> bytes:
    lines = []
    for record in records:
        event = NO_EVENT
        if BY_NAME[record.topic].is_source:
            decoded = codec.decode(BY_NAME[record.topic].topic_id, record.value)
            event = msgspec.Raw(jsonlines.format(decoded, instant=record.timestamp).encode())
        name, digest = place(record), _sha256(record.value or b"")
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


def _every(contents: Contents) -> list[HistoryRecord]:
    return [*contents.records, *contents.warnings, *contents.policies]


def _manifest_of(files: Mapping[str, bytes]) -> Manifest:
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except UNREADABLE as error:
        raise BundleError(f"{MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"its format is {manifest.format}, not {FORMAT}")
    return manifest


def _manifest(contents: Contents, files: Mapping[str, bytes]) -> bytes:
    every = _every(contents)
    told = Manifest(
        format=FORMAT,
        made_by=_made_by(),
        customer_id=contents.customer_id,
        episode_id=contents.episode_id,
        until=jsonlines.iso_instant(max((r.timestamp for r in every), default=0)),
        records=len(contents.records),
        warnings=len(contents.warnings),
        policies=len(contents.policies),
        record_digest=record_digest(every),
        files={name: _sha256(content) for name, content in sorted(files.items())},
    )
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: str) -> str:
    """A text that no spreadsheet takes for a formula: it may come from outside."""
    return f"'{clean(value)}" if value[:1] in ("=", "+", "-", "@") else clean(value)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _made_by() -> str:
    return f"tocsin {version('tocsin')}"
