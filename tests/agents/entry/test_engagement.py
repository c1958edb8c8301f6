"""Engagements entered by hand: what is written on the command line, and the event that it makes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tocsin.agents.commands.log import log
from tocsin.agents.commands.values import Day, Fingerprint, Instalment, Money, Share, Word
from tocsin.agents.entry.engagement import instants, make_event
from tocsin.agents.entry.engagement_kinds import KINDS, Amount, Part
from tocsin.agents.queries.contacts import count
from tocsin.agents.settings.errors import InputError
from tocsin.schemas.contracts.registry import packaged_schema
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check

AT = 1_735_808_400_000  # 2025-01-02T09:00Z
DAY = AT // 86_400_000
COMMON = {"at", "wait_s", "language", "is_new", "customer_id", "warning_id"}
SETTINGS = {"as_json", "config", "pairs"}
Make = Callable[..., Any]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Make:
    """The event of a subcommand's command line."""
    monkeypatch.setenv("TOCSIN_AUTHOR", "Chen Li")

    def make(name: str, *arguments: str, recorded_at: int | None = None) -> Any:
        command = log.commands[name]
        values = command.make_context(name, ["C1", *arguments]).params
        fields = {p.name for p in command.params if p.name not in COMMON | SETTINGS}
        own = {k: v for k, v in values.items() if k in fields and hasattr_of(name, k)}
        return make_event(KINDS[name], name, "C1", own, AT, recorded_at)

    def hasattr_of(name: str, field: str) -> bool:
        return field in KINDS[name].make.__struct_fields__

    return make


LINES = {
    "contact": ("--channel", "phone", "--outcome", "refused-to-pay", "--reason", "dispute"),
    "dispute": ("--invoice", "I1", "--amount", "10 EUR", "--reason", "price", "--our-fault"),
    "dispute-resolved": ("--id", "D1", "--outcome", "partly-accepted"),
    "promise": ("--amount", "1,200.50 CNY", "--due", "2025-01-31", "--invoice", "I1"),
    "promise-withdrawn": ("--id", "P1", "--reason", "a plan instead"),
    "plan": ("--instalment", "2025-02-28=5 EUR", "--instalment", "2025-01-31=7.5 EUR"),
    "plan-ended": ("--id", "L1", "--outcome", "replaced", "--reason", "new plan"),
    "hold": ("--reason", "owes", "--until", "2025-01-31"),
    "release": ("--reason", "paid"),
    "limit": ("--amount", "0 EUR", "--reason", "owes"),
    "prepayment": ("--share", "12.5%", "--reason", "new"),
    "review": ("--outcome", "approved", "--amount", "9000 JPY", "--reason", "good"),
    "screening": ("--reason", "new customer"),
    "retire": ("--step", "proposed", "--reason", "three complaints"),
    "breach": ("--kind", "payment", "--serious"),
    "satisfaction": ("--rating", "7"),
    "alert": ("--kind", "court", "--text", "sued"),
    "alert-lifted": ("--id", "A1"),
    "order-change": ("--kind", "delivery", "--order", "O1"),
    "service": ("--minutes", "30", "--cost", "12.00 EUR"),
    "refund": ("--amount", "10 EUR", "--payment", "P1", "--reason", "paid twice"),
    "reversal": ("--id", "P1", "--kind", "bounced", "--bank-code", "AM04"),
    "write-off": ("--invoice", "I1", "--amount", "10 EUR", "--note", "insolvent"),
    "withheld-tax": ("--invoice", "I1", "--amount", "10 EUR", "--note", "certificate 7"),
    "bank-fee": ("--invoice", "I1", "--amount", "10 EUR", "--note", "of the transfer"),
    "credit-note-cancelled": ("--id", "write-off-1", "--reason", "it was paid after all"),
    "silence": ("--until", "2025-02-01", "--reason", "in talks"),
    "silence-ended": ("--id", "S1", "--reason", "no talks"),
}


def test_everything_that_people_say_of_a_customer_can_be_logged() -> None:
    engagements = {branch["name"] for branch in packaged_schema("engagements")}  # type: ignore[union-attr, index]  # a union
    told_by_systems = {"OrderUpdated"}

    assert {kind.make.__name__ for kind in KINDS.values()} >= engagements - told_by_systems
    assert set(LINES) == {name for name, kind in KINDS.items() if not kind.names_warning}


@pytest.mark.parametrize("name", LINES)
def test_each_makes_an_event_that_the_product_accepts(made: Make, name: str) -> None:
    event = made(name, *LINES[name])

    assert type(event) is KINDS[name].make
    assert (event.customer_id, event.occurred_at) == ("C1", AT)
    assert check(event, AT) is None
    if KINDS[name].has_author:
        assert event.author == "Chen Li"


def test_what_is_written_is_what_the_event_says(made: Make) -> None:
    promise, plan = made("promise", *LINES["promise"]), made("plan", *LINES["plan"])
    hold, limit = made("hold", *LINES["hold"]), made("limit", *LINES["limit"])

    assert (promise.amount_minor, promise.currency) == (120_050, "CNY")
    assert (promise.due_date, promise.invoice_ids) == (DAY + 29, ("I1",))
    assert plan.instalments == (
        events.Instalment(DAY + 29, 750),
        events.Instalment(DAY + 57, 500),
    )
    assert (hold.kind, hold.until, hold.limit_minor) == ("HOLD", DAY + 29, None)
    assert (limit.kind, limit.limit_minor, limit.currency) == ("LIMIT", 0, "EUR")
    assert made("prepayment", *LINES["prepayment"]).prepayment_basis_points == 1_250
    assert made("limit", "--reason", "none needed").limit_minor is None
    assert made("dispute", *LINES["dispute"]).is_own_fault
    assert made("contact", *LINES["contact"]).is_confirmed is None
    assert made("contact", *LINES["contact"], "--unconfirmed").is_confirmed is False


def test_an_id_is_derived_from_customer_kind_and_time_unless_it_is_given(made: Make) -> None:
    first, again = made("hold", *LINES["hold"]), made("hold", *LINES["hold"])
    other = made("limit", *LINES["limit"])

    assert first.decision_id == again.decision_id
    assert first.decision_id.startswith("hold-")
    assert other.decision_id != first.decision_id
    assert made("hold", *LINES["hold"], "--id", "H7").decision_id == "H7"


def test_what_is_entered_late_bears_both_instants(made: Make) -> None:
    event = made("satisfaction", *LINES["satisfaction"], recorded_at=AT + 5)

    assert (event.occurred_at, event.recorded_at) == (AT, AT + 5)


def test_what_has_not_come_is_not_entered_unless_days_are_simulated() -> None:
    assert instants(None, AT, is_simulated=False) == (AT, None)
    assert instants(AT, AT, is_simulated=False) == (AT, None)
    assert instants(AT - 1, AT, is_simulated=False) == (AT - 1, AT)
    assert instants(AT + 1, AT, is_simulated=True) == (AT + 1, None)
    with pytest.raises(InputError, match="has not come"):
        instants(AT + 1, AT, is_simulated=False)


def test_what_the_product_would_refuse_is_told_before_it_is_sent(made: Make) -> None:
    with pytest.raises(InputError, match="AMOUNT_NOT_POSITIVE"):
        made("promise", "--amount", "0 EUR", "--due", "2025-01-31")
    with pytest.raises(click.UsageError, match="names nothing"):
        made("hold", "--reason", " ")
    with pytest.raises(InputError, match="one currency"):
        made("plan", "--instalment", "2025-01-31=5 EUR", "--instalment", "2025-02-28=5 USD")


def test_a_further_step_of_a_retirement_names_it(made: Make) -> None:
    with pytest.raises(InputError, match="--id is missing"):
        made("retire", "--step", "settled", "--reason", "paid")

    assert made("retire", "--step", "settled", "--reason", "paid", "--id", "R").step == "SETTLED"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Money(), "1,200.50 cny", Amount(120_050, "CNY")),
        (Money(), "7JPY", Amount(7, "JPY")),
        (Day(), "1970-01-02", 1),
        (Share(), "30", 3_000),
        (Share(), "0.5 %", 50),
        (Word({"REFUSED_TO_PAY"}), "Refused_To-Pay", "REFUSED_TO_PAY"),
        (Instalment(), "1970-01-02=3 EUR", Part(1, Amount(300, "EUR"))),
    ],
)
def test_values_are_read_as_people_write_them(
    kind: click.ParamType, text: str, expected: object
) -> None:
    assert kind.convert(text, None, None) == expected
    if not isinstance(kind, Word):
        assert kind.convert(expected, None, None) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Money(), "12", "no amount"),
        (Money(), "1.234 EUR", "no amount"),
        (Money(), "-5 EUR", "no amount"),
        (Money(), "5 XYZ", "no currency"),
        (Day(), "31.1.2025", "no date"),
        (Share(), "12.345", "no percentage"),
        (Word({"PHONE"}), "fax", "phone"),
        (Instalment(), "5 EUR", "write it like"),
    ],
)
def test_what_cannot_be_read_is_answered_with_the_form_that_it_should_have(
    kind: click.ParamType, text: str, message: str
) -> None:
    with pytest.raises(click.BadParameter, match=message):
        kind.convert(text, None, None)


def test_of_an_attachment_only_its_digest_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "minutes.pdf"
    file.write_bytes(b"agreed")

    assert Fingerprint().convert(str(file), None, None) == hashlib.sha256(b"agreed").hexdigest()


def test_unanswered_contacts_are_counted_in_all_and_at_last() -> None:
    def attempts(*outcomes: str) -> tuple[int, int, int]:
        contacts = [
            events.ContactLogged("C1", f"T{n}", AT + n, "PHONE", outcome)
            for n, outcome in enumerate(outcomes)
        ]
        found = count(contacts)
        return found.contacts, found.unanswered, found.unanswered_at_last

    assert attempts() == (0, 0, 0)
    assert attempts("UNANSWERED", "ANSWERED", "UNANSWERED", "UNANSWERED") == (4, 3, 2)
    assert attempts("UNANSWERED", "UNANSWERED") == (2, 2, 2)
    assert attempts("UNANSWERED", "ANSWERED") == (2, 1, 0)
