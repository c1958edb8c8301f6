"""Versions of the state's layout: pinned, read and written one beside the other, or refused."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import fastavro
import pytest
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from tests.book import ZONE, Book, parse_line
from tests.next_version import NEXT, upgraded
from tocsin.agents.replay.replay import Replay, Report
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import load
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.transaction import Chunk, Transaction, journal_transaction
from tocsin.agents.worker.app import build_worker
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.channels import frame
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.decoders import read_size
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import INVOICES, JOURNAL, SOURCES, Topic
from tocsin.schemas.contracts.registry import FileRegistry, Registered, packaged_schema
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts.convention import Convention
from tocsin.streams.ledger import state_records as state
from tocsin.streams.ledger.ledgers import StateError, _Frozen

LAYOUTS = Path(__file__).parents[2] / "golden" / "state"
CODEC = Codec(FileRegistry())
CONVENTION = Convention(zone=ZONE)
BEFORE = "2025-01-10 invoice A 300 CNY due 2025-02-09"
AFTER = "2025-01-11 payment P 100 CNY for A"
TOLD = Routes.of(lambda topic: topic.name)


def layout() -> str:
    """Every field of what the state holds, in order, with its type."""
    told: dict[str, str] = {}
    for kind in (state.PartitionState, *get_type_hints(_Frozen).values()):
        _tell(kind, told)
    return "\n".join(told[name] for name in sorted(told))


def _tell(kind: Any, told: dict[str, str]) -> None:
    for part in get_args(kind):
        _tell(part, told)
    if not (isinstance(kind, type) and issubclass(kind, Struct)) or kind.__name__ in told:
        return
    hints = get_type_hints(kind)
    told[kind.__name__] = "\n  ".join(
        [kind.__name__, *(f"{name}: {_shown(hints[name])}" for name in kind.__struct_fields__)]
    )
    for hint in hints.values():
        _tell(hint, told)


def _shown(hint: Any) -> str:
    name = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return re.sub(r"[\w.]+\.(\w+)", r"\1", name)


def test_the_layout_of_the_state_is_that_of_its_version() -> None:
    """A change of it needs a new version, a step from the one before, and a file of its own."""
    path = LAYOUTS / f"{state.STATE_VERSION}.txt"
    assert path.read_text(encoding="utf-8") == layout() + "\n"


def test_each_version_that_was_can_be_read_or_is_known_to_be_too_old() -> None:
    versions = sorted(int(path.stem) for path in LAYOUTS.glob("*.txt"))
    assert versions == list(range(1, state.STATE_VERSION + 1))
    assert all(state.is_known(version) for version in versions)
    assert not state.is_known(0)
    assert not state.is_known(-(2**31))


def changelog() -> dict[bytes, bytes]:
    """What a partition of one customer has written in today's version."""
    book = Book(convention=CONVENTION)
    book.add(BEFORE)
    return {
        key: CODEC.encode_state(state._kind_of(key), state.STATE_VERSION, body)
        for key, body in book.store.items()
        if body is not None
    }


def new_journal() -> Journal:
    sources = [Source(topic.name, 0) for topic in SOURCES]
    return Journal(sources, TOLD.topic_ids, CODEC)


def values_of(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Values by key of packed lines, none of them a tombstone."""
    found = {}
    for packed in lines:
        size, begin = read_size(packed, 0)
        key, end = packed[begin : begin + size], begin + size
        size, begin = read_size(packed, end)
        found[key] = packed[begin : begin + size]
    return found


def restored(values: Mapping[bytes, bytes], least_version: int = 0) -> LedgerStore:
    """A worker's store over a changelog."""
    store = LedgerStore(0, CONVENTION, CODEC, least_version)
    for key, value in values.items():
        store.load(key, value)
    store.finish(new_journal(), is_new=False)
    return store


def after(store: LedgerStore, line: str = AFTER) -> dict[bytes, bytes]:
    """What the store writes when a fact comes."""
    at, topic_id, event = parse_line(line)
    store.desk.begin()
    assert store.desk.process(topic_id, 0, 1, at, event) is Step.DONE
    return values_of(store.drain(-1, b""))


def test_a_newer_program_goes_on_in_the_version_that_is_there_and_the_older_takes_it_back() -> None:
    values = changelog()
    expected = after(restored(values))

    with upgraded():
        store = restored(values)
        written = after(store)

    assert written == expected
    assert store.stand().state_version == state.STATE_VERSION
    assert open_minor(restored(values | written)) == 20_000


def open_minor(store: LedgerStore) -> int:
    return store.desk.ledgers["ACME"].invoices["A"].open_minor


def test_a_version_once_written_stays_and_an_older_program_refuses_it() -> None:
    values = changelog()

    with upgraded():
        store = restored(values, least_version=NEXT)
        written = after(store)
        again = restored(values | written)  # what nobody touched is still of the version before

        assert open_minor(again) == 20_000
        assert store.stand().state_version == again.stand().state_version == NEXT
    assert {CODEC.decode_state(value).version for value in written.values()} == {NEXT}
    with pytest.raises(StateError, match=r"version 2, this program reads version 1: a newer.*upgr"):
        restored(values | written)


def test_a_version_that_no_step_leads_from_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    values = changelog()
    monkeypatch.setattr(state, "STATE_VERSION", NEXT)
    with pytest.raises(StateError, match=r"version 1, .*reads version 2: it is too old.*reset"):
        restored(values)


def test_a_version_that_this_program_cannot_write_is_told_before_it_starts(tmp_path: Path) -> None:
    environ = {"TOCSIN_STATE_VERSION": str(NEXT), "TOCSIN_DATA_DIR": str(tmp_path)}
    settings = load(environ=environ, discover=False)
    with pytest.raises(ConfigurationError, match="state_version is 2, but this tocsin writes 1"):
        build_worker(settings)


class Written:
    """A log whose journal holds one record; invoices and dead letters what is given."""

    def __init__(self, value: bytes, **given: Sequence[Any]) -> None:
        self._value, self._given = value, given

    def name(self, topic: Topic) -> str:
        return topic.name

    async def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        if topic is JOURNAL:
            yield [SimpleNamespace(value=self._value)]
        if self._given.get(topic.name):
            yield self._given[topic.name]


def first_record(records: Sequence[Any] = (), letters: list[Any] | None = None) -> JournalRecord:
    """The journal record of a transaction in which these came, or nothing.

    Records of the dead letters are added to `letters`.
    """
    store, journal = LedgerStore(0, CONVENTION, CODEC), new_journal()
    store.finish(journal, is_new=True)
    transaction = Transaction(Chunk(0, records, (), 0), frozenset())
    PartitionProcessor("tocsin", CODEC, TOLD, 1).keep(transaction, store)
    if letters is not None:
        letters += transaction.outputs
    return CODEC.decode_journal(journal_transaction(transaction, journal, store)[1])


def replayed(value: bytes, codec: Codec = CODEC, **given: Sequence[Any]) -> Report:
    work = Replay("tocsin", 1, codec, CONVENTION, Written(value, **given))
    return asyncio.run(work.all())


def test_a_replay_by_an_older_program_says_that_it_cannot_tell() -> None:
    record = replace(first_record(), state_version=NEXT)
    with pytest.raises(ConfigurationError, match=r"journal record 0: .*newer tocsin"):
        replayed(CODEC.encode_journal(record))


def test_a_replay_writes_state_in_the_version_that_was_recorded() -> None:
    value = CODEC.encode_journal(first_record())

    with upgraded():
        younger = CODEC.encode_journal(first_record())

        assert younger != value
        for recorded in (value, younger):
            assert replayed(recorded).exit_code is Exit.OK


def test_a_replay_under_other_logic_says_so_and_compares_what_was_sent() -> None:
    alike = replace(first_record(), logic_version=7)
    report = replayed(CODEC.encode_journal(alike))
    assert (report.exit_code, report.other_logic, report.differing) == (Exit.LOGIC_VERSION, [7], 0)

    other = replace(alike, output_digest=b"\1" * 32)
    report = replayed(CODEC.encode_journal(other))
    assert (report.exit_code, report.other_logic, report.differing) == (Exit.LOGIC_VERSION, [7], 1)


def test_a_journal_under_an_older_schema_is_no_difference() -> None:
    schema: Any = packaged_schema(JOURNAL.name)
    older = schema | {"fields": [*schema["fields"], {"name": "gone", "type": "int", "default": 0}]}
    buffer = io.BytesIO()
    fields = to_builtins(first_record(), builtin_types=(bytes,)) | {"gone": 5}
    fastavro.schemaless_writer(buffer, older, fields)
    codec = Codec(Known(Registered(100, "journal-value", 0, older)))

    assert replayed(frame(100) + buffer.getvalue(), codec).exit_code is Exit.OK


def test_a_refusal_stands_after_its_schema_became_known_and_is_told() -> None:
    at, _, event = parse_line(BEFORE)
    value = frame(100) + CODEC.encode(INVOICES.topic_id, event)[len(frame(100)) :]
    record = SimpleNamespace(
        topic="invoices", partition=0, offset=0, timestamp=at, key=b"ACME", value=value, headers=()
    )
    letters: list[Any] = []
    written = first_record([record], letters)
    value, given = CODEC.encode_journal(written), {"invoices": [record], "dead-letters": letters}
    known = Codec(Known(Registered(100, "invoices-value", 2, packaged_schema("invoices"))))

    assert [refusal.code for refusal in written.refusals] == ["SCHEMA_UNKNOWN"]
    report = replayed(value, known, **given)
    assert (report.exit_code, report.refusals, report.readable) == (Exit.OK, 1, 1)
    assert replayed(value, CODEC, **given).readable == 0


class Known(FileRegistry):
    """The packaged registry with one more schema."""

    def __init__(self, more: Registered) -> None:
        super().__init__()
        self._by_id[more.schema_id] = more
