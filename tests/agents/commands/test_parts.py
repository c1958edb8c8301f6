"""Parts of the commands that need no service: words, tables, aging, clauses, mended records."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace

from tests.book import parse_line
from tocsin.agents.commands.dead_letters import outgoing
from tocsin.agents.commands.sql_statements import own_format, refusal
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.policies import clause
from tocsin.agents.entry.dead_letters import CODE_HEADER, as_it_was, mended
from tocsin.agents.queries.customer import LAST_BUCKET, aging
from tocsin.agents.queries.dead_letters import parse_place
from tocsin.agents.queries.lookup import ORIGIN_HEADER, place_of
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.formats import (
    clean,
    day,
    duration,
    instant,
    measure,
    money,
    parse_instant,
)
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import BROKER_TIMED, CUT
from tocsin.schemas.codec.channels import STRUCTS
from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.schemas.contracts.catalog import PAYMENTS
from tocsin.schemas.policies.policy_file import default_policy_text
from tocsin.streams.facts import events


def test_money_reads_with_its_currency_and_its_decimals() -> None:
    assert money(123456, "EUR") == "1,234.56 EUR"
    assert money(-123456, "JPY") == "-123,456 JPY"
    assert money(7, None) == "7 minor units"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1, "DAYS", "1 day"),
        (2, "DAYS", "2 days"),
        (8350, "BASIS_POINTS", "83.5 %"),
        (3, "COUNT", "3"),
    ],
)
def test_a_measure_reads_with_its_unit(value: int, unit: str, text: str) -> None:
    assert measure(value, unit) == text


def test_dates_instants_and_durations_read_and_are_read() -> None:
    assert day(0) == "1970-01-01"
    assert day(None) == "-"
    assert instant(parse_instant("2025-01-31T08:00:00+01:00")) == "2025-01-31 07:00:00Z"
    assert parse_instant("1970-01-02") == 86_400_000
    assert duration(3725) == "1 h 2 min"
    assert duration(0) == "0 s"
    with pytest.raises(InputError):
        parse_instant("soon")


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in clean("\x1b[31mred\x07")


def test_piped_tables_are_aligned_and_whole() -> None:
    out = io.StringIO()

    Terminal(out=out).table(
        [Column("id"), Column("n", right=True)], [("a", "1"), ("bcd" * 60, "22")]
    )

    head, first, second = out.getvalue().splitlines()
    assert second == f"{'bcd' * 60}  22"
    assert head.endswith("   n")
    assert first.startswith("a ")


def test_with_json_only_the_result_is_printed() -> None:
    out = io.StringIO()
    terminal = Terminal(as_json=True, out=out)

    terminal.say("for people")
    terminal.table([Column("id")], [("a",)])
    terminal.result({"for": "programs"})

    assert out.getvalue() == '{"for":"programs"}\n'


def test_due_today_is_not_past_due_and_bounds_belong_to_the_younger_bucket() -> None:
    as_of = 20_000
    late = (0, 1, 30, 31, 60, 61, 90, 91)
    due = [("EUR", as_of - days, 10**position, 1) for position, days in enumerate(late)]

    buckets = {name: (amount, items) for name, amount, items in aging(due, as_of)["EUR"]}

    assert buckets == {
        "not due": (1, 1),
        "1-30 days": (110, 2),
        "31-60 days": (11_000, 2),
        "61-90 days": (1_100_000, 2),
        LAST_BUCKET: (10_000_000, 1),
    }


def test_the_clause_of_a_rule_is_found_with_its_lines() -> None:
    text = default_policy_text()

    lines = clause(text, "overdue-age")

    assert lines[0][1].strip() == "overdue-age:"
    assert text.splitlines()[lines[0][0] - 1] == lines[0][1]
    assert any("raise_at" in line for _, line in lines)
    assert not any("credit-utilisation" in line for _, line in lines)
    assert sum("- match:" in line for _, line in lines) == 2  # and the overrides that name it
    assert all(text.splitlines()[number - 1] == line for number, line in lines)
    assert clause("rules: {a: {x: 1}}\noverrides: [{rules: {a: 2}}]\n", "a") == [
        (1, "rules: {a: {x: 1}}"),
        (2, "overrides: [{rules: {a: 2}}]"),
    ]
    assert clause(text, "no-such-rule") == []
    assert clause("a: [", "x") == []


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "-- nothing",
        "INSERT INTO warnings VALUES (1)",
        "/* SELECT */ ALTER TABLE x DELETE WHERE 1",
        "WITH 1 AS x INSERT INTO t SELECT x",
        "SELECT 1 INTO OUTFILE 'x'",
        "SET readonly = 0",
    ],
)
def test_statements_that_change_something_are_not_asked(statement: str) -> None:
    assert refusal(statement)


@pytest.mark.parametrize(
    "statement", ["SELECT 1;", " with 1 as x select x", "(select 1)", "-- why\nSHOW TABLES"]
)
def test_statements_that_read_are_asked(statement: str) -> None:
    assert refusal(statement) is None


@pytest.mark.parametrize(
    ("statement", "form"),
    [
        ("SELECT 1 FORMAT CSV", "CSV"),
        ("select 1 format JSONEachRow ; ", "JSONEachRow"),
        ("SELECT 1 FORMAT Parquet SETTINGS max_threads = 1", "Parquet"),
        ("SELECT 1 FORMAT CSV -- for the sheet", "CSV"),
        ("SELECT 1", ""),
        ("SELECT 'FORMAT CSV'", ""),
        ("SELECT 1 -- FORMAT CSV", ""),
        ("SELECT format FROM system.formats", ""),
        ("SELECT 1 AS format ORDER BY format DESC", ""),
        ("SELECT `a FORMAT b`", ""),
    ],
)
def test_the_format_that_a_statement_names_is_seen(statement: str, form: str) -> None:
    assert own_format(statement) == form


def test_what_stands_in_quotes_is_no_comment() -> None:
    assert refusal("SELECT 'a -- b', 'INSERT INTO x'") is None
    assert refusal("-- SELECT\nDROP TABLE x")


def test_every_event_can_be_told() -> None:
    told: list[events.Event] = [
        events.InvoiceIssued("C", "I1", 0, 5, 12345, "EUR"),
        events.InvoiceCancelled("C", "I1", 0),
        events.CreditNoteIssued("C", "N1", 0, 5, "EUR", "RETURN", "I1"),
        events.PaymentReceived("C", "P1", 0, 5, "EUR", ("I1", "I2")),
        events.PaymentReversed("C", "P1", 0, "bounced"),
        events.CreditNoteCancelled("C", "N1", 0, "a slip"),
        events.PaymentRefunded("C", "F1", 0, 5, "EUR", "P1"),
        events.ComplaintOpened("C", "K1", 0, "QUALITY", "I1", "broken"),
        events.ComplaintResolved("C", "K1", 0, "UPHELD"),
        events.CustomerUpdated(
            "C", 0, name="Acme", credit_limit_minor=0, credit_limit_currency="EUR"
        ),
        events.PolicyPublished("p", 1, 0, "{}", ""),
        events.DayClosed(1, "system"),
        events.WentLive("me"),
        events.HoldReleased(4, 9, False, "me", "mended"),
        events.CustomerErased("c_a", "me", "request 17"),
        events.SourceCompleted(4, 1, "erp"),
        events.OrderChanged("C", "H1", 0, "QUANTITY", "O1"),
        events.OrderUpdated("C", "O1", 0, 700, 0, "EUR"),
        events.ServiceRecorded("C", "S1", 0, 95, 1200, "EUR"),
        events.ContactLogged("C", "T1", 0, "PHONE", "REFUSED_TO_PAY", "DISPUTE", "no", None, "Li"),
        events.ContractBreached("C", "B1", 0, "RESALE", True, "sold on"),
        events.SatisfactionReported("C", "Y1", 0, 3),
        events.DisputeOpened("C", "D1", 0, "I1", 5000, "EUR", "PRICE", True),
        events.DisputeResolved("C", "D1", 0, "PARTLY_ACCEPTED", False),
        events.SilenceBegan("C", "Q1", 0, "Li", "trade fair", 31, "overdue-amount"),
        events.SilenceEnded("C", "Q1", 0, "Li", "over"),
        events.WarningAcknowledged("C", "ab12", 0, "Li", "called"),
        events.VerdictGiven("C", "ab12", 0, "FALSE_ALARM", "Li", "paid"),
        events.PromiseMade("C", "P1", 0, 500, "EUR", 31, ("I1",), "Li"),
        events.PromiseWithdrawn("C", "P1", 0, "Li", "paid otherwise"),
        events.PlanAgreed("C", "L1", 0, "EUR", (events.Instalment(31, 500),), "Li", "new orders"),
        events.PlanEnded("C", "L1", 0, "REPLACED", "Li", "longer"),
        events.CreditDecided("C", "E1", 0, "LIMIT", "Li", "grew", "APPROVED", 500, "EUR", None, 31),
        events.RetirementAdvanced(
            "C", "R1", 0, "NOTICE_GIVEN", "SELLER", "Li", "losses", "COLLECT"
        ),
        events.RatingReported("C", 0, "agency", 12, "BB"),
        events.FinancialsReported("C", 0, 19722, "EUR", -500, None, 100),
        events.AlertRaised("C", "A1", 0, "COURT", "sued"),
        events.AlertLifted("C", "A1", 0),
    ]

    lines = [" ".join(describe_event(event)) for event in told]

    known = {kind for kind in STRUCTS.values() if kind.__module__ == events.__name__}
    known -= {events.Instalment, events.CashDiscount, events.DuePart, events.PaymentAllocation}
    assert {type(event) for event in told} == known
    assert lines[0] == "invoice I1 123.45 EUR, due 1970-01-06"
    assert "for I1, I2" in lines[3]
    assert lines[5:7] == ["credit note cancelled N1 a slip", "refund F1 0.05 EUR for P1"]
    assert "limit 0.00 EUR" in lines[9]
    assert lines[14:] == [
        "customer erased c_a by me: request 17",
        "source complete payments up to 1970-01-02, by erp",
        "order changed H1 quantity of order O1",
        "order O1 7.00 EUR open, 0.00 EUR delivered, not invoiced",
        "service S1 1 h 35 min, 12.00 EUR",
        "contact T1 phone, refused to pay (dispute), by Li: no",
        "breach B1 serious, resale: sold on",
        "satisfaction Y1 3 of 10",
        "dispute D1 50.00 EUR of I1, price, our fault",
        "dispute resolved D1 partly accepted",
        "silence Q1 rule overdue-amount until 1970-02-01, by Li: trade fair",
        "silence ended Q1 by Li: over",
        "warning acknowledged ab12 by Li: called",
        "verdict ab12 false alarm, by Li: paid",
        "promise P1 5.00 EUR by 1970-02-01 for I1, by Li",
        "promise withdrawn P1 by Li: paid otherwise",
        "plan L1 5.00 EUR by 1970-02-01, by Li: new orders",
        "plan ended L1 replaced, by Li: longer",
        "credit decision E1 limit approved 5.00 EUR until 1970-02-01, by Li: grew",
        "retirement R1 notice given by Li, on the seller's wish, money owed: collect: losses",
        "rating agency notch 12 of 30 (BB)",
        "accounts C to 2023-12-31: equity -5.00 EUR, income 1.00 EUR",
        "alert A1 court: sued",
        "alert lifted A1 ",
    ]


@pytest.mark.parametrize("text", ["payments/1", "warnings/0/1", "payments/x/1", "nope/0/0", ""])
def test_a_place_that_names_no_source_record_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="TOPIC/PARTITION/OFFSET"):
        parse_place(text)


def test_a_record_sent_again_as_it_was_keeps_bytes_key_and_time_and_says_where_from() -> None:
    letter = _letter(b"bytes", key=b"C1")

    out = as_it_was(letter, Settings())

    assert (out.key, out.value, out.timestamp, out.partition) == (b"C1", b"bytes", 1000, None)
    assert out.headers[0] == ("trace", b"1")
    assert (ORIGIN_HEADER, place_of(letter).encode()) in out.headers
    assert (CODE_HEADER, b"NOT_FRAMED") in out.headers


def test_a_record_that_had_the_broker_s_time_is_sent_again_with_the_event_s() -> None:
    at, topic, event = parse_line("2025-01-10 payment P 1 CNY")
    value = open_codec(Settings()).encode(topic, event)
    letter = replace(_letter(value, key=b"ACME"), topic_id=topic, code=BROKER_TIMED)

    assert as_it_was(letter, Settings()).timestamp == at


def test_a_record_without_a_key_goes_back_to_its_partition() -> None:
    assert as_it_was(_letter(b"bytes", key=None), Settings()).partition == 2


def test_a_letter_that_was_cut_is_not_sent_as_if_it_were_whole() -> None:
    whole = _letter(b"bytes", key=b"C1")
    cut = replace(whole, detail=f"no event{CUT}")

    assert outgoing(whole, None, Settings()).value == b"bytes"
    with pytest.raises(ConfigurationError, match="--event"):
        outgoing(cut, None, Settings())


def test_a_mended_event_takes_the_records_place_with_its_own_time_and_key() -> None:
    line = (
        '{"type":"PaymentReceived","customer_id":"C9","payment_id":"P1","amount_minor":5,'
        '"currency":"EUR","occurred_at":"1970-01-01T00:00:07.000Z"}'
    )

    out = mended(_letter(b"bytes", key=b"C1"), line, Settings())

    assert (out.key, out.timestamp) == (b"C9", 7000)
    event = open_codec(Settings()).decode(PAYMENTS.topic_id, out.value)
    assert isinstance(event, events.PaymentReceived)
    assert event.amount_minor == 5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "cannot be read"),
        ('{"type":"DayClosed","date":"2025-01-01","source":"x"}', "topic clock"),
    ],
)
def test_a_mended_event_that_does_not_fit_is_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        mended(_letter(b"bytes", key=b"C1"), line, Settings())


def _letter(value: bytes, key: bytes | None) -> DeadLetter:
    return DeadLetter(
        topic_id=PAYMENTS.topic_id,
        partition=2,
        offset=7,
        timestamp=1000,
        key=key,
        value=value,
        headers=(RecordHeader("trace", b"1"),),
        code="NOT_FRAMED",
        detail="",
        stage="DECODE",
    )
