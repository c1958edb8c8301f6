"""Bad input, made by mutating good input: a refusal with a stable code, never anything else.

Seeded: TOCSIN_FUZZ_MUTANTS says how many mutants each test makes, TOCSIN_FUZZ_SEED where it begins.
"""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import ZONE, Book, audit
from tests.unit.test_desk_laws import SHORT
from tests.unit.test_mapping import mapping
from tests.unit.test_policy_laws import rich_lines
from tocsin.schemas import catalog, jsonlines
from tocsin.schemas.codec import Codec
from tocsin.schemas.mapping import MappingCode
from tocsin.schemas.policy_file import read_policy
from tocsin.schemas.refused import Code as FormCode
from tocsin.schemas.refused import Refused
from tocsin.schemas.registry import FileRegistry
from tocsin.streams.convention import Convention
from tocsin.streams.desk import Step
from tocsin.streams.policy_reading import load_policy
from tocsin.streams.refusals import Code, Refusal
from tocsin.streams.state import STATE_VERSION, LoadedPartition, StateError, load

MUTANTS = int(os.environ.get("TOCSIN_FUZZ_MUTANTS", "3000"))
SEED = int(os.environ.get("TOCSIN_FUZZ_SEED", "1"))
SLOW = 100  # a policy takes as long to read as so many records
MUTATIONS_MAX = 4
PEAK_GROWTH_MAX_KB = 400 << 10  # of this process's memory, by all mutants of a test
GOLDEN = Path(__file__).parent.parent / "golden" / "wire"
CONVENTION = Convention(zone=ZONE, horizon_days=60)
CODES = {code.value for code in (*Code, *FormCode, *MappingCode)}
EXTREMES = (
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80" * 12, b"\xfe\xff\xff\xff\x0f", b"\0" * 9,
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "\u202e".encode(), b"NaN", b"-1", b"1e999999999", b"null",
    b"9" * 40, b"[" * 2_000, b"{}", b'""', b"\n", b": ", b"- ", b"&a [*a]", b"!!python/object:x",
)  # fmt: skip

Check = Callable[[bytes], None]


def mutants(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Yield mutants of good input, the same for the same seed."""
    chance = random.Random(SEED)
    for _ in range(count):
        found = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, MUTATIONS_MAX)):
            _mutate(found, chance, seeds)
        yield bytes(found)


def _mutate(found: bytearray, chance: random.Random, seeds: list[bytes]) -> None:
    place = chance.randrange(len(found) + 1)
    end = min(len(found), place + chance.choice((1, 1, 2, 8, 64)))
    match chance.randrange(6):
        case 0 if place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        case 1:
            del found[place:end]
        case 2:
            found[place:place] = found[place:end] * chance.choice((1, 2, 50))
        case 3:
            found[place:end] = chance.choice(EXTREMES)
        case 4:
            other = chance.choice(seeds)
            found[place:] = other[min(place, len(other)) :]
        case _:
            del found[place:]


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Fail if mutants made the process much larger."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < PEAK_GROWTH_MAX_KB


def recorded(topic: catalog.Topic) -> list[bytes]:
    """Recorded values of a topic."""
    entries = json.loads((GOLDEN / f"{topic.name}-1.json").read_text(encoding="utf-8"))
    return [bytes.fromhex(entry["value"]) for entry in entries]


def test_source_records_are_taken_or_refused_with_a_code_and_ledgers_stay_whole() -> None:
    codec, book = Codec(FileRegistry()), Book(SHORT, CONVENTION)
    facts = rich_lines(SEED, 200)
    values = {topic.topic_id: recorded(topic) for topic in catalog.SOURCES}
    for _, topic_id, event in facts:
        values[topic_id].append(codec.encode(topic_id, event))
    at, taken, refusals = facts[0][0], 0, set()
    sources = {topic_id: mutants(found, MUTANTS) for topic_id, found in values.items()}
    for number in range(MUTANTS):
        topic_id = number % len(catalog.SOURCES)
        at += 60_000
        try:
            event = codec.decode(topic_id, next(sources[topic_id]))
        except Refused as refused:
            refusals.add(refused.code)
            continue
        outcome = book.take(at, topic_id, event)
        if isinstance(outcome, Refusal):
            refusals.add(outcome.code)
        else:
            assert outcome is Step.DONE
            taken += 1
        book.desk.begin()
    for ledger in book.desk.ledgers.values():
        audit(ledger)
    assert refusals <= CODES
    assert len(refusals) >= 8
    assert taken


def refused_alone(read: Callable[[bytes], Any], values: list[bytes], count: int) -> None:
    """Every mutant is read or refused with a stable code; some of them are refused."""
    codes = set()
    for value in mutants(values, count):
        try:
            read(value)
        except Refused as refused:
            codes.add(refused.code)
    assert codes
    assert codes <= CODES


@pytest.mark.parametrize("topic", [catalog.WARNINGS, catalog.JOURNAL, catalog.DEAD_LETTERS])
def test_records_of_the_product_itself_are_read_or_refused(topic: catalog.Topic) -> None:
    codec = Codec(FileRegistry())
    readers = {
        catalog.WARNINGS: codec.decode_warning,
        catalog.JOURNAL: codec.decode_journal,
        catalog.DEAD_LETTERS: codec.decode_dead_letter,
    }
    refused_alone(readers[topic], recorded(topic), MUTANTS)


def test_lines_are_read_or_refused() -> None:
    lines = [jsonlines.format(event, instant=at).encode() for at, _, event in rich_lines(SEED, 200)]
    refused_alone(lambda line: jsonlines.parse(line, 1, CONVENTION), lines, MUTANTS)


def test_mapped_records_are_read_or_refused(tmp_path: Path) -> None:
    fields = {
        "customer_id": "debtor", "payment_id": "id", "occurred_at": "at", "currency": "in",
        "amount_minor": {"path": "sum", "as": "decimal", "digits": 2},
        "invoice_ids": {"path": "bills", "optional": True},
    }  # fmt: skip
    mapper = mapping(tmp_path, type="PaymentReceived", fields=fields)
    good = {"debtor": "C1", "id": "P1", "at": "2025-01-31T08:00:00Z", "sum": "12.50", "in": "EUR"}
    values = [json.dumps(found).encode() for found in (good, {**good, "bills": ["I1", "I2"]})]
    refused_alone(mapper.map, values, MUTANTS)


def test_state_is_read_or_said_to_be_damaged() -> None:
    book = Book(SHORT, CONVENTION)
    for fact in rich_lines(SEED, 120):
        book.take(*fact)
    stored = [(key, body) for key, body in sorted(book.store.items()) if body is not None]
    chance, damaged = random.Random(SEED), 0
    for body in mutants([body for _, body in stored], MUTANTS // 10):
        place = chance.randrange(len(stored))
        loaded = LoadedPartition()
        try:
            for number, (key, own) in enumerate(stored):
                load(loaded, key, STATE_VERSION, body if number == place else own)
            loaded.finish()
            for customer_id in loaded.ledgers:
                loaded.ledgers.visit(customer_id)
        except StateError:
            damaged += 1
    assert damaged


def test_policy_texts_and_documents_are_read_or_their_problems_named() -> None:
    plain = json.loads(SHORT)
    kept = ("overdue-age", "complaint-rate", "documents-beyond-limit", "ledger-limit-exceeded")
    plain["rules"] = {name: rule for name, rule in plain["rules"].items() if name in kept}
    plain.pop("overrides", None)
    document = json.dumps(plain).encode()
    refused = 0
    for mutant in mutants([document], MUTANTS // SLOW * 4):
        text = mutant.decode(errors="replace")
        policy, _, told = read_policy(text, CONVENTION.horizon_days)
        loaded, problems = load_policy(text, CONVENTION.horizon_days)
        assert (policy is None) == bool(told)
        assert (loaded is None) == bool(problems)
        refused += policy is None
    assert refused
