"""Bundles forged with the product's own functions, at random places: each of them is found.

Every forgery agrees with itself as far as its forger could see to it: tables, digests, hashes and
the manifest are made anew. What it still contradicts is found offline; all else by the topics.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tests.agents.bundle.partition import CODEC, Partition
from tests.book import default_document, patched
from tocsin.agents.bundle.archive import MANIFEST, BundleError, packed
from tocsin.agents.bundle.contents import (
    RECORDS,
    Contents,
    body_of,
    files_of,
    in_order,
    manifest_of,
    read_manifest,
    record_place,
)
from tocsin.agents.bundle.topics import read_contents
from tocsin.agents.bundle.verdict import UNPROVEN, Verdict, judge
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import BY_NAME, PAYMENTS, POLICIES
from tocsin.streams.decide.risk_warning import Evidence
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PaymentReceived, PolicyPublished

SEEDS = range(4)
CUSTOMER = "C000001"  # the largest
CONVENTION = Convention()
Forge = Callable[[Contents, Random], Contents]


@cache
def topics() -> Partition:
    """A partition with a few customers, some of whose payments are refused."""
    facts = list(Portfolio(Request(customers=3, days=150, seed=1), CONVENTION).facts())
    documents = (default_document(), patched(default_document(), "version: 2"))
    policies = [
        Fact(0, POLICIES.topic_id, PolicyPublished("default", number, 0, document, f"v{number}"))
        for number, document in enumerate(documents, 1)
    ]
    refused = [
        Fact(
            fact.instant,
            PAYMENTS.topic_id,
            PaymentReceived(CUSTOMER, f"R{n}", fact.instant, 0, "EUR"),
        )
        for n, fact in enumerate(facts[20::40])
    ]
    ordered = sorted([*facts, *refused], key=lambda fact: fact.instant)
    return Partition(chain(policies, with_closings(ordered, CONVENTION)), CONVENTION)


@cache
def genuine(episode_id: str = "", journal: int = -1) -> Contents:
    """What the topics have of the customer, up to one of the journal's records."""
    work = read_contents(topics(), CODEC, CUSTOMER, episode_id, topics().journal[journal])
    return asyncio.run(work)


def judged(content: bytes, *, offline: bool = False) -> Verdict:
    return asyncio.run(judge(content, CODEC, None if offline else topics(), 1))


def bundle_of(contents: Contents) -> bytes:
    return packed(files_of(contents, CODEC))


def without(records: Sequence[HistoryRecord], lost: Sequence[HistoryRecord]) -> list[HistoryRecord]:
    return [record for record in records if record not in lost]


def changed(
    contents: Contents, old: HistoryRecord, new: HistoryRecord, field: str = "records"
) -> Contents:
    """The contents with a record in the place of another, all in order again."""
    records = [new if record == old else record for record in getattr(contents, field)]
    return structs.replace(contents, **{field: in_order(records)})


def payments(contents: Contents) -> list[HistoryRecord]:
    return [r for r in contents.records if r.topic == PAYMENTS.name]


def encoded(record: HistoryRecord, **fields: Any) -> HistoryRecord:
    """The record with other fields in its event, encoded as a producer would."""
    topic_id = BY_NAME[record.topic].topic_id
    event = structs.replace(CODEC.decode(topic_id, record.value), **fields)
    return structs.replace(record, value=CODEC.encode(topic_id, event))


# Forgeries of what a bundle is made of.


def a_payment_dropped(contents: Contents, rng: Random) -> Contents:
    lost = [rng.choice(payments(contents))]
    return structs.replace(contents, records=without(contents.records, lost))


def any_record_dropped(contents: Contents, rng: Random) -> Contents:
    lost = [rng.choice(contents.records)]
    return structs.replace(contents, records=without(contents.records, lost))


def twenty_warnings_dropped(contents: Contents, rng: Random) -> Contents:
    lost = rng.sample(list(contents.warnings), 20)
    return structs.replace(contents, warnings=without(contents.warnings, lost))


def the_last_warnings_dropped(contents: Contents, rng: Random) -> Contents:
    return structs.replace(contents, warnings=contents.warnings[: -rng.randint(1, 20)])


def all_warnings_dropped(contents: Contents, _rng: Random) -> Contents:
    return structs.replace(contents, warnings=[])


def a_policy_dropped(contents: Contents, rng: Random) -> Contents:
    lost = [rng.choice(contents.policies)]
    return structs.replace(contents, policies=without(contents.policies, lost))


def a_record_doubled(contents: Contents, rng: Random) -> Contents:
    twice = rng.choice(contents.records)
    return structs.replace(contents, records=in_order([*contents.records, twice]))


def a_record_doubled_at_the_next_offset(contents: Contents, rng: Random) -> Contents:
    twice = rng.choice(contents.records)
    copy = structs.replace(twice, offset=twice.offset + 1)
    records = [record for record in contents.records if record_place(record) != record_place(copy)]
    return structs.replace(contents, records=in_order([*records, copy]))


def a_warning_doubled(contents: Contents, rng: Random) -> Contents:
    twice = rng.choice(contents.warnings)
    return structs.replace(contents, warnings=in_order([*contents.warnings, twice]))


def two_records_swapped(contents: Contents, rng: Random) -> Contents:
    records = list(contents.records)
    one, other = sorted(rng.sample(range(len(records)), 2))
    records[one], records[other] = records[other], records[one]
    return structs.replace(contents, records=records)


def two_values_swapped(contents: Contents, rng: Random) -> Contents:
    one, other = rng.sample(
        [r for r in payments(contents) if record_place(r) not in contents.refused], 2
    )
    half = changed(contents, one, structs.replace(one, value=other.value))
    return changed(half, other, structs.replace(other, value=one.value))


def a_payment_marked_refused(contents: Contents, rng: Random) -> Contents:
    taken = [r for r in payments(contents) if record_place(r) not in contents.refused]
    refused = {**contents.refused, record_place(rng.choice(taken)): "DATE_ABSURD"}
    return structs.replace(contents, refused=refused)


def a_refusal_hidden(contents: Contents, rng: Random) -> Contents:
    refused = dict(contents.refused)
    del refused[rng.choice(sorted(refused))]
    return structs.replace(contents, refused=refused)


def another_reason_for_a_refusal(contents: Contents, rng: Random) -> Contents:
    refused = {**contents.refused, rng.choice(sorted(contents.refused)): "CURRENCY_UNKNOWN"}
    return structs.replace(contents, refused=refused)


def renamed_to_another_customer(contents: Contents, _rng: Random) -> Contents:
    return structs.replace(contents, customer_id="C000002")


def all_records_renamed(contents: Contents, _rng: Random) -> Contents:
    name = "C000002"
    records = [
        structs.replace(encoded(record, customer_id=name), key=name.encode())
        for record in contents.records
    ]
    return structs.replace(contents, customer_id=name, records=records, warnings=[])


def another_amount(contents: Contents, rng: Random) -> Contents:
    payment = rng.choice(payments(contents))
    return changed(contents, payment, encoded(payment, amount_minor=100))


def another_time(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.records)
    return changed(contents, record, structs.replace(record, timestamp=record.timestamp - 1))


def another_key(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.records)
    return changed(contents, record, structs.replace(record, key=b"C000002"))


def another_place(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.records)
    return changed(contents, record, structs.replace(record, offset=record.offset + 1000))


def another_partition(contents: Contents, _rng: Random) -> Contents:
    moved = [
        [structs.replace(record, partition=1) for record in records]
        for records in (contents.records, contents.warnings, contents.policies, [contents.journal])
    ]
    refused = {name.replace("/0/", "/1/"): code for name, code in contents.refused.items()}
    return Contents(CUSTOMER, "", moved[0], moved[1], moved[2], moved[3][0], refused)


def a_record_of_somebody_else(contents: Contents, rng: Random) -> Contents:
    others = [r for r in topics().records["invoices"] if r.key != CUSTOMER.encode()]
    return structs.replace(contents, records=in_order([*contents.records, rng.choice(others)]))


def an_invented_record(contents: Contents, rng: Random) -> Contents:
    model = rng.choice(payments(contents))
    free = {r.offset for r in topics().records["payments"]} - {r.offset for r in payments(contents)}
    invented = structs.replace(encoded(model, payment_id="X"), offset=rng.choice(sorted(free)))
    return structs.replace(contents, records=in_order([*contents.records, invented]))


def a_milder_warning(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.warnings)
    warning = structs.replace(CODEC.decode_warning(record.value), text_en="all is well")
    new = structs.replace(record, value=CODEC.encode_warning(warning))
    return changed(contents, record, new, "warnings")


def a_warning_that_rests_on_nothing(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.warnings)
    invented = Evidence(rng.choice([-49, 0, 4, 19]), 0, 1_000_000, "X")
    warning = structs.replace(CODEC.decode_warning(record.value), evidence=(invented,))
    new = structs.replace(record, value=CODEC.encode_warning(warning))
    return changed(contents, record, new, "warnings")


def another_policy(contents: Contents, rng: Random) -> Contents:
    record = rng.choice(contents.policies)
    return changed(contents, record, encoded(record, source="milder"), "policies")


def an_earlier_journal_record(contents: Contents, rng: Random) -> Contents:
    return structs.replace(contents, journal=rng.choice(topics().journal[:-10]))


def a_later_journal_record(_contents: Contents, rng: Random) -> Contents:
    earlier = genuine(journal=rng.randrange(-15, -5))
    return structs.replace(earlier, journal=topics().journal[-1])


def an_invented_journal_record(contents: Contents, rng: Random) -> Contents:
    entry = CODEC.decode_journal(contents.journal.value)
    day = (entry.business_date or 0) - rng.randint(1, 100)
    value = CODEC.encode_journal(structs.replace(entry, business_date=day))
    return structs.replace(contents, journal=structs.replace(contents.journal, value=value))


def an_episode_claimed(contents: Contents, rng: Random) -> Contents:
    warning = CODEC.decode_warning(rng.choice(contents.warnings).value)
    return structs.replace(contents, episode_id=warning.episode_id)


OFFLINE: Sequence[Forge] = (
    a_record_doubled,
    a_warning_doubled,
    two_records_swapped,
    renamed_to_another_customer,
    a_record_of_somebody_else,
    another_place,
    twenty_warnings_dropped,
    a_warning_that_rests_on_nothing,
    an_earlier_journal_record,
    an_episode_claimed,
)
BY_TOPICS: Sequence[Forge] = (
    a_payment_dropped,
    any_record_dropped,
    the_last_warnings_dropped,
    all_warnings_dropped,
    a_policy_dropped,
    a_record_doubled_at_the_next_offset,
    two_values_swapped,
    a_payment_marked_refused,
    a_refusal_hidden,
    another_reason_for_a_refusal,
    all_records_renamed,
    another_amount,
    another_time,
    another_key,
    another_partition,
    an_invented_record,
    a_milder_warning,
    another_policy,
    a_later_journal_record,
    an_invented_journal_record,
)


def test_a_genuine_bundle_is_sound_and_offline_nobody_can_say_so() -> None:
    contents = genuine()
    assert len(contents.warnings) > 40
    assert len(contents.refused) > 2

    for journal in (-1, -5, -12):
        verdict = judged(bundle_of(genuine(journal=journal)))
        assert (verdict.is_sound, verdict.problems, verdict.unproven) == (True, [], ())
    alone = judged(bundle_of(contents), offline=True)
    assert (alone.is_sound, alone.problems, alone.unproven) == (None, [], UNPROVEN)


@pytest.mark.parametrize("forge", [*OFFLINE, *BY_TOPICS], ids=lambda forge: forge.__name__)
def test_every_forgery_is_found(forge: Forge) -> None:
    for seed in SEEDS:
        forged = forge(genuine(), Random(seed))
        assert forged != genuine()

        assert judged(bundle_of(forged)).is_sound is False, seed


@pytest.mark.parametrize("forge", OFFLINE, ids=lambda forge: forge.__name__)
def test_what_contradicts_itself_is_found_offline(forge: Forge) -> None:
    for seed in SEEDS:
        assert judged(bundle_of(forge(genuine(), Random(seed))), offline=True).is_sound is False


@pytest.mark.parametrize("forge", [a_payment_dropped, the_last_warnings_dropped, another_amount])
def test_forgeries_of_an_episode_are_found(forge: Forge) -> None:
    episodes = {CODEC.decode_warning(r.value).episode_id for r in genuine().warnings}
    found = 0
    for seed, episode_id in enumerate(sorted(episodes)):
        contents = genuine(episode_id)
        assert judged(bundle_of(contents)).is_sound
        if payments(contents):
            forged = forge(contents, Random(seed))
            assert judged(bundle_of(forged)).is_sound is False
            found += 1
    assert found


@pytest.mark.parametrize(
    ("topic", "change", "says"),
    [
        ("journal", lambda kept: kept[3:], "the journal begins with record 3"),
        ("journal", lambda kept: [*kept[:3], *kept[4:]], "chain breaks at record 4"),
        ("journal", lambda kept: kept[:-1], "is not in the topic"),
        ("warnings", lambda kept: kept[1:], "warnings that the journal counts"),
        ("dead-letters", lambda kept: kept[1:], "no dead letter says so"),
        ("payments", lambda kept: kept[1:], "is not in the topic"),
    ],
)
def test_topics_that_cannot_prove_it_are_told_and_nothing_is_called_sound(
    topic: str, change: Callable[[Any], Any], says: str
) -> None:
    kept = copy(topics())
    kept.records = {**kept.records, topic: change(kept.records[topic])}

    verdict = asyncio.run(judge(bundle_of(genuine()), CODEC, kept, 1))

    assert verdict.is_sound is False
    assert any(says in problem for problem in verdict.problems), verdict.problems


def test_a_bundle_of_a_partition_that_is_not_the_customers_any_more_is_told() -> None:
    verdict = asyncio.run(judge(bundle_of(genuine()), CODEC, topics(), 7))

    assert "was it made before the topics were made anew?" in verdict.problems[0]


# Forgeries of files, with a manifest that has their hashes.


def rehashed(files: dict[str, bytes], maker: str = "tocsin 0.0.9") -> bytes:
    """A bundle of files as a forger packs them, said to be made by another version."""
    given = {name: content for name, content in files.items() if name != MANIFEST}
    return packed({**given, MANIFEST: manifest_of(genuine(), CODEC, given, maker)})


def test_a_bundle_of_another_version_with_the_same_words_is_sound() -> None:
    assert judged(rehashed(body_of(genuine(), CODEC))).is_sound


def test_a_figure_changed_in_a_table_is_found_whatever_version_made_it() -> None:
    for seed in SEEDS:
        rng, files = Random(seed), body_of(genuine(), CODEC)
        name = rng.choice(["invoices.csv", "payments.csv", "warnings.csv"])
        figures = [
            found.span() for found in re.finditer(rb"[\d,]+\.\d\d(?= [A-Z]{3})", files[name])
        ]
        first, end = rng.choice(figures)
        files[name] = files[name][:first] + b"1.00" + files[name][end:]

        found = judged(rehashed(files), offline=True).problems

        assert any(problem.startswith(f"{name} does not say") for problem in found), seed
        assert "tocsin 0.0.9" in found[0]


def test_a_row_taken_out_or_changed_anywhere_is_found() -> None:
    for seed in SEEDS:
        rng, files = Random(seed), body_of(genuine(), CODEC)
        name = rng.choice(sorted(files))
        lines = files[name].splitlines(keepends=True)
        del lines[rng.randrange(len(lines))]
        files[name] = b"".join(lines)
        if name.startswith("raw/journal"):
            with pytest.raises(BundleError):
                judged(rehashed(files))
        else:
            assert judged(rehashed(files)).is_sound is False, (seed, name)


def test_what_a_raw_line_tells_people_is_compared_with_its_record() -> None:
    files = body_of(genuine(), CODEC)
    files[RECORDS] = re.sub(rb'"amount_minor":\d+', b'"amount_minor":1', files[RECORDS], count=1)

    assert judged(rehashed(files), offline=True).is_sound is False


@pytest.mark.parametrize("name", ["more.csv", "../escape", "/etc/passwd", "a\\b", "folder/"])
def test_a_file_that_no_bundle_has_is_found_though_the_manifest_names_it(name: str) -> None:
    files = {**body_of(genuine(), CODEC), name: b"" if name.endswith("/") else b"x"}

    assert judged(rehashed(files), offline=True).is_sound is False


def test_a_table_left_out_is_found_though_the_manifest_does_not_name_it() -> None:
    files = body_of(genuine(), CODEC)
    del files["payments.csv"]

    assert judged(rehashed(files), offline=True).is_sound is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customer_id", "C000002"),
        ("episode_id", "00"),
        ("business_date", "2031-01-01"),
        ("until", "2031-01-01T00:00:00.000Z"),
        ("journal", "journal/0/1"),
        ("records", 1),
        ("warnings", 0),
        ("policies", 9),
        ("record_digest", "00"),
        ("note", "nothing to see here"),
    ],
)
def test_a_manifest_that_says_something_else_is_found(field: str, value: object) -> None:
    files = files_of(genuine(), CODEC)
    told = {**msgspec.json.decode(files[MANIFEST]), field: value}
    files[MANIFEST] = msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"
    assert read_manifest(files)

    assert judged(packed(files), offline=True).is_sound is False


# Forgeries of the zip itself.


def zipped(**options: Any) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", **options) as archive:
        for name, content in sorted(files_of(genuine(), CODEC).items()):
            archive.writestr(name, content)
    return whole.getvalue()


def commented() -> bytes:
    whole = io.BytesIO(bundle_of(genuine()))
    with zipfile.ZipFile(whole, "a") as archive:
        archive.comment = b"hidden"
    return whole.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        lambda: b"#!/bin/sh\n" + bundle_of(genuine()),
        lambda: bundle_of(genuine()) + b"more",
        lambda: zipped(compression=zipfile.ZIP_DEFLATED),
        zipped,
        commented,
    ],
    ids=["before", "behind", "compressed", "packed anew", "comment"],
)
def test_what_is_hidden_beside_the_files_is_found(content: Callable[[], bytes]) -> None:
    assert judged(content(), offline=True).is_sound is False


def test_any_byte_changed_in_the_zip_is_found_or_leaves_no_bundle() -> None:
    whole, rng = bundle_of(genuine()), random.Random(1)
    for _ in range(60):
        at = rng.randrange(len(whole))
        forged = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        try:
            assert judged(forged, offline=True).is_sound is False, at
        except BundleError:
            continue
