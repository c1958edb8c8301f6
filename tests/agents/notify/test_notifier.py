"""The notifier's configuration, its outbox, and what it decides without connections."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.notify.notices import notice, warning
from tocsin.agents.commands.cli import run_command
from tocsin.agents.notify.config import (
    Alertmanager,
    Config,
    Endpoint,
    Match,
    NotifyConfigError,
    Receiver,
    Route,
    load_notify,
    read_notify,
)
from tocsin.agents.notify.customers import Customer, Customers
from tocsin.agents.notify.decisions import NotificationDecider
from tocsin.agents.notify.deliver import DELIVERED, Outcome, Result
from tocsin.agents.notify.outbox import (
    DEAD,
    PENDING,
    Alert,
    BudgetUse,
    Delivery,
    Notice,
    Outbox,
    Piece,
    Position,
    Resend,
    decode,
    encode,
    key_of,
)
from tocsin.agents.notify.sending import MessageTexts
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.decide.risk_warning import RiskWarning

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "examples" / "notify.yaml"
CODEC = Codec(FileRegistry())
UTC = ZoneInfo("UTC")
HOOK = Receiver(name="desk", webhook=Endpoint(url="http://127.0.0.1/x"))
ALERTS = Receiver(name="alerts", alertmanager=Alertmanager(url="http://127.0.0.1"))
REFUSED = Result(Outcome.REFUSED, "never")


TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Record:
    def __init__(
        self, offset: int, value: RiskWarning | bytes, partition: int = 0, trace: bytes = b""
    ) -> None:
        self.partition, self.offset = partition, offset
        self.headers = (("traceparent", trace),) if trace else ()
        self.value = value if isinstance(value, bytes) else CODEC.encode_warning(value)


class Known:
    """Customers as a test says."""

    def __init__(self, **known: Customer) -> None:
        self._known = known

    def get(self, customer_id: str) -> Customer:
        return self._known.get(customer_id, Customer())


class Book:
    """A desk, its outbox, and the topic that the outbox is written to."""

    def __init__(self, config: Config | None = None, **known: Customer) -> None:
        self.topic: dict[bytes, bytes | None] = {}
        self.config = config or Config(
            receivers=[HOOK, ALERTS],
            routes=[Route(to=["desk", "alerts"], match=Match(severity="HIGH"))],
        )
        self.known = cast(Customers, Known(**known))
        self.restart()

    def restart(self) -> None:
        """Begin anew from what was written."""
        self.outbox = Outbox(CODEC)
        for key, value in self.topic.items():
            self.outbox.load(SimpleNamespace(key=key, value=value))
        self.outbox.settle()
        self.desk = NotificationDecider(self.config, self.outbox, self.known, CODEC, UTC)

    def take(self, *records: Record, now: int = 0) -> None:
        self.desk.take(records, now)
        self.desk.release(now)
        self.write()

    def write(self) -> None:
        self.topic |= dict(self.outbox.drain())

    def next(self, receiver: Receiver = HOOK, now: int = 1 << 50) -> Delivery:
        found = self.desk.next_delivery(receiver, now)
        assert found is not None
        return found

    def deliver(self, receiver: Receiver, result: Result = DELIVERED, now: int = 0) -> Delivery:
        found = self.desk.record_attempt(self.next(receiver), result, receiver, now)
        self.write()
        return found


def test_the_example_is_right() -> None:
    config = load_notify(EXAMPLE)

    assert [receiver.kind for receiver in config.receivers] == [
        "webhook", "alertmanager", "mail", "dingtalk",
    ]  # fmt: skip
    assert config.routes[2].match.segment == ["KEY"]
    assert run_command(["notify", "--check", str(EXAMPLE)]) == Exit.OK


BROKEN = """\
receivers:
  - name: desk
    webhok: {url: "https://h/x"}
  - name: a
    webhook: {url: "https://user:pass@h/x", secret_file: a, secret_env: b}
    quiet: {from: 20:00}
    budget: {new_per_day: 0}
    line: "{ruel}"
  - name: a
    alertmanager: {url: "http://am"}
    digest_at: "08:00"
  - name: m
    mail: {host: h, sender: nobody, to: [], user: u}
  - name: q
    feishu: {}
    quiet: {days: [mon, tue, wed, thu, fri, sat, sun]}
routes:
  - to: [dask]
    match: {severity: BAD, mutd: true}
zone: Mars
"""


def test_all_problems_of_a_file_are_told_at_once_with_their_lines() -> None:
    config, problems = read_notify(BROKEN)

    told = {(problem.line, problem.path): problem.message for problem in problems}
    assert config is None
    assert "did you mean webhook?" in told[3, "receivers.0.webhok"]
    assert "quote it" in told[6, "receivers.1.quiet.from"]
    assert "did you mean muted?" in told[19, "routes.0.match.mutd"]
    assert told.keys() >= {(7, "receivers.1.budget.new_per_day"), (19, "routes.0.match.severity")}


SOUND = """\
receivers:
  - name: desk
    webhook: {url: "https://h/x"}
routes:
  - to: [desk]
"""


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ('webhook: {url: "https://h/x"}', "language: zh", 2, "exactly one of webhook"),
        ("https://h/x", "https://user:pass@h/x", 3, "without a login"),
        ("https://h/x", "ftp://h/x", 3, "must be http"),
        ('url: "https://h/x"', "url_env: A, url_file: B", 3, "give one of url"),
        ('/x"}', '/x", secret_env: A, secret_file: B}', 3, "not both"),
        ('/x"}', '/x"}\n    line: "{ruel}"', 4, "has no {ruel} (did you mean rule?)"),
        ('/x"}', '/x"}\n    quiet: {from: "20:00"}', 4, "belong together"),
        ('/x"}', '/x"}\n    quiet: {but: HIGH}', 4, "is never"),
        (
            '/x"}',
            '/x"}\n    quiet: {days: [mon, tue, wed, thu, fri, sat, sun]}',
            4,
            "nothing would ever go out",
        ),
        ('/x"}', '/x"}\n    digest_at: "08:00"\n    group: {}', 5, "waits for its hour"),
        (
            'webhook: {url: "https://h/x"}',
            'alertmanager: {url: "https://h"}\n    title: x',
            4,
            "own",
        ),
        ('webhook: {url: "https://h/x"}', "mail: {host: h, sender: x, to: []}", 3, "names nobody"),
        (
            'webhook: {url: "https://h/x"}',
            "mail: {host: h, sender: a@b, to: [c@d], user: u, secret_env: S, tls: none}",
            3,
            "does not go out unencrypted",
        ),
        ("to: [desk]", "to: [dusk]", 5, "no receiver 'dusk' (did you mean desk?)"),
        ("to: [desk]", "to: []", 5, "names no receiver"),
        ("routes:", "zone: Mars\nroutes:", 4, "'Mars' is unknown"),
        ("routes:", "currency: EURO\nroutes:", 4, "no ISO 4217 code"),
        ("routes:", "parity: {XXL: 1}\nroutes:", 4, "no ISO 4217 code"),
        ("routes:", "  - {name: idle, feishu: {url: 'http://h'}}\nroutes:", 4, "no route leads"),
        ("routes:", "  - {name: desk, feishu: {url: 'http://h'}}\nroutes:", 4, "given twice"),
        ("routes:", "\troutes:", 4, "no YAML"),
    ],
)
def test_what_contradicts_itself_is_refused_where_it_stands(
    before: str, after: str, line: int, message: str
) -> None:
    assert read_notify(SOUND)[1] == []
    assert SOUND.count(before) == 1

    config, problems = read_notify(SOUND.replace(before, after))

    assert config is None
    assert any(found.line == line and message in found.message for found in problems), problems
    assert "pass@" not in str(problems)


def test_a_file_that_is_wrong_ends_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    path = tmp_path / "n.yaml"
    path.write_text(BROKEN)

    with pytest.raises(NotifyConfigError, match=r"line 3: receivers.0.webhok"):
        load_notify(path)
    assert run_command(["notify", "--check", str(path)]) == Exit.DIFFERENCE
    assert f"{path}:3: receivers.0.webhok" in capsys.readouterr().out
    assert run_command(["notify", str(path)]) == Exit.USAGE
    assert run_command(["notify"]) == Exit.USAGE
    assert run_command(["notify", "--check", str(tmp_path / "none.yaml")]) == Exit.UNAVAILABLE


PIECES: list[Piece] = [
    Position(3, 17),
    notice(1, owner="anna", labels={"a": "b"}, ended=({"c": "d"},)),
    Delivery(id="x", receiver="desk", notices=(notice(2),), created_at=5, attempts=1, error="e"),
    BudgetUse("desk", "anna/b", 20_000, 3),
    Alert("alerts", "e1", notice(4)),
    Resend("delivery/desk/x"),
]


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: type(piece).__name__)
def test_every_piece_is_read_as_it_was_written(piece: Piece) -> None:
    assert decode(CODEC, encode(CODEC, piece)) == piece


def test_a_warning_becomes_a_delivery_for_each_receiver_and_history_none() -> None:
    book = Book()
    book.take(Record(0, warning(1)), Record(1, warning(2, phase="HISTORY")), Record(2, b"broken"))

    assert book.next().id == "w1"
    assert [found.warning.warning_id for found in book.next(ALERTS).notices] == ["w1"]
    assert book.outbox.all(Position) == [Position(0, 3)]
    assert book.desk.unreadable == 1


@pytest.mark.parametrize(
    ("header", "kept"),
    [(TRACE, TRACE.decode()), (b"", ""), (b"\r\nX-Evil: 1", ""), (TRACE + b"\r\n", "")],
)
def test_the_trace_of_a_warning_goes_with_its_notice(header: bytes, kept: str) -> None:
    book = Book()
    book.take(Record(0, warning(1), trace=header))

    assert [found.trace for found in book.next().notices] == [kept]


def test_a_record_that_is_read_twice_is_taken_once() -> None:
    book = Book()
    book.take(Record(5, warning(1)))
    book.deliver(HOOK)
    book.take(Record(5, warning(1)), Record(6, warning(2)))

    assert book.next().id == "w2"


def test_the_customers_data_go_with_the_notice_but_the_name_does_not() -> None:
    book = Book(C1=Customer("Nordwind", "KEY", "DE", "anna"))
    book.take(Record(0, warning(1)))

    (found,) = book.next().notices
    assert (found.segment, found.country, found.owner) == ("KEY", "DE", "anna")
    assert not any(b"Nordwind" in (value or b"") for value in book.topic.values())
    data = MessageTexts(book.config, book.known).message(book.next(), HOOK).data
    (told,) = cast(list[dict[str, Any]], data["warnings"])
    assert (told["customer_name"], told["as_of"]) == ("Nordwind", "2025-02-01")
    assert told["evidence"] == [{"topic": "invoices", "partition": 0, "offset": 7, "id": "R-1001"}]


def test_an_alert_follows_its_episode_and_ends_with_it() -> None:
    book = Book()
    book.take(Record(0, warning(1, episode_id="e")))
    assert book.desk.alerts(ALERTS) == [], "it is told once before it is told again"
    first = book.deliver(ALERTS).notices[0]
    assert book.desk.alerts(ALERTS) == [first]

    book.take(Record(1, warning(2, episode_id="e", transition="ESCALATED", severity="CRITICAL")))
    second = book.deliver(ALERTS).notices[0]
    assert first.labels is not None
    assert second.labels == {**first.labels, "severity": "critical"}
    assert second.ended == (first.labels,)
    assert book.desk.alerts(ALERTS) == [second]

    # Muted, hence routed to nobody: the alert ends all the same.
    cleared = warning(3, episode_id="e", transition="CLEARED", muted_by="SILENCED:s")
    book.take(Record(2, cleared))
    last = book.deliver(ALERTS).notices[0]
    assert (last.labels, last.ended) == (None, (second.labels,))
    assert book.desk.alerts(ALERTS) == []
    book.take(Record(3, warning(4, episode_id="other", transition="CLEARED")))
    assert book.desk.next_delivery(ALERTS, 1) is None


def test_an_alert_ends_when_its_episode_is_too_mild_for_the_route() -> None:
    book = Book()
    book.take(Record(0, warning(1, episode_id="e")))
    book.deliver(ALERTS)
    book.take(Record(1, warning(2, episode_id="e", transition="EASED", severity="LOW")))

    assert book.deliver(ALERTS).notices[0].labels is None
    assert book.desk.alerts(ALERTS) == []


def test_a_failure_holds_the_later_ones_of_its_receiver_and_nobody_else() -> None:
    book = Book()
    book.take(Record(0, warning(1)), Record(1, warning(2)))
    after = book.deliver(HOOK, Result(Outcome.FAILED, "away"), now=1000)

    assert book.desk.next_delivery(HOOK, after.next_at - 1) is None
    assert book.next(HOOK, after.next_at).id == "w1"
    assert book.next(ALERTS, 1000)
    assert book.desk.undelivered(HOOK, 3000) == (2, 3.0)


def test_a_dead_delivery_lets_the_next_ones_pass_and_comes_back_when_wished() -> None:
    book = Book()
    book.take(Record(0, warning(1)), Record(1, warning(2)))
    for _ in range(3):
        dead = book.deliver(HOOK, REFUSED)
    assert dead.state == DEAD
    assert book.next().id == "w2"

    book.restart()
    assert book.next().id == "w2"
    assert book.desk.undelivered(HOOK, 0)[0] == 1
    book.desk.resend([Resend(key_of(dead)), Resend("delivery/desk/unknown")])
    book.write()
    book.deliver(HOOK)
    again = book.next()
    assert (again.id, again.state, again.refusals) == ("w1", PENDING, 0)


def test_what_is_owed_to_a_receiver_that_is_configured_no_more_is_told() -> None:
    book = Book()
    book.take(Record(0, warning(1)), Record(1, warning(2)))
    book.config = Config(receivers=[ALERTS], routes=[Route(to=["alerts"])])
    book.restart()

    assert book.desk.removed_receivers() == {"desk": 2}


def told(delivery: Delivery | None) -> object:
    """All of a delivery but its sequence, which begins anew where nothing is left."""
    if delivery is None:
        return None
    notices = [(found.warning, found.labels, found.ended) for found in delivery.notices]
    return delivery.id, notices, delivery.state, delivery.attempts, delivery.refusals


@given(
    st.lists(st.sampled_from(["take", "deliver", "fail", "refuse", "restart"]), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_a_restart_at_any_point_changes_nothing(steps: list[str]) -> None:
    book, straight = Book(), Book()
    offset = 0
    for step in steps:
        if step == "restart":
            book.restart()
        elif step == "take":
            record = Record(offset, warning(offset, episode_id=f"e{offset % 3}"))
            offset += 1
            book.take(record, now=offset)
            straight.take(record, now=offset)
        else:
            result = {"deliver": DELIVERED, "fail": Result(Outcome.FAILED, "x")}.get(step, REFUSED)
            for receiver in (HOOK, ALERTS):
                found = book.desk.next_delivery(receiver, 1 << 50)
                other = straight.desk.next_delivery(receiver, 1 << 50)
                assert told(found) == told(other)
                if found is not None:
                    book.deliver(receiver, result, offset)
                    straight.deliver(receiver, result, offset)
    book.restart()
    for kind in (Notice, Delivery, Alert, Position):
        assert sorted(map(key_of, book.outbox.all(kind))) == sorted(
            map(key_of, straight.outbox.all(kind))
        )
    for receiver in (HOOK, ALERTS):
        assert [alert.labels for alert in book.desk.alerts(receiver)] == [
            alert.labels for alert in straight.desk.alerts(receiver)
        ]
        assert [told(found) for found in book.outbox.of(Delivery, receiver.name, PENDING)] == [
            told(found) for found in straight.outbox.of(Delivery, receiver.name, PENDING)
        ]
