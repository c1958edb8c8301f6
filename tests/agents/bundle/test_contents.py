"""A bundle is a function of its records, and every change of it is found."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from functools import cache

import msgspec
import pytest
from msgspec import structs

from tests.agents.bundle.partition import CODEC, Partition
from tests.book import default_document
from tocsin.agents.bundle import archive as bundle_zip
from tocsin.agents.bundle import contents as bundle
from tocsin.agents.bundle.archive import MANIFEST, BundleError, packed, unpacked
from tocsin.agents.bundle.checks import problems
from tocsin.agents.bundle.contents import RECORDS, Contents, contents_of, files_of
from tocsin.agents.bundle.topics import read_contents
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import BY_ID, CLOCK, ENGAGEMENTS, INVOICES, POLICIES
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    ContactLogged,
    DayClosed,
    InvoiceIssued,
    PolicyPublished,
    SilenceBegan,
)

AT = 1_735_808_400_000  # 2025-01-02T09:00Z
DAY = AT // 86_400_000
POLICY = PolicyPublished("default", 1, 0, default_document(), "the policy")
EVENTS = (
    InvoiceIssued("C1", "I1", AT, DAY + 1, 9_000_000, "EUR"),
    ContactLogged("C1", "T1", AT + 1, "PHONE", "UNANSWERED", text="=HYPERLINK(evil)"),
    SilenceBegan("C1", "Q1", AT + 2, "Chen Li", "in talks", DAY + 20),
)


def record(offset: int, topic_id: int, event: object, timestamp: int) -> HistoryRecord:
    value = CODEC.encode(topic_id, event)  # type: ignore[arg-type]  # an event of that topic
    return HistoryRecord(BY_ID[topic_id].name, 0, offset, timestamp, b"C1", value)


@cache
def contents() -> Contents:
    """All that a deployment has of a customer that owes much, was called, and is left alone."""
    topics = (INVOICES, ENGAGEMENTS, ENGAGEMENTS)
    closed = Convention().closes_at(DAY + 40)
    partition = Partition(
        [
            Fact(0, POLICIES.topic_id, POLICY),
            *(Fact(e.occurred_at, t.topic_id, e) for e, t in zip(EVENTS, topics, strict=True)),
            Fact(closed, CLOCK.topic_id, DayClosed(DAY + 40, "feed")),
        ]
    )
    return asyncio.run(read_contents(partition, CODEC, "C1", "", partition.journal[-1]))


def test_the_same_records_give_the_same_bytes_and_are_read_back() -> None:
    files = files_of(contents(), CODEC)

    again = unpacked(packed(files))

    assert packed(files_of(contents(), CODEC)) == packed(files)
    assert again == files
    assert contents_of(again) == contents()
    assert problems(again, CODEC) == []


def test_it_tells_people_what_happened_and_programs_what_was_recorded() -> None:
    files = files_of(structs.replace(contents(), refused={"engagements/0/0": "SOME_CODE"}), CODEC)

    assert {"invoices.csv", "contacts.csv", "handling.csv", "warnings.csv"} <= files.keys()
    assert b"unanswered" in files["contacts.csv"]
    assert b"SOME_CODE" in files["contacts.csv"]
    assert b"in talks" in files["handling.csv"]
    assert b"SILENCED:Q1" in files["warnings.csv"]
    assert b"invoices/0/0" in files["warnings.csv"]
    assert files["policies/0.yaml"] == b"the policy"
    assert b"default 1" in files["policies.csv"]
    line = msgspec.json.decode(files[RECORDS].splitlines()[0])
    assert line["event"]["invoice_id"] == "I1"
    value = msgspec.json.decode(msgspec.json.encode(line["value_base64"]), type=bytes)
    assert hashlib.sha256(value).hexdigest() == line["sha256"]
    assert value == CODEC.encode(INVOICES.topic_id, EVENTS[0])


def test_no_text_from_outside_becomes_a_formula() -> None:
    event = SilenceBegan("C1", "=1+1", AT, "Chen Li", "in talks", DAY + 20)
    made = structs.replace(contents(), records=[record(0, ENGAGEMENTS.topic_id, event, AT)])

    assert b",'=1+1," in files_of(made, CODEC)["handling.csv"]


@pytest.mark.parametrize("name", sorted(files_of(contents(), CODEC).keys() - {MANIFEST}))
def test_a_changed_file_is_found(name: str) -> None:
    files = files_of(contents(), CODEC)
    files[name] += b" "

    assert problems(files, CODEC) == [f"{name} was changed"]


def test_a_file_taken_out_or_put_in_is_found() -> None:
    files = files_of(contents(), CODEC)
    del files["contacts.csv"]
    files["more.csv"] = b""

    assert problems(files, CODEC) == ["contacts.csv is missing", "more.csv was added"]


def test_a_table_that_does_not_say_what_its_records_say_is_found() -> None:
    files = files_of(contents(), CODEC)
    files["contacts.csv"] = files["contacts.csv"].replace(b"unanswered", b"cooperative")
    manifest = msgspec.json.decode(files[MANIFEST])
    digest = hashlib.sha256(files["contacts.csv"]).hexdigest()
    files[MANIFEST] = msgspec.json.encode(
        {**manifest, "files": {**manifest["files"], "contacts.csv": digest}}
    )

    assert "contacts.csv does not say what its records say" in problems(files, CODEC)


def test_the_digest_over_all_records_can_be_worked_out_by_hand() -> None:
    made = contents()
    lines = hashlib.sha256()
    for r in [*made.records, *made.warnings, *made.policies, made.journal]:
        digest = hashlib.sha256(r.value or b"").hexdigest()
        key = "QzE=" if r.key else ""
        lines.update(f"{r.topic}/0/{r.offset} {r.timestamp} {key} {digest}\n".encode())

    manifest = msgspec.json.decode(files_of(made, CODEC)[MANIFEST])

    assert manifest["record_digest"] == lines.hexdigest()


def test_of_one_episode_only_its_evidence_is_taken_beside_what_was_said() -> None:
    made = contents()
    (warning, *_) = (
        w for r in made.warnings if (w := CODEC.decode_warning(r.value)).rule == "overdue-amount"
    )
    other = record(9, INVOICES.topic_id, EVENTS[0], AT + 9)

    chosen = bundle.chosen([*made.records, other], [warning])

    assert chosen == list(made.records)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (MANIFEST, b"[]"),
        (MANIFEST, b"{"),
        (MANIFEST, b'{"made_by": "\xb2"}'),
        (RECORDS, b'{"record": "\xb2"}'),
        (RECORDS, b"{}\n"),
        (RECORDS, b'{"record": "elsewhere/0/0", "timestamp_ms": 1, "key_base64": null, '
                  b'"value_base64": null, "sha256": ""}\n'),
        (RECORDS, b'{"record": "invoices/0/0", "timestamp_ms": 1, "key_base64": "???", '
                  b'"value_base64": null, "sha256": ""}\n'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(name: str, content: bytes) -> None:
    files = files_of(contents(), CODEC)
    files[name] = content

    with pytest.raises(BundleError):
        contents_of(files)


def test_a_file_that_is_there_twice_is_no_bundle() -> None:
    whole = io.BytesIO(packed(files_of(contents(), CODEC)))
    with zipfile.ZipFile(whole, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("contacts.csv", "")

    with pytest.raises(BundleError, match="twice"):
        unpacked(whole.getvalue())


def test_a_bundle_that_unpacks_to_too_much_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is lowered to what is there: a gigabyte takes long to pack."""
    files = files_of(contents(), CODEC)
    whole, size = packed(files), sum(map(len, files.values()))
    monkeypatch.setattr(bundle_zip, "BYTES_MAX", size)
    assert unpacked(whole) == files

    monkeypatch.setattr(bundle_zip, "BYTES_MAX", size - 1)

    with pytest.raises(BundleError, match="unpacks to more than"):
        unpacked(whole)


@pytest.mark.parametrize("content", [b"", b"no zip", packed({"a.csv": b""})])
def test_what_is_no_bundle_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        unpacked(content)
