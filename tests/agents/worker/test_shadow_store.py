"""What a candidate keeps of a partition: taken up where the journal ends, else forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.book import CUSTOMER, default_document, parse_line, patched
from tocsin.agents.deployment.policies import PolicyError, candidate_of
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.settings import Settings, load
from tocsin.agents.transactions.journal import Journal, Output
from tocsin.agents.transactions.transaction import Route
from tocsin.agents.worker.shadow_store import SHADOW_VERSION, ShadowStore
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PolicyPublished
from tocsin.streams.ledger.ledgers import Ledgers, StateError
from tocsin.streams.ledger.state_records import Kind, PartitionState
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import load_policy

CODEC = Codec(FileRegistry())
ROUTE = Route(23, "shadow-ledgers")
HASH = b"\x07" * 32


def policy(patch: str) -> Policy:
    found, problems = load_policy(patched(default_document(), patch), 400)
    assert found is not None, problems
    return found


ONE = policy("rules: {overdue-age: {repeat_after: 9 days}}")
OTHER = policy("rules: {overdue-age: {repeat_after: 8 days}}")


def journal(sequence: int) -> Journal:
    found = Journal((), {}, CODEC)
    found.sequence, found.previous_hash = sequence, HASH
    return found


def new_desk() -> DecisionEngine:
    desk = DecisionEngine(Convention(), Ledgers(), PartitionState(), {})
    desk.begin()
    desk.process(0, 0, 0, 0, PolicyPublished("default", 1, 0, default_document(), ""))
    return desk


def told(desk: DecisionEngine) -> None:
    """Let a desk take a fact of one customer."""
    at, topic, event = parse_line("2025-01-10 invoice A 300,000 CNY due 2025-02-09")
    desk.begin()
    assert desk.process(topic, 0, 0, at, event) is Step.DONE


def desk_at(sequence: int) -> DecisionEngine:
    """A desk with one customer, as of a journal record."""
    desk = new_desk()
    told(desk)
    desk.state.journal_sequence, desk.state.journal_hash = sequence, HASH.hex()
    return desk


def kept() -> list[Output]:
    """What a candidate that was there from the start writes with journal record 4."""
    store = ShadowStore(0, CODEC, ONE, ROUTE)
    desk = new_desk()
    store.attach(desk, journal(-1))
    told(desk)
    desk.state.journal_sequence, desk.state.journal_hash = 4, HASH.hex()
    return store.outputs(0)


def loaded(of: Policy, records: list[Output]) -> ShadowStore:
    store = ShadowStore(0, CODEC, of, ROUTE)
    for record in records:
        assert record.key is not None
        store.load(record.key, record.value)
    return store


def test_a_candidate_goes_on_where_the_journal_ends() -> None:
    store = loaded(ONE, kept())
    store.attach(desk_at(4), journal(4))

    assert list(store.shadow.stands) == [CUSTOMER]
    assert store.shadow.standing.since
    (own,) = store.outputs(0)
    assert own.value is not None
    assert CODEC.decode_state(own.value).kind is Kind.PARTITION


@pytest.mark.parametrize(("of", "sequence"), [(ONE, 5), (OTHER, 4)])
def test_what_another_knew_or_what_is_older_than_the_journal_is_forgotten(
    of: Policy, sequence: int
) -> None:
    records = kept()
    store = loaded(of, records)
    store.attach(desk_at(sequence), journal(sequence))

    assert store.shadow.stands == {}
    first = store.outputs(0)
    assert {one.key for one in first if one.value is None} >= {
        one.key for one in records if one.key != first[-1].key
    }
    assert [one for one in store.outputs(0) if one.value is None] == []


def test_a_layout_of_another_version_is_forgotten() -> None:
    *stands, own = kept()
    assert own.value is not None
    state = CODEC.decode_state(own.value)
    newer = CODEC.encode_state(state.kind, SHADOW_VERSION + 1, state.body)
    store = loaded(ONE, stands)
    assert own.key is not None
    store.load(own.key, newer)
    store.attach(desk_at(4), journal(4))

    assert store.shadow.stands == {}


def test_what_cannot_be_read_names_the_topic_and_how_to_begin_anew() -> None:
    records = kept()
    store = loaded(ONE, records)
    assert records[0].key is not None
    store.load(records[0].key, b"\x00nonsense")

    with pytest.raises(StateError, match=r"shadow-ledgers, partition 0.*without shadow_policy"):
        store.attach(desk_at(4), journal(4))


def settings(shadow_policy: object) -> Settings:
    return load({"shadow_policy": str(shadow_policy)}, environ={}, config=None)


def test_the_setting_names_a_file_with_a_policy_that_is_fit(tmp_path: Path) -> None:
    path = tmp_path / "candidate.yaml"
    path.write_text("extends: default\nname: mine\nversion: 7\n", "utf-8")
    found = candidate_of(settings(path))

    assert found is not None
    assert (found.name, found.version) == ("mine", 7)
    assert candidate_of(settings("")) is None
    path.write_text("extends: default\nname: mine\nversion: 7\nrules: {x: {measure: y}}\n", "utf-8")
    with pytest.raises(PolicyError, match=r"candidate\.yaml"):
        candidate_of(settings(path))
    with pytest.raises(UnavailableError, match="shadow_policy"):
        candidate_of(settings(tmp_path / "gone.yaml"))
