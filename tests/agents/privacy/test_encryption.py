"""Personal data sealed by their writers: what is hidden, what stays the same, what is said."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.agents.bundle.partition import Partition
from tocsin.agents.bundle.archive import MANIFEST
from tocsin.agents.bundle.checks import problems
from tocsin.agents.bundle.contents import Contents, body_of, files_of, manifest_of
from tocsin.agents.bundle.topics import read_contents
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.intake.agent import Intake
from tocsin.agents.privacy.encryption import (
    ENCRYPTED,
    ERASED,
    NO_GUARD,
    UNREADABLE,
    PersonalDataGuard,
    open_decrypting_guard,
    open_encrypting_guard,
)
from tocsin.agents.privacy.keys import QUARANTINE, Erasure, Keyring, is_token
from tocsin.agents.privacy.master_key import MasterFile
from tocsin.agents.replay.replay import decide
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import Settings, SettingsError, load
from tocsin.agents.transactions.dead_letters import LETTER_BYTES_MAX, letter_of
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.codec.mapping import load_mapping
from tocsin.schemas.codec.records import DeadLetter, RecordHeader, RefusalEntry
from tocsin.schemas.contracts.catalog import CUSTOMERS, ENGAGEMENTS, POLICIES
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import ContactLogged, CustomerUpdated, InvoiceIssued, SilenceBegan
from tocsin.streams.facts.refusals import ID_LENGTH_MAX, TEXT_LENGTH_MAX

CONVENTION = Convention("UTC")
ERASURE = Erasure("2025-01-31T08:00:00Z", "Ann", "request 17")
NAME = ("customers-value", "name")
ANY_TEXT = st.text(min_size=1, max_size=40)
UNDER_LAW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder = tmp_path_factory.mktemp("keys")
    return Keyring.create(folder / "keys", MasterFile.create(folder / "master.key"))


@pytest.fixture(scope="module")
def guard(keyring: Keyring) -> PersonalDataGuard:
    return PersonalDataGuard(keyring, is_on=True)


@pytest.fixture(scope="module")
def codec(guard: PersonalDataGuard) -> Codec:
    return Codec(FileRegistry(), guard)


@given(customer=st.sampled_from(["C-1", "C-2", "客户"]), text=ANY_TEXT)
@UNDER_LAW
def test_what_is_sealed_is_hidden_opens_again_and_is_always_sealed_alike(
    guard: PersonalDataGuard, customer: str, text: str
) -> None:
    token = guard.tokenised(CustomerUpdated(customer, 1)).customer_id

    stored = guard.protect(*NAME, token, text)

    assert stored != text
    assert guard.reveal(*NAME, token, stored) == text
    assert guard.protect(*NAME, token, text) == stored
    assert guard.protect(*NAME, token, stored) == stored
    assert guard.reveal(*NAME, token, guard.protect(*NAME, token, text.encode())) == text.encode()


@given(text=ANY_TEXT)
@UNDER_LAW
def test_what_was_moved_to_another_customer_or_field_does_not_open(
    guard: PersonalDataGuard, text: str
) -> None:
    one, two = (guard.tokenised(CustomerUpdated(name, 1)).customer_id for name in ("C-1", "C-2"))
    stored = guard.protect(*NAME, one, text)

    assert guard.reveal(*NAME, two, stored) == UNREADABLE
    assert guard.reveal(*NAME, two, stored.replace(one, two)) == UNREADABLE
    assert guard.reveal("customers-value", "text", one, stored) == UNREADABLE
    assert guard.reveal("complaints-value", "name", one, stored) == UNREADABLE


@given(text=ANY_TEXT, data=st.data())
@UNDER_LAW
def test_what_was_changed_does_not_open(
    guard: PersonalDataGuard, text: str, data: st.DataObject
) -> None:
    token = guard.tokenised(CustomerUpdated("C-1", 1)).customer_id
    stored = guard.protect(*NAME, token, text.encode())
    body = stored.index(b":", len(b"enc:v1:")) + 1
    at = data.draw(st.integers(body, len(stored) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != stored[at]))

    changed = stored[:at] + bytes([other]) + stored[at + 1 :]

    assert guard.reveal(*NAME, token, changed) == UNREADABLE.encode()


@given(content=st.text(max_size=60) | st.from_regex(r"enc:v1:[a-z2-7_.:]{0,40}", fullmatch=True))
@UNDER_LAW
def test_text_that_was_never_sealed_provokes_nothing(
    guard: PersonalDataGuard, content: str
) -> None:
    token = guard.tokenised(CustomerUpdated("C-1", 1)).customer_id
    shown = guard.reveal(*NAME, token, content)
    assert shown in (content, ENCRYPTED, ERASED, UNREADABLE)
    assert guard.reveal(*NAME, token, guard.protect(*NAME, token, content)) == content


def test_a_record_bears_the_token_and_no_personal_text(
    guard: PersonalDataGuard, codec: Codec
) -> None:
    event = ContactLogged("CANARY-1", "K1", 1, "PHONE", "NO", text="CANARY", author="Canary")
    sealed = guard.tokenised(event)

    stored = codec.encode(ENGAGEMENTS.topic_id, sealed)
    read = codec.decode(ENGAGEMENTS.topic_id, stored)

    assert b"canary" not in stored.lower()
    assert is_token(sealed.customer_id)
    assert codec.reveal(ENGAGEMENTS.topic_id, read) == replace(
        event, customer_id=sealed.customer_id
    )
    assert guard.known_as(sealed.customer_id) == "CANARY-1"
    assert guard.naming(sealed.customer_id, None) == "CANARY-1"


@pytest.mark.parametrize("letter", ["a", "客", "\U0001f600"])
def test_texts_and_ids_of_any_allowed_length_are_still_allowed_when_sealed(
    guard: PersonalDataGuard, codec: Codec, letter: str
) -> None:
    instant = 1_700_000_000_000
    longest = SilenceBegan("C-1", "S1", instant, letter * ID_LENGTH_MAX, "why", 19_700)
    named = CustomerUpdated("C-1", instant, name=letter * TEXT_LENGTH_MAX)
    for topic, event in ((ENGAGEMENTS, longest), (CUSTOMERS, named)):
        assert check(event, instant) is None
        stored = codec.encode(topic.topic_id, guard.tokenised(event))
        assert check(codec.decode(topic.topic_id, stored), instant) is None
    longer = replace(named, name="enc:v1:" + "x" * TEXT_LENGTH_MAX * 6)
    assert check(longer, instant) is not None


@pytest.mark.parametrize("customer_id", ["", "x" * 129, "a\nb"])
def test_an_id_that_no_record_may_have_stays_so_that_it_is_refused(
    guard: PersonalDataGuard, codec: Codec, customer_id: str
) -> None:
    event = CustomerUpdated(customer_id, 1, name="CANARY")

    sealed = guard.tokenised(event)

    assert sealed.customer_id == customer_id
    assert b"CANARY" not in codec.encode(CUSTOMERS.topic_id, sealed)


def test_a_token_that_is_given_for_a_customer_is_taken_as_it_is(guard: PersonalDataGuard) -> None:
    token = guard.customer("C-1")

    assert guard.customer(token) == token
    assert guard.tokenised(CustomerUpdated(token, 1)).customer_id == token
    assert guard.customer("") == ""


def test_after_erasure_nothing_opens_and_nothing_new_is_kept(
    guard: PersonalDataGuard, keyring: Keyring
) -> None:
    token = guard.tokenised(CustomerUpdated("C-gone", 1)).customer_id
    stored = guard.protect(*NAME, token, "CANARY")
    assert guard.can_open(token)

    keyring.erase(token, ERASURE)

    assert guard.reveal(*NAME, token, stored) == ERASED
    assert guard.known_as(token) == ""
    assert not guard.can_open(token)
    later = guard.protect(*NAME, guard.customer("C-gone"), "CANARY")
    assert "CANARY" not in later
    assert guard.reveal(*NAME, token, later) == ERASED


def test_who_has_no_keys_is_told_that_it_is_encrypted(guard: PersonalDataGuard) -> None:
    token = guard.tokenised(CustomerUpdated("C-1", 1)).customer_id
    stored = guard.protect(*NAME, token, "Nordwind")

    for reader in (NO_GUARD, PersonalDataGuard(is_on=True)):
        assert reader.reveal(*NAME, token, stored) == ENCRYPTED
        assert reader.reveal(*NAME, token, "plain") == "plain"
        assert reader.known_as(token) == ""
    assert PersonalDataGuard(is_on=True).customer(token) == token
    assert PersonalDataGuard(is_on=True).customer("C-1") == "C-1"
    with pytest.raises(ConfigurationError, match="no keys here"):
        PersonalDataGuard(is_on=True).tokenised(CustomerUpdated("C-1", 1))
    assert NO_GUARD.tokenised(CustomerUpdated("C-1", 1)).customer_id == "C-1"
    assert NO_GUARD.protect(*NAME, "C-1", "Nordwind") == "Nordwind"


def test_a_refused_foreign_record_is_sealed_whole(
    guard: PersonalDataGuard, keyring: Keyring
) -> None:
    letter = DeadLetter(
        -1, 0, 7, 1, b"CANARY-1", b"\x00CANARY\xff", (RecordHeader("source", b"CANARY"),),
        "FOREIGN_FIELD_UNFIT", "name: 'CANARY' is not decimal", "INTAKE",
    )  # fmt: skip
    mine = guard.seal_letter(letter, "C-letter")
    nobodys = guard.seal_letter(letter, None)

    for sealed in (mine, nobodys):
        assert b"CANARY" not in msgspec.msgpack.encode(sealed)
        assert guard.open_letter(sealed) == letter
        assert PersonalDataGuard(is_on=True).open_letter(sealed).value == ENCRYPTED.encode()
    keyring.erase(guard.customer("C-letter"), ERASURE)
    assert guard.open_letter(mine).detail == ERASED
    assert guard.open_letter(nobodys) == letter
    keyring.erase(QUARANTINE, ERASURE)
    assert guard.open_letter(nobodys).value == ERASED.encode()
    assert guard.open_letter(guard.seal_letter(letter, None)) == letter


def test_the_largest_letter_fits_its_topic_when_sealed(
    guard: PersonalDataGuard, codec: Codec
) -> None:
    for headers, size in (((), LETTER_BYTES_MAX), ([("h", b"x")] * 60_000, 100)):
        record = HistoryRecord("t", 0, 1, 1, b"k" * 900, b"v" * size, tuple(headers))
        letter = guard.seal_letter(letter_of(-1, record, "C", "d" * 2000, "INTAKE"), None)
        assert 2 * len(letter.key or b"") + len(codec.encode_dead_letter(letter)) < LETTER_BYTES_MAX


MAPPING = """
- topic: erp
  format: json
  events:
  - type: CustomerUpdated
    fields: {customer_id: id, name: name, occurred_at: {path: at, as: epoch_ms}}
"""


class Recorded:
    """Stands for a transaction: what it is given, and what was sent in it."""

    def __init__(self, *values: bytes | None) -> None:
        self.records = [
            SimpleNamespace(
                topic="erp", partition=0, offset=n, timestamp=9, key=b"CANARY", value=v, headers=()
            )
            for n, v in enumerate(values)
        ]
        self.sent: list[tuple[Any, ...]] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.records)

    def send(self, *sent: Any) -> None:
        self.sent.append(sent)

    def refuse(self, entry: RefusalEntry) -> None:
        """Counted elsewhere."""


def test_the_intake_writes_nothing_personal_whatever_comes(
    guard: PersonalDataGuard, codec: Codec, tmp_path: Path
) -> None:
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    mappers = load_mapping(tmp_path / "mapping.yaml", CONVENTION)
    intake = Intake(mappers, codec, guard, Settings(), lambda: 1_800_000_000_000)
    good = b'{"id": "CANARY-7", "name": "CANARY", "at": 1700000000000}'
    transaction: Any = Recorded(
        good,
        good.replace(b"1700000000000", b'"CANARY"'),  # its customer is known
        b'{"id": ["CANARY"], "name": "CANARY"}',
        b"CANARY",
        None,
    )

    for record in transaction:
        intake.time_of(record)  # the merge asks first
    intake.take(transaction)

    assert len(transaction.sent) == 5
    assert b"CANARY" not in msgspec.msgpack.encode([sent[1:] for sent in transaction.sent])
    _, key, value, *_ = transaction.sent[0]
    assert key == guard.customer("CANARY-7").encode()
    assert codec.reveal(2, codec.decode(2, value)).name == "CANARY"  # type: ignore[union-attr]
    letters = [codec.decode_dead_letter(sent[2]) for sent in transaction.sent[1:]]
    assert guard.customer("CANARY-7").encode() in (letters[0].value or b"")
    assert [guard.open_letter(letter).value for letter in letters] == [
        record.value for record in transaction.records[1:]
    ]


def told(warning: RiskWarning, names: dict[str, str]) -> dict[str, Any]:
    """A warning with customers' ids in place of tokens, without the ids derived from them."""
    fields = msgspec.to_builtins(warning)
    for name in ("warning_id", "episode_id", "evidence_digest"):
        del fields[name]
    text = msgspec.json.encode(fields).decode()
    token = warning.customer_id
    return dict(msgspec.json.decode(text.replace(token, names.get(token, token))))


@pytest.mark.parametrize("seed", [1, 2])
def test_decisions_are_the_same_but_for_the_ids(
    guard: PersonalDataGuard, codec: Codec, seed: int
) -> None:
    request = Request(customers=12, days=180, seed=seed)
    facts = list(with_closings(Portfolio(request, CONVENTION).facts(), CONVENTION))
    policy = Fact(0, POLICIES.topic_id, first_event(Settings(), None))
    sealed, names = [], {}
    for instant, topic_id, event in facts:
        hidden = guard.tokenised(event)
        sealed.append(
            Fact(instant, topic_id, codec.decode(topic_id, codec.encode(topic_id, hidden)))
        )
        names[getattr(hidden, "customer_id", "")] = getattr(event, "customer_id", "")
    again = [fact for fact in sealed for _ in range(1 + (fact.topic_id == CUSTOMERS.topic_id))]

    plain: list[RiskWarning] = []
    hidden_warnings: list[RiskWarning] = []
    assert decide(chain([policy], facts), CONVENTION, plain.append).refused == []
    assert decide(chain([policy], sealed), CONVENTION, hidden_warnings.append).refused == []

    assert len(plain) > 100
    by_customer = sorted([told(w, names) for w in hidden_warnings], key=in_order)
    assert by_customer == sorted([told(w, {}) for w in plain], key=in_order)
    doubled = decide(chain([policy], again), CONVENTION)
    assert doubled.warnings == len(plain)


def in_order(told: dict[str, Any]) -> tuple[str, int, str, str, str]:
    return (
        told["customer_id"], told["occurred_at"], told["rule"], told["subject"], told["transition"],
    )  # fmt: skip


def private_bundle(guard: PersonalDataGuard, codec: Codec, customer_id: str) -> Contents:
    """All that a private deployment has of a customer whose name is a canary."""
    event = CustomerUpdated(customer_id, 1, "CANARY", "A", "DE", 650_000_00, "EUR")
    event = guard.tokenised(event)
    policy = Fact(0, POLICIES.topic_id, first_event(Settings(), None))
    told = Partition([policy, Fact(1, CUSTOMERS.topic_id, event)], codec=codec)
    work = read_contents(told, codec, event.customer_id, "", told.journal[-1])
    return asyncio.run(work)


def test_a_bundle_tells_what_its_maker_may_read_and_agrees_with_itself_for_who_may_not(
    guard: PersonalDataGuard, codec: Codec, keyring: Keyring
) -> None:
    contents = private_bundle(guard, codec, "C-bundle")
    closed = Codec(FileRegistry(), PersonalDataGuard(is_on=True))

    opened, hidden = files_of(contents, codec), files_of(contents, closed)

    assert any(b"CANARY" in content for content in opened.values())
    assert not any(b"CANARY" in content for content in hidden.values())
    for files in (opened, hidden):
        assert problems(files, codec) == problems(files, closed) == []
    keyring.erase(contents.customer_id, ERASURE)
    assert not any(b"CANARY" in content for content in files_of(contents, codec).values())
    for files in (opened, hidden):
        assert problems(files, codec) == problems(files, closed) == []


@pytest.mark.parametrize(
    ("old", "new", "is_found_by"),
    [
        (b"650,000.00 EUR", b"1.00 EUR", ("keys", "none")),
        (b"CANARY, A", b"CANARY, B", ("keys", "none")),
        (b"CANARY", b"ANOTHER", ("keys",)),  # what it said, only the keys can tell
        (b"CANARY, A, DE", b"[encrypted]", ("keys", "none")),
    ],
)
def test_a_table_of_encrypted_records_is_compared_as_far_as_can_be_read(
    guard: PersonalDataGuard, codec: Codec, old: bytes, new: bytes, is_found_by: tuple[str, ...]
) -> None:
    contents = private_bundle(guard, codec, "C-forged")
    readers = {"keys": codec, "none": Codec(FileRegistry(), PersonalDataGuard(is_on=True))}
    body = body_of(contents, codec)
    assert old in body["customers.csv"]
    body["customers.csv"] = body["customers.csv"].replace(old, new)
    files = {**body, MANIFEST: manifest_of(contents, codec, body, "tocsin 0.0.9")}

    found = {name for name, reader in readers.items() if problems(files, reader)}

    assert found == set(is_found_by)


def test_a_private_deployment_without_keys_writes_nothing(tmp_path: Path) -> None:
    private = Settings(privacy=True, data_dir=str(tmp_path))

    with pytest.raises(ConfigurationError, match="there is no master key"):
        open_encrypting_guard(private)
    with pytest.raises(ConfigurationError, match="there are no keys in"):
        open_encrypting_guard(dataclasses.replace(private, master_key_file=str(tmp_path / "none")))
    assert not open_decrypting_guard(private).is_open
    assert open_encrypting_guard(Settings()) is NO_GUARD


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kms_url": "vault:8200", "kms_token": "t"}, "must begin with http"),
        ({"kms_url": "http://vault:8200", "kms_token": "t"}, "in the clear"),
        ({"kms_url": "https://me:pw@vault", "kms_token": "t"}, "holds a login"),
        ({"kms_url": "https://vault"}, "without kms_token"),
        ({"kms_url": "https://vault", "kms_token": "t", "master_key_file": "k"}, "give one"),
    ],
)
def test_settings_of_keys_that_contradict_are_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(environ={f"TOCSIN_{k.upper()}": v for k, v in given.items()}, discover=False)


def test_the_token_of_the_key_service_is_never_shown() -> None:
    private = Settings(kms_url="https://vault", kms_token=Secret("CANARY"))
    assert "CANARY" not in f"{private!r} {private.describe()}"


def test_only_marked_fields_are_sealed(guard: PersonalDataGuard, codec: Codec) -> None:
    event = guard.tokenised(InvoiceIssued("C-1", "R-1", 1, 2, 3, "EUR"))
    assert codec.decode(3, codec.encode(3, event)) == event
