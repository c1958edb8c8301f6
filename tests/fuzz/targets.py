"""What takes input from outside, each with the only ways in which it may refuse it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import yaml

from tests.agents.bundle.test_contents import contents
from tests.book import ZONE, Book, audit
from tests.fuzz.command_lines import command_lines
from tests.fuzz.mutating import Run
from tests.streams.decide.test_engine_laws import SHORT
from tests.streams.policy.test_policy_laws import rich_lines
from tocsin.agents.bundle import archive as bundle_zip
from tocsin.agents.bundle import checks as bundle_checks
from tocsin.agents.bundle import contents as bundle
from tocsin.agents.generate.assumptions import read_assumptions
from tocsin.agents.notify.config import load_notify
from tocsin.agents.notify.outbox import Position, Resend, decode, encode
from tocsin.agents.settings.errors import InputError
from tocsin.agents.transactions.dead_letters import letter_of
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.foreign_values import MappingError
from tocsin.schemas.codec.mapping import load_mapping
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import FileRegistry, Registered, Registry
from tocsin.schemas.policies.policy_file import read_policy
from tocsin.schemas.policies.reference_rates import ReferenceRatesError, packaged_rates, read_rates
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.refusals import Code, Refusal
from tocsin.streams.ledger.state_records import STATE_VERSION, LoadedPartition, StateError, load
from tocsin.streams.policy.reading import load_policy

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "wire"
CONVENTION = Convention(zone=ZONE, horizon_days=60)
FACTS = 200
MAPPED: Final[dict[str, Any]] = {
    "customer_id": "debtor", "payment_id": "id", "occurred_at": "at", "currency": "in",
    "amount_minor": {"path": "sum", "as": "decimal", "digits": 2},
    "invoice_ids": {"path": "bills", "optional": True},
}  # fmt: skip
FOREIGN: Final[dict[str, Any]] = {
    "debtor": "C1", "id": "P1", "at": "2025-01-31T08:00:00Z", "sum": "12.50", "in": "EUR",
}  # fmt: skip
AVRO: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Paid",
    "fields": [
        *({"name": name, "type": "string"} for name in FOREIGN),
        {"name": "bills", "type": ["null", {"type": "array", "items": "string"}]},
    ],
}


def recorded(topic: catalog.Topic) -> list[bytes]:
    """Recorded values of a topic, by every version of its schema."""
    texts = [
        path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob(f"{topic.name}-?.json"))
    ]
    return [bytes.fromhex(entry["value"]) for text in texts for entry in json.loads(text)]


def source_records(run: Run) -> None:
    """All go to one desk, whose ledgers stay whole; a refused record's letter has all its bytes."""
    codec, book = Codec(FileRegistry()), Book(SHORT, CONVENTION)
    facts = rich_lines(run.seed, FACTS)
    values = [(topic.topic_id, value) for topic in catalog.SOURCES for value in recorded(topic)]
    values += [(topic_id, codec.encode(topic_id, event)) for _, topic_id, event in facts]
    # Which topic a mutant is for is its first byte, so it is at times another one's.
    seeds = [bytes([topic_id]) + value for topic_id, value in values]
    at = facts[-1][0]
    for number, mutant in enumerate(run.mutants(seeds)):
        topic_id, value = (mutant[0] if mutant else 0) % len(catalog.SOURCES), mutant[1:]
        at += 60_000
        try:
            outcome = book.take(at, topic_id, codec.decode(topic_id, value))
        except Refused as refused:
            outcome = Refusal(refused.code, refused.detail)
        if isinstance(outcome, Refusal):
            run.refuse(outcome.code)
            _letter_is_whole(codec, topic_id, value, number, outcome)
        else:
            assert outcome is Step.DONE
        book.desk.begin()
        book.log.clear()
        book.warnings.clear()
    for ledger in book.desk.ledgers.values():
        audit(ledger)


def _letter_is_whole(
    codec: Codec, topic_id: int, value: bytes, offset: int, refusal: Refusal
) -> None:
    record = SimpleNamespace(
        key=value[:9], value=value, headers=(), partition=0, offset=offset, timestamp=1
    )
    letter = letter_of(topic_id, record, refusal.code, refusal.detail, "DECODE")
    found = codec.decode_dead_letter(codec.encode_dead_letter(letter))
    assert (found.value, found.key, found.code) == (value, value[:9], refusal.code)


def _read(run: Run, read: Callable[[bytes], Any], seeds: Sequence[bytes], *own: type[Any]) -> None:
    """Each mutant is read, or refused by the reader's own exceptions."""
    for mutant in run.mutants(seeds):
        try:
            read(mutant)
        except Refused as refused:
            run.refuse(refused.code)
        except own as error:
            run.refuse(type(error).__name__)


def _read_file(
    run: Run, read: Callable[[Path], Any], seeds: Sequence[bytes], *own: type[Any]
) -> None:
    path = run.folder / "input.avsc"  # of which fastavro wants the ending

    def written(mutant: bytes) -> None:
        path.write_bytes(mutant)
        read(path)

    _read(run, written, seeds, *own)


def own_records(topic: catalog.Topic, run: Run) -> None:
    """What the product wrote itself and somebody else changed."""
    codec = Codec(FileRegistry())
    readers = {
        catalog.WARNINGS: codec.decode_warning,
        catalog.JOURNAL: codec.decode_journal,
        catalog.DEAD_LETTERS: codec.decode_dead_letter,
        catalog.LEDGERS: codec.decode_state,
    }
    _read(run, readers[topic], recorded(topic))


def outbox(run: Run) -> None:
    """Records of the notifier's state."""
    codec = Codec(FileRegistry())
    seeds = [encode(codec, piece) for piece in (Position(3, 17), Resend("delivery/desk/1"))]
    _read(run, partial(decode, codec), [*seeds, *recorded(catalog.OUTBOX)])


def json_lines(run: Run) -> None:
    """Lines as files and programs send them."""
    lines = rich_lines(run.seed, FACTS)
    seeds = [jsonlines.format(event, instant=at).encode() for at, _, event in lines]
    _read(run, lambda line: jsonlines.parse(line, 1, CONVENTION), seeds)


def _mapping(**topic: Any) -> bytes:
    events = [{"type": "PaymentReceived", "fields": MAPPED}]
    return yaml.safe_dump([{"topic": "foreign", "events": events, **topic}]).encode()


def _foreign(run: Run, form: str, registry: Registry | None = None) -> Any:
    path = run.folder / "mapping.yaml"
    (run.folder / "own.avsc").write_text(json.dumps(AVRO), encoding="utf-8")
    path.write_bytes(_mapping(format=form, schema="own.avsc", framed=registry is not None))
    return load_mapping(path, CONVENTION, registry)["foreign"]


def mapped_json(run: Run) -> None:
    """Another system's records in JSON."""
    seeds = [json.dumps(found).encode() for found in (FOREIGN, {**FOREIGN, "bills": ["I1", "I2"]})]
    _read(run, _foreign(run, "json").map, seeds)


def mapped_avro(run: Run) -> None:
    """The same in Avro of its own schema."""
    texts = b"".join(bytes([2 * len(text)]) + text.encode() for text in FOREIGN.values())
    _read(run, _foreign(run, "avro").map, [texts + b"\0", texts + b"\x02\x04\x04I1\x04I2\0"])


def mapped_framed_avro(run: Run) -> None:
    """The same under ids that a registry knows: of the mapping's own schema, and of another."""
    texts = b"".join(bytes([2 * len(text)]) + text.encode() for text in FOREIGN.values())
    packaged = FileRegistry()
    subject = packaged.by_subject("invoices-value")[0]
    ids = (7, subject.schema_id)
    seeds = [b"\0" + number.to_bytes(4, "big") + texts + b"\0" for number in ids]
    _read(run, _foreign(run, "avro", _Known(packaged)).map, seeds)


class _Known:
    """The packaged registry, which also knows the mapping's schema as id 7."""

    def __init__(self, packaged: FileRegistry) -> None:
        self._packaged = packaged

    def by_id(self, schema_id: int) -> Registered | None:
        """Return the schema of an id."""
        own = Registered(7, "foreign-value", 1, AVRO)
        return own if schema_id == 7 else self._packaged.by_id(schema_id)

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        """Return the versions of a subject."""
        return self._packaged.by_subject(subject)


def mapping_files(run: Run) -> None:
    """Mappings as people write them."""
    seeds = [
        _mapping(format="json"),
        b"- {topic: a, format: json, events: [{type: X, fields: {}}]}",
    ]
    _read_file(run, lambda path: load_mapping(path, CONVENTION), seeds, MappingError)


def foreign_schemas(run: Run) -> None:
    """Avro schemas beside a mapping."""
    path = run.folder / "mapping.yaml"
    path.write_bytes(b"[{topic: a, format: avro, schema: input.avsc, schema_ids: [1], events: []}]")
    seeds = [json.dumps(AVRO).encode(), b'{"type":"enum","name":"a.E","symbols":["A"]}']
    _read_file(run, lambda _: load_mapping(path, CONVENTION), seeds, MappingError)


def notify_files(run: Run) -> None:
    """The notifier's routes."""
    parts = (ROOT / "deploy" / "examples" / "notify.yaml").read_bytes()
    small = b"receivers: [{name: a, webhook: {url: 'http://h/'}, group: {by: owner, wait_s: 5}}]\n"
    _read_file(run, load_notify, [parts, small + b"routes: [{to: [a]}]"] * 2, InputError)


def assumption_files(run: Run) -> None:
    """A generator's assumptions."""
    seeds = [b"late_share: 0.5\nholidays: ['01-01']\n", b"group_size: 3.5\njudged_rule: a\n"]
    _read_file(run, read_assumptions, seeds, InputError)


def rate_files(run: Run) -> None:
    """Reference rates."""
    text = packaged_rates()
    body = "{what: a, what_zh: b, source: c, until: 2025-01-31, rates: {2024-01-01: '2.15'}}"
    names = [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    seed = "\n".join(f"{name}: {body}" for name in names).encode()
    _read(run, lambda value: read_rates(value.decode(errors="replace")), [seed],
          ReferenceRatesError)  # fmt: skip


def _policy() -> bytes:
    plain = json.loads(SHORT)
    kept = ("overdue-age", "complaint-rate", "documents-beyond-limit", "ledger-limit-exceeded")
    plain["rules"] = {name: rule for name, rule in plain["rules"].items() if name in kept}
    plain.pop("overrides", None)
    for rule in plain["rules"].values():
        rule.pop("inhibited_by", None)
    return json.dumps(plain).encode()


def policies(run: Run) -> None:
    """Policies as people write them: a policy, or its problems, never both."""
    for mutant in run.mutants([_policy()]):
        text = mutant.decode(errors="replace")
        policy, _, problems = read_policy(text, CONVENTION.horizon_days)
        assert (policy is None) == bool(problems)
        if problems:
            run.refuse(Code.POLICY_INVALID)


def policy_documents(run: Run) -> None:
    """Policies as the policies topic carries them."""
    for mutant in run.mutants([_policy()]):
        loaded, problems = load_policy(mutant.decode(errors="replace"), CONVENTION.horizon_days)
        assert (loaded is None) == bool(problems)
        if problems:
            run.refuse(Code.POLICY_INVALID)


def state(run: Run) -> None:
    """A partition's state of which one record is damaged."""
    book = Book(SHORT, CONVENTION)
    for fact in rich_lines(run.seed, 120):
        book.take(*fact)
    stored = [(key, body) for key, body in sorted(book.store.items()) if body is not None]
    chance = random.Random(run.seed)

    def loaded(mutant: bytes) -> None:
        place, found = chance.randrange(len(stored)), LoadedPartition()
        for number, (key, body) in enumerate(stored):
            load(found, key, STATE_VERSION, mutant if number == place else body)
        found.finish()
        for customer_id in found.ledgers:
            found.ledgers.peek(customer_id)

    _read(run, loaded, [body for _, body in stored], StateError)


def bundles(run: Run) -> None:
    """Evidence as it came back from somebody, its lists anew after a change of a record."""
    codec = Codec(FileRegistry())
    files = bundle.files_of(contents(), codec)
    whole = bundle_zip.packed(files)
    small = bundle_zip.packed({name: files[name] for name in (bundle_zip.MANIFEST, *bundle.RAW)})

    def checked(mutant: bytes) -> None:
        bundle_checks.problems(bundle_zip.unpacked(mutant), codec)

    _read(run, checked, [whole, small], bundle_zip.BundleError)


def bundle_records(run: Run) -> None:
    """Its records changed by somebody who could make a zip of them."""
    codec = Codec(FileRegistry())
    files = bundle.files_of(contents(), codec)

    def told(mutant: bytes) -> None:
        bundle.files_of(bundle.contents_of({**files, bundle.RECORDS: mutant}), codec)

    _read(run, told, [files[bundle.RECORDS]], bundle_zip.BundleError)


class Target(msgspec.Struct, frozen=True):
    """Something fuzzed; `slow` is how many records take as long as one of its mutants."""

    run: Callable[[Run], None]
    slow: int = 1


TARGETS: Final[dict[str, Target]] = {
    "source records": Target(source_records),
    **{topic.name: Target(partial(own_records, topic)) for topic in (
        catalog.WARNINGS, catalog.JOURNAL, catalog.DEAD_LETTERS, catalog.LEDGERS)},
    "outbox": Target(outbox),
    "JSON Lines": Target(json_lines),
    "mapped JSON": Target(mapped_json),
    "mapped Avro": Target(mapped_avro),
    "mapped framed Avro": Target(mapped_framed_avro),
    "state": Target(state, 10),
    "bundles": Target(bundles, 50),
    "bundle records": Target(bundle_records, 10),
    "Avro schemas": Target(foreign_schemas, 10),
    "policy documents": Target(policy_documents),
    "policies": Target(policies, 100),
    "mapping files": Target(mapping_files, 50),
    "notify files": Target(notify_files, 50),
    "assumptions": Target(assumption_files, 50),
    "reference rates": Target(rate_files, 50),
    "command lines": Target(command_lines, 50),
}  # fmt: skip
