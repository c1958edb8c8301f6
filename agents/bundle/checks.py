"""What a bundle must be by itself: its files, their words, whose its records are, their order.

Whoever can make a bundle can also make one of invented records that agrees with itself. So nothing
here proves that records are genuine, or that none is missing: `tocsin.agents.bundle.topics` does.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from tocsin.agents.bundle.archive import MANIFEST
from tocsin.agents.bundle.contents import (
    JOURNAL_RAW,
    POLICIES_RAW,
    RECORDS,
    WARNINGS_RAW,
    Contents,
    Manifest,
    body_of,
    contents_of,
    csv_of,
    customer_of,
    evidence_place,
    in_order,
    made_by,
    manifest_of,
    read_manifest,
    record_place,
    sha256,
)
from tocsin.agents.privacy.encryption import ENCRYPTED, ERASED, UNREADABLE
from tocsin.agents.queries.lookup import EVENT_SOURCES
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import BY_NAME, JOURNAL, POLICIES, WARNINGS, Topic
from tocsin.streams.facts.encrypted_text import SEALED
from tocsin.streams.facts.ids import derived_id

_TOPICS: Final[Mapping[str, Sequence[Topic]]] = {
    RECORDS: EVENT_SOURCES,
    WARNINGS_RAW: (WARNINGS,),
    POLICIES_RAW: (POLICIES,),
    JOURNAL_RAW: (JOURNAL,),
}
_CLOSED: Final = "|".join(map(re.escape, (ENCRYPTED, ERASED, UNREADABLE)))
_CIPHER: Final = rf"{SEALED}[\w.]+:[\w=-]*"
_STORED: Final = re.compile(_CIPHER)
_UNKNOWN: Final = re.compile(f"{_CIPHER}|{_CLOSED}")


def problems(files: Mapping[str, bytes], codec: Codec) -> list[str]:
    """What in a bundle contradicts itself; nothing if it is as it was made.

    Raises BundleError if it cannot be read at all.
    """
    manifest = read_manifest(files)
    if found := list(_listed(manifest, files)):
        return found
    contents = contents_of(files)
    if found := list(_misfiled(contents)):
        return found
    try:
        for check in _CHECKS:
            found += check(contents, codec)
        found += _retold(files, manifest, contents, codec)
    except Refused as error:
        found.append(f"a record cannot be decoded: {error.detail}")
    return found


def _listed(manifest: Manifest, files: Mapping[str, bytes]) -> Iterator[str]:
    """Files that are not those of the manifest."""
    listed = manifest.files
    for name in sorted(listed.keys() - files.keys()):
        yield f"{name} is missing"
    for name in sorted(files.keys() - listed.keys() - {MANIFEST}):
        yield f"{name} was added"
    for name, digest in sorted(listed.items()):
        if name in files and sha256(files[name]) != digest:
            yield f"{name} was changed"


def _misfiled(contents: Contents) -> Iterator[str]:
    """Records in a file that is not for their topic, or of a partition that is not the journal's.

    A customer's records are all in one partition, and so is the journal that tells of them.
    """
    filed = (contents.records, contents.warnings, contents.policies, [contents.journal])
    for (name, topics), records in zip(_TOPICS.items(), filed, strict=True):
        for record in records:
            if BY_NAME[record.topic] not in topics:
                yield f"{record_place(record)} does not belong in {name}"
            elif record.partition != contents.journal.partition:
                yield f"{record_place(record)} is not of partition {contents.journal.partition}"


def _owned(contents: Contents, codec: Codec) -> Iterator[str]:
    """Records of somebody else, warnings of another episode."""
    for record in contents.records:
        customer_id = customer_of(record, codec)
        if customer_id != contents.customer_id:
            yield f"{record_place(record)} is about {customer_id}, not {contents.customer_id}"
    for record in contents.warnings:
        warning = codec.decode_warning(record.value)
        if warning.customer_id != contents.customer_id:
            about = f"{warning.customer_id}, not {contents.customer_id}"
            yield f"{record_place(record)} is about {about}"
        if contents.episode_id not in ("", warning.episode_id):
            yield f"{record_place(record)} is of another episode than {contents.episode_id}"


def _unique(contents: Contents, _codec: Codec) -> Iterator[str]:
    """Records that are there more than once."""
    places = Counter(map(record_place, contents.every))
    for name, count in places.items():
        if count > 1:
            yield f"{name} is there {count} times"


def _ordered(contents: Contents, _codec: Codec) -> Iterator[str]:
    """Files whose records do not stand in the order in which they became known."""
    filed = (contents.records, contents.warnings, contents.policies)
    for name, records in zip(_TOPICS, filed, strict=False):
        if list(records) != in_order(records):
            yield f"{name} is not in the order of its records"


def _covered(contents: Contents, codec: Codec) -> Iterator[str]:
    """Records that the bundle's record of the journal does not cover."""
    entry = codec.decode_journal(contents.journal.value)
    ends = {read.topic_id: read.next for read in entry.ranges}
    for record in (*contents.records, *contents.policies):
        if record.offset >= ends.get(BY_NAME[record.topic].topic_id, 0):
            yield f"{record_place(record)} came after {record_place(contents.journal)}"


def _backed(contents: Contents, codec: Codec) -> Iterator[str]:
    """Records behind a warning that are not there."""
    known = set(map(record_place, contents.records))
    for record in contents.warnings:
        for evidence in codec.decode_warning(record.value).evidence:
            if evidence_place(evidence) not in known:
                yield f"{evidence_place(evidence)} is missing: {record_place(record)} rests on it"


def _counted(contents: Contents, codec: Codec) -> Iterator[str]:
    """Gaps in what the ids of warnings count: episodes of a rule and subject, steps of each."""
    episodes, steps = Counter[tuple[str, str]](), Counter[str]()
    broken: set[tuple[str, str]] = set()
    for record in sorted(contents.warnings, key=attrgetter("offset")):
        warning = codec.decode_warning(record.value)
        episode_id, subject = warning.episode_id, (warning.rule, warning.subject)
        episodes[subject] += not steps[episode_id]
        steps[episode_id] += 1
        is_counted = warning.warning_id == derived_id(episode_id, steps[episode_id])
        if not contents.episode_id:
            whole = (warning.customer_id, *subject, episodes[subject])
            is_counted = is_counted and episode_id == derived_id(*whole)
        if not is_counted and subject not in broken:
            broken.add(subject)
            yield f"a warning of {warning.rule} is missing before {record_place(record)}"


_CHECKS: Final[Sequence[Callable[[Contents, Codec], Iterator[str]]]] = (
    _owned,
    _unique,
    _ordered,
    _covered,
    _backed,
    _counted,
)


def _retold(
    files: Mapping[str, bytes], manifest: Manifest, contents: Contents, codec: Codec
) -> Iterator[str]:
    """Files that are not what is made of the records, whatever version says that it made them."""
    made, maker = body_of(contents, codec), manifest.made_by
    stored = body_of(contents, codec, is_revealed=False)
    doubt = ""
    if maker != made_by():
        doubt = f", in the words of {made_by()}; if {maker} made it, let that version check it"
    given = {name: content for name, content in files.items() if name != MANIFEST}
    for name in sorted(given.keys() - made.keys()):
        yield f"{name} is no file of this bundle"
    for name in sorted(made):
        if not _is_told(given.get(name, b""), made[name], stored[name]):
            yield f"{name} does not say what its records say{doubt}"
    if files[MANIFEST] != manifest_of(contents, codec, given, maker):
        yield f"{MANIFEST} does not say what its records say{doubt}"


def _is_told(given: bytes, made: bytes, stored: bytes) -> bool:
    """Whether a file says what its records say, as far as the reader may know.

    What is encrypted in a record, a table tells in plain words if its maker had the keys, or not at
    all. A reader with the keys compares the words; one without compares all that is around them.
    """
    if given == made:
        return True
    if SEALED.encode() not in stored:
        return False
    tables = [_table(content) for content in (given, made, stored)]
    if csv_of(tables[0][0], tables[0][1:]) != given:
        return False
    return len(set(map(len, tables))) == 1 and all(map(_is_row, *tables))


def _is_row(given: Sequence[str], made: Sequence[str], stored: Sequence[str]) -> bool:
    return len(given) == len(made) and all(map(_is_cell, given, made, stored))


def _is_cell(given: str, made: str, stored: str) -> bool:
    if given == made:
        return True
    around, closed = _UNKNOWN.split(made), map(re.escape, _STORED.split(stored))
    return _is_around(around, given) or bool(re.fullmatch(f"(?:{_CLOSED})".join(closed), given))


def _is_around(parts: Sequence[str], text: str) -> bool:
    """Whether a text is these parts in their order, with anything between them."""
    if len(parts) < 2 or not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return False
    at, end = len(parts[0]), len(text) - len(parts[-1])
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return at <= end


def _table(content: bytes) -> list[list[str]]:
    """The rows of a file that should be a table; one without cells if it is none."""
    try:
        return list(csv.reader(io.StringIO(content.decode(), newline=""))) or [[]]
    except (csv.Error, UnicodeDecodeError):
        return [[]]
