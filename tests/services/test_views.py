"""The BI views, each against numbers worked out by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.structs import TopicPartition
from msgspec import Struct, structs

from tests import journals
from tocsin.agents.audit.blocks import Block, TopicPartitionBuffer
from tocsin.agents.audit.sink import Writer
from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.clickhouse.history_tables import Column, history_table
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.commands.customer_cards import facts_of
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.queries.credit_decisions import read_credit
from tocsin.agents.queries.lookup import ORIGIN_HEADER, Lookup, place_of
from tocsin.agents.queries.ranking import stakes_of
from tocsin.agents.queries.worklist import candidates_of
from tocsin.agents.transactions.record_digests import TOPIC_IDS
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import iso_date
from tocsin.schemas.codec.records import DeadLetter, OffsetRange
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    COMPLAINTS,
    CUSTOMERS,
    DEAD_LETTERS,
    ENGAGEMENTS,
    INVOICES,
    JOURNAL,
    LEDGERS,
    PAYMENTS,
    POLICIES,
    SOURCES,
    WARNINGS,
    Topic,
)
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.risk_warning import Exposure, RiskWarning
from tocsin.streams.facts.events import (
    ComplaintOpened,
    ComplaintResolved,
    ContactLogged,
    CreditNoteIssued,
    CustomerUpdated,
    DisputeOpened,
    DisputeResolved,
    HoldReleased,
    Instalment,
    InvoiceCancelled,
    InvoiceIssued,
    PaymentReceived,
    PaymentReversed,
    PlanAgreed,
    PolicyPublished,
    ServiceRecorded,
    SilenceBegan,
    SilenceEnded,
    VerdictGiven,
    WarningAcknowledged,
)
from tocsin.streams.ledger.documents import NEVER, Account, Case, Collecting, Due, Profile, Summary
from tocsin.streams.ledger.state_records import STATE_VERSION, Kind
from tocsin.streams.policy.policy import Policy

DAY_MS = 86_400_000
WIRE = Path(__file__).parent.parent / "golden" / "wire"
CODEC = Codec(FileRegistry())
TABLES = """
SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0
"""


def day(text: str) -> int:
    """Epoch day of an ISO date."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def noon(text: str) -> int:
    """Epoch milliseconds at twelve o'clock UTC of an ISO date."""
    return day(text) * DAY_MS + DAY_MS // 2


class History:
    """Puts records into ClickHouse as the sink does, one block each call; asks as readers do."""

    def __init__(self, writer: ClickHouse, reader: ClickHouse) -> None:
        self.write = Writer(writer, CODEC, TOPIC_IDS).write
        self._next: Counter[Topic] = Counter()
        self._lanes: dict[Topic, TopicPartitionBuffer] = {}
        self.reader = reader
        self.rows = reader.rows
        self.known_at = noon("2025-06-30")

    def add(
        self,
        topic: Topic,
        *values: bytes | None,
        key: bytes = b"C1",
        headers: tuple[tuple[str, bytes | None], ...] = (),
    ) -> None:
        lane = self._lanes.setdefault(
            topic, TopicPartitionBuffer(topic, TopicPartition(topic.name, 0), 0)
        )
        first = self._next[topic]
        records = [
            HistoryRecord(topic.name, 0, offset, self.known_at, key, value, headers)
            for offset, value in enumerate(values, first)
        ]
        self._next[topic] += len(values)
        self.write([Block(lane, first, first + len(values), records)])

    def facts(self, topic: Topic, *events: Any) -> None:
        for event in events:
            key = event.customer_id.encode()
            self.add(topic, CODEC.encode(topic.topic_id, event), key=key)

    def standing(self, customer_id: str, summary: Summary) -> None:
        body = msgspec.msgpack.encode(summary)
        value = CODEC.encode_state(Kind.CUSTOMER, STATE_VERSION, body)
        self.add(LEDGERS, value, key=customer_id.encode())

    def case(self, customer_id: str, key: str, case: Case | None) -> None:
        body = None if case is None else msgspec.msgpack.encode(case)
        value = None if body is None else CODEC.encode_state(Kind.DOCUMENT, STATE_VERSION, body)
        self.add(LEDGERS, value, key=f"{customer_id}\0{key}".encode())

    def business_date(self, text: str, **more: Any) -> None:
        self.add(JOURNAL, CODEC.encode_journal(journals.entry(business_date=day(text), **more)))


WARNING = RiskWarning(
    warning_id="w1",
    episode_id="e1",
    customer_id="C1",
    rule="overdue-amount",
    subject="EUR",
    transition="RAISED",
    reason="FIRST_CROSSING",
    severity="MEDIUM",
    previous_severity=None,
    phase="LIVE",
    as_of=day("2025-06-30"),
    occurred_at=noon("2025-06-30"),
    value=5000,
    threshold=1000,
    unit="MINOR",
    currency="EUR",
    exposure_minor=7000,
    evidence=(),
    evidence_count=0,
    evidence_digest="",
    clears_when_en="",
    clears_when_zh="",
    action="CALL",
    text_en="",
    text_zh="",
    action_en="",
    action_zh="",
    policy_name="default",
    policy_version=1,
    policy_hash="",
)


def invoice(number: str, issued: str, amount_minor: int, **more: Any) -> InvoiceIssued:
    due = more.pop("due", issued)
    event = InvoiceIssued("C1", number, noon(issued), day(due), amount_minor, "EUR")
    return structs.replace(event, **more)


def payment(number: str, paid: str, amount_minor: int, customer_id: str = "C1") -> PaymentReceived:
    return PaymentReceived(customer_id, number, noon(paid), amount_minor, "EUR")


def letter(topic: Topic, offset: int) -> bytes:
    refused = DeadLetter(
        topic.topic_id, 0, offset, noon("2025-06-30"), b"C1", b"bytes", (), "CODE", "why", "CHECK"
    )
    return CODEC.encode_dead_letter(refused)


def step(**changes: Any) -> bytes:
    return CODEC.encode_warning(structs.replace(WARNING, **changes))


@pytest.fixture(scope="module")
def migrated(engine: EmbeddedEngine, request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """A database of the module's own."""
    name = request.module.__name__.rpartition(".")[2]
    first = connect(engine.url, user=WRITER, password=engine.token)
    first.command(f"CREATE DATABASE {name}")
    first.close()
    client = connect(f"{engine.url}/{name}", user=WRITER, password=engine.token)
    migrate(client)
    yield client
    client.close()


@pytest.fixture
def history(migrated: ClickHouse, engine: EmbeddedEngine) -> Iterator[History]:
    """The database without rows, and a reader of it."""
    for (table,) in migrated.rows(TABLES):
        migrated.command(f"TRUNCATE TABLE {table}")
    ((name,),) = migrated.rows("SELECT currentDatabase()")
    reader = connect(f"{engine.url}/{name}")
    yield History(migrated, reader)
    reader.close()


def test_an_open_warning_is_the_latest_step_of_an_episode_that_has_not_ended(
    history: History,
) -> None:
    history.add(
        WARNINGS,
        step(),
        step(transition="ESCALATED", severity="HIGH", previous_severity="MEDIUM"),
        step(episode_id="e2"),
        step(episode_id="e2", transition="CLEARED"),
        step(episode_id="", transition="DIGEST"),
    )

    found = history.rows("SELECT episode_id, transition, severity FROM v_open_warnings")

    assert found == [("e1", "ESCALATED", "HIGH")]


def test_a_warning_tells_its_exposure_with_its_currency_and_further_ones(history: History) -> None:
    more = (Exposure("CNY", 780_00), Exposure("USD", -5_00))
    history.add(WARNINGS, step(), step(episode_id="e2", other_exposures=more))

    found = history.rows(
        "SELECT currency, exposure_minor, other_currencies, other_exposures_minor "
        "FROM v_open_warnings ORDER BY episode_id"
    )

    assert found == [("EUR", 7000, [], []), ("EUR", 7000, ["CNY", "USD"], [780_00, -5_00])]


def default_policy() -> Policy:
    policy, _, problems = read_policy(default_policy_text(), 400)
    assert policy is not None, problems
    return policy


def open_accounts(**minor: int) -> dict[str, Account]:
    """Accounts with that much open, of which nothing is due by currency."""
    return {currency: Account(open_minor=amount) for currency, amount in minor.items()}


def test_the_worklist_and_the_file_tell_what_is_owed_in_each_currency(history: History) -> None:
    """Whatever the warning said of it: one of logic 1 that measures no money says 0 of nothing."""
    silent = {"subject": "", "unit": "COUNT", "currency": None, "exposure_minor": 0}
    history.business_date("2025-06-30")
    for number, accounts in enumerate(
        [open_accounts(EUR=1_600_000_00), open_accounts(EUR=1_000_00, USD=50_000_00, CHF=0), {}], 1
    ):
        name = f"C{number}"
        told = {"customer_id": name, "episode_id": name, "rule": "insolvency", **silent}
        history.add(WARNINGS, step(**told), key=name.encode())
        history.standing(name, Summary(accounts=accounts))
    waiting = Collecting(since=day("2025-06-01"), why="DISPUTED", blocked_until=NEVER)
    disputed = Account(open_minor=900_00, due={day("2025-06-01"): Due(900_00, 1)})
    history.standing("C4", Summary(accounts={"EUR": disputed}, collecting=waiting))
    ladder = Collecting(day("2025-06-01"), "REMINDER", day("2025-06-11"), why="AGE")
    ladder = structs.replace(ladder, amount_minor=900_00, currency="EUR", invoice_id="I1")
    dollars = structs.replace(disputed, unapplied_minor=100_00)
    both = {"EUR": disputed, "USD": dollars, "CNY": Account(open_minor=5)}
    history.standing("C5", Summary(accounts=both, collecting=ladder))
    lookup, policy = Lookup(history.reader, CODEC), default_policy()

    found = candidates_of(lookup, policy, day("2025-06-30"))

    assert {one.customer_id: stakes_of(one) for one in found} == {
        "C1": "1,600,000.00 EUR",
        "C2": "50,000.00 USD, 1,000.00 EUR",
        "C3": "0.00 CNY",
        "C4": "900.00 EUR",
        "C5": "900.00 EUR, 800.00 USD",
    }
    standing = lookup.standing("C4")
    assert standing is not None
    facts = dict(facts_of(read_credit(lookup, standing, policy), "en"))
    assert facts["next step"].startswith("wait: 900.00 EUR")


@pytest.mark.parametrize(
    ("limit", "proposed"), [((None, None), (1_600_000_00, "EUR")), ((5_00, "USD"), (0, "USD"))]
)
def test_a_limit_is_proposed_in_a_currency_of_the_customer(
    history: History, limit: tuple[int | None, str | None], proposed: tuple[int, str]
) -> None:
    """REDUCE, of grade D: what is owed in the limit's currency, else the most that is owed."""
    history.business_date("2025-06-30")
    profile = Profile(credit_limit_minor=limit[0], credit_limit_currency=limit[1])
    accounts = open_accounts(CHF=100_00, EUR=1_600_000_00)
    history.standing("C1", Summary(accounts=accounts, grade="D", profile=profile))
    lookup = Lookup(history.reader, CODEC)
    standing = lookup.standing("C1")
    assert standing is not None

    credit = read_credit(lookup, standing, default_policy())

    assert (credit.proposed_minor, credit.proposed_currency) == proposed


def test_a_warnings_latency_is_known_from_the_workers_header(history: History) -> None:
    late = str(noon("2025-06-30") + 120).encode()
    history.add(WARNINGS, step(), headers=(("a", None), ("tocsin_processed_at", late)))
    history.add(WARNINGS, step())

    found = history.rows("SELECT offset, latency_ms FROM v_warning_history ORDER BY offset")

    assert found == [(0, 120), (1, None)]


def test_dead_letters_name_the_topic_and_place_of_what_was_refused(history: History) -> None:
    history.add(DEAD_LETTERS, letter(PAYMENTS, 7))

    found = history.rows("SELECT topic, refused_offset, code, value_bytes FROM v_dead_letters")

    assert found == [("payments", 7, "CODE", 5)]


class Open(Struct):
    """An open amount so many days after its due date, and the bucket it belongs to."""

    days_past_due: int
    amount_minor: int
    bucket: str


BOUNDARIES = [
    Open(-5, 1, "CURRENT"),
    Open(0, 2, "CURRENT"),
    Open(1, 4, "D1_30"),
    Open(30, 8, "D1_30"),
    Open(31, 16, "D31_60"),
    Open(60, 32, "D31_60"),
    Open(61, 64, "D61_90"),
    Open(90, 128, "D61_90"),
    Open(91, 256, "D91_PLUS"),
]
BUCKETS = {"CURRENT": 3, "D1_30": 12, "D31_60": 48, "D61_90": 192, "D91_PLUS": 256}


def aged(as_of: str) -> Summary:
    due = {day(as_of) - entry.days_past_due: Due(entry.amount_minor, 1) for entry in BOUNDARIES}
    account = Account(open_minor=511, unapplied_minor=11, due=due)
    return Summary(profile=Profile(segment="SME"), accounts={"EUR": account})


def test_refused_records_are_sent_again_from_the_oldest_on_until_none_is_left(
    history: History,
) -> None:
    history.add(DEAD_LETTERS, *[letter(PAYMENTS, offset) for offset in range(5)])
    lookup, sent = Lookup(history.reader, CODEC), []

    for _ in range(4):
        found = lookup.letters_to_send("CODE", 2, again=False)
        sent.append([place_of(refused.letter) for refused in found])
        for place in sent[-1]:
            history.add(PAYMENTS, b"x", headers=((ORIGIN_HEADER, place.encode()),))

    assert sent == [
        ["payments/0/0", "payments/0/1"],
        ["payments/0/2", "payments/0/3"],
        ["payments/0/4"],
        [],
    ]
    assert len(lookup.letters_to_send("CODE", 4, again=True)) == 4


def test_an_item_is_past_due_from_the_day_after_its_due_date(history: History) -> None:
    history.facts(
        INVOICES,
        *(
            invoice(
                f"I{number}",
                "2025-01-01",
                entry.amount_minor,
                due=iso_date(day("2025-06-30") - entry.days_past_due),
            )
            for number, entry in enumerate(BOUNDARIES)
        ),
        invoice("LATER", "2025-07-01", 77, due="2025-07-30"),
    )
    history.facts(PAYMENTS, payment("P1", "2025-07-02", 300))  # money of a later day

    found = history.rows(
        "SELECT bucket, total_open_minor FROM v_aging_on(as_of='2025-06-30') ORDER BY bucket"
    )

    assert dict(found) == BUCKETS


def test_aging_on_a_day_is_that_days_balance_whatever_was_paid_since(history: History) -> None:
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-01", 600, due="2025-02-10"),
        invoice("I2", "2025-01-05", 400, due="2025-03-10"),
    )
    history.facts(PAYMENTS, payment("P1", "2025-02-01", 100), payment("P2", "2025-04-01", 900))

    def aged_on(as_of: str) -> list[Any]:
        return history.rows(
            f"SELECT bucket, total_open_minor, total_items FROM v_aging_on(as_of='{as_of}') "
            "ORDER BY bucket"
        )

    assert aged_on("2025-03-01") == [("CURRENT", 400, 1), ("D1_30", 500, 1)]
    assert aged_on("2025-04-01") == []


def test_aging_goes_by_currency_and_segment_as_of_the_latest_business_date(
    history: History,
) -> None:
    history.business_date("2025-06-30")
    history.standing("C1", aged("2025-06-30"))
    history.standing("C2", aged("2025-06-30"))
    dollars = Account(open_minor=9, due={day("2025-06-29"): Due(9, 2)})
    history.standing("C3", Summary(accounts={"USD": dollars}))

    found = history.rows(
        "SELECT currency, segment, bucket, total_open_minor, total_items, customers FROM v_aging "
        "WHERE bucket = 'D1_30' ORDER BY currency"
    )

    assert found == [("EUR", "SME", "D1_30", 24, 4, 2), ("USD", None, "D1_30", 9, 2, 1)]


def test_a_later_standing_replaces_the_earlier_one(history: History) -> None:
    history.standing("C1", aged("2025-06-30"))
    history.standing("C1", Summary(accounts={"EUR": Account(due={day("2025-01-01"): Due(5, 1)})}))
    history.standing("C2", aged("2025-06-30"))
    history.add(LEDGERS, None, key=b"C2")  # a tombstone

    assert history.rows("SELECT customer_id, open_minor FROM v_due") == [("C1", 5)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("2024-07-01", "2025-06-30", "121.67"), ("2024-12-30", "2025-06-30", "61.00")],
)
def test_dso_is_receivables_over_sales_times_days(
    history: History, first: str, last: str, expected: str
) -> None:
    history.facts(INVOICES, invoice("I1", "2025-01-15", 150_000_00))
    history.facts(PAYMENTS, payment("P1", "2025-03-01", 100_000_00))

    found = history.rows(
        "SELECT receivables_minor, total_sales_minor, dso_days "
        f"FROM v_dso_between(first='{first}', last='{last}')"
    )

    assert found == [(50_000_00, 150_000_00, Decimal(expected))]


def test_dso_of_a_month_without_sales_is_null_and_the_last_month_ends_today(
    history: History,
) -> None:
    history.business_date("2025-03-10")
    history.facts(INVOICES, invoice("I1", "2025-01-15", 1000), invoice("I2", "2025-03-05", 400))
    history.facts(PAYMENTS, payment("P1", "2025-01-20", 500), payment("P2", "2025-02-20", 300))

    found = history.rows(
        "SELECT month, days, receivables_minor, total_sales_minor, dso_days "
        "FROM v_dso ORDER BY month"
    )

    assert found == [
        (date(2025, 1, 1), 31, 500, 1000, Decimal("15.50")),
        (date(2025, 2, 1), 28, 200, 0, None),
        (date(2025, 3, 1), 10, 600, 400, Decimal("15.00")),
    ]


def test_dso_counts_back_month_by_month_and_takes_the_share_of_the_last(history: History) -> None:
    history.business_date("2025-09-30")
    sales = {"04": 2250, "05": 2000, "06": 2500, "07": 2250, "08": 1750, "09": 2500}
    history.facts(
        INVOICES,
        *(invoice(f"I{month}", f"2025-{month}-10", sold) for month, sold in sales.items()),
    )
    history.facts(PAYMENTS, payment("P1", "2025-09-20", 1250))

    found = history.rows(
        "SELECT receivables_minor, months_counted, uncounted_minor, dso_days "
        "FROM v_dso_count_back WHERE month = '2025-09-01'"
    )

    assert found == [(12000, 6, 0, Decimal("166.33"))]


def test_dso_by_count_back_is_null_only_where_an_earlier_month_has_no_sales(
    history: History,
) -> None:
    history.business_date("2025-04-10")
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-15", 1000),
        invoice("I3", "2025-03-05", 400),
        invoice("I4", "2025-04-05", 100),
    )
    history.facts(PAYMENTS, payment("P1", "2025-03-20", 800), payment("P2", "2025-04-06", 300))

    found = history.rows(
        "SELECT month, receivables_minor, months_counted, uncounted_minor, dso_days "
        "FROM v_dso_count_back ORDER BY month"
    )

    assert found == [
        (date(2025, 1, 1), 1000, 1, 0, Decimal("31.00")),
        (date(2025, 2, 1), 1000, 2, 0, Decimal("59.00")),
        (date(2025, 3, 1), 600, 1, 200, None),
        (date(2025, 4, 1), 400, 2, 0, Decimal("33.25")),
    ]


def test_best_possible_dso_and_days_delinquent_add_up_to_dso(history: History) -> None:
    history.business_date("2025-06-30")
    due = {day("2025-06-29"): Due(21_000_00, 1), day("2025-06-30"): Due(30_000_00, 1)}
    account = Account(open_minor=51_000_00, unapplied_minor=1_000_00, due=due)
    history.standing("C1", Summary(accounts={"EUR": account}))
    history.standing("C2", Summary(accounts={"USD": account}))
    history.facts(INVOICES, invoice("I1", "2025-01-15", 150_000_00))
    history.facts(INVOICES, invoice("I0", "2024-06-30", 99_000_00))

    found = history.rows(
        "SELECT currency, receivables_minor, current_minor, past_due_minor, total_sales_minor, "
        "dso_days, best_possible_dso_days, average_days_delinquent FROM v_dso_parts "
        "ORDER BY currency"
    )

    days = [Decimal(figure) for figure in ("121.67", "73.00", "48.67")]
    assert found == [
        ("EUR", 50_000_00, 30_000_00, 20_000_00, 150_000_00, *days),
        ("USD", 50_000_00, 30_000_00, 20_000_00, 0, None, None, None),
    ]


def test_a_months_billing_is_at_risk_as_far_as_it_is_unpaid_90_days_after_it_fell_due(
    history: History,
) -> None:
    history.business_date("2025-06-30")
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-01", 600, due="2025-02-10"),
        invoice("I2", "2025-01-05", 400, due="2025-02-28"),
        invoice("I3", "2025-01-09", 500, due="2025-04-30"),
        invoice("I4", "2025-01-09", 999, due="2025-02-01"),
        InvoiceCancelled("C1", "I4", noon("2025-01-10")),
    )
    history.facts(
        PAYMENTS,
        payment("P1", "2025-02-12", 600),
        payment("P2", "2025-05-29", 150),  # the 90th day after 2025-02-28
        payment("P3", "2025-05-30", 200),  # a day too late
    )

    found = history.rows(
        "SELECT month, billed_minor, unpaid_minor, at_risk_basis_points "
        "FROM v_at_risk ORDER BY month"
    )

    assert found == [
        (date(2025, 2, 1), 1000, 250, 2500),
        (date(2025, 4, 1), 500, 500, None),
    ]


def owing(segment: str, open_minor: int = 0, owner: str | None = None, **more: Any) -> Summary:
    return Summary(
        profile=Profile(segment=segment, owner=owner),
        accounts={"EUR": Account(open_minor=open_minor, **more)},
    )


def test_collection_effectiveness_counts_what_could_be_collected(history: History) -> None:
    history.business_date("2025-06-30")
    history.facts(
        INVOICES, invoice("I1", "2025-04-01", 100_00), invoice("I2", "2025-04-02", 200_00)
    )
    history.facts(PAYMENTS, payment("P1", "2025-06-30", 180_00))
    due = {day("2025-06-29"): Due(45_00, 1), day("2025-06-30"): Due(80_00, 1)}
    history.standing("C1", owing("SME", 125_00, "Li", unapplied_minor=5_00, due=due))
    history.standing("C2", owing("KEY"))
    history.facts(INVOICES, invoice("I9", "2025-06-30", 7_00, customer_id="C2"))
    history.standing("C2", owing("KEY", 7_00, due={day("2025-06-30"): Due(7_00, 1)}))

    found = history.rows(
        "SELECT segment, owner, begin_minor, total_sales_minor, end_minor, end_current_minor, "
        "cei_basis_points FROM v_cei ORDER BY segment"
    )

    assert found == [
        ("KEY", "", 0, 7_00, 7_00, 7_00, None),
        ("SME", "Li", 100_00, 200_00, 120_00, 80_00, 8182),
    ]


def test_promises_are_kept_by_count_and_by_value_of_those_whose_day_has_passed(
    history: History,
) -> None:
    history.standing("C1", owing("SME", owner="Zhou"))
    promise = Case("KEPT", amount_minor=100, currency="EUR", kept_minor=100, author="Li")
    for number in ("1", "2"):
        history.case("C1", f"q{number}", promise)
    history.case("C1", "q3", structs.replace(promise, state="OPEN", kept_minor=0))
    history.case("C1", "q3", promise)
    history.case("C1", "q4", structs.replace(promise, state="LATE", kept_minor=60))
    history.case("C1", "q5", structs.replace(promise, state="OPEN", kept_minor=0))
    history.case("C1", "q6", structs.replace(promise, state="WITHDRAWN", kept_minor=0))
    history.case("C1", "q7", structs.replace(promise, state="BROKEN", kept_minor=0))
    history.case("C1", "q7", None)
    history.case("C1", "l1", structs.replace(promise, state="BROKEN", kept_minor=0))
    history.case("C2", "q1", structs.replace(promise, state="OPEN", author="Wu"))

    found = history.rows("SELECT * FROM v_promise_ratio ORDER BY author")

    assert found == [
        ("SME", "Zhou", "Li", "EUR", 3, 1, 1, 400, 360, 7500, 9000),
        ("", "", "Wu", "EUR", 0, 0, 1, 0, 0, None, None),
    ]


def test_a_plan_stands_beside_what_the_customer_paid_before_it(history: History) -> None:
    parts = (Instalment(day("2025-07-01"), 100), Instalment(day("2025-08-30"), 200))
    history.facts(
        PAYMENTS,
        PaymentReceived("C1", "P1", noon("2024-05-01"), 5000, "EUR"),  # more than a year before
        PaymentReceived("C1", "P2", noon("2025-01-01"), 1200, "EUR"),
        PaymentReceived("C1", "P3", noon("2025-02-01"), 240, "EUR"),
        PaymentReceived("C1", "P4", noon("2025-02-01"), 600, "USD"),
        PaymentReceived("C1", "P5", noon("2025-03-01"), 700, "EUR"),
        PaymentReversed("C1", "P5", noon("2025-03-02")),
        PaymentReceived("C1", "P6", noon("2025-06-03"), 900, "EUR"),
    )
    history.facts(
        ENGAGEMENTS,
        PlanAgreed("C1", "L1", noon("2025-05-01"), "EUR", parts[:1], "Li"),
        PlanAgreed("C1", "L1", noon("2025-06-01"), "EUR", parts, "Li", "orders in hand"),
        PlanAgreed("C2", "L1", noon("2025-06-01"), "EUR", parts, "Li"),
    )
    plan = Case("RUNNING", amount_minor=300, currency="EUR", kept_minor=50, reason="orders in hand")
    history.case("C1", "lL1", plan)
    history.case("C2", "lL1", structs.replace(plan, state="ENDED", kind="CANCELLED"))
    history.case("C1", "qQ1", Case("KEPT", amount_minor=9, currency="EUR", author="Li"))
    lookup = Lookup(history.reader, CODEC)

    last = day("2025-08-30")
    assert lookup.plans("C1") == [("L1", "RUNNING", last, 300, 50, "EUR", 100, 120)]
    assert lookup.plans("C2") == [("L1", "ENDED", last, 300, 50, "EUR", 100, 0)]
    assert lookup.plans("C3") == []
    assert history.rows(
        "SELECT customer_id, ended_by, left_minor, reason FROM v_plans ORDER BY customer_id"
    ) == [
        ("C1", "", 250, "orders in hand"),
        ("C2", "CANCELLED", 250, "orders in hand"),
    ]
    assert [row[:2] + row[3:] for row in lookup.promises("C1")] == [
        ("Q1", "KEPT", 9, 0, "EUR", "Li")
    ]


def test_recovery_is_what_came_in_of_what_fell_due_less_credits(history: History) -> None:
    history.business_date("2025-03-10")
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-01", 1000, due="2025-02-10"),
        invoice("I2", "2025-01-01", 600, due="2025-02-20"),
        invoice("I3", "2025-01-01", 500, due="2025-03-09"),
        invoice("I4", "2025-01-01", 400, due="2025-03-10"),
        CreditNoteIssued("C1", "N1", noon("2025-02-05"), 100, "EUR", "PRICE", "I1"),
        CreditNoteIssued("C1", "N2", noon("2025-02-05"), 300, "EUR", "WRITE_OFF", "I2"),
    )
    due = {day("2025-02-20"): Due(300, 1), day("2025-03-10"): Due(400, 1)}
    history.standing("C1", owing("SME", 700, due=due))

    found = history.rows(
        "SELECT segment, month, billed_minor, credited_minor, written_off_minor, recovered_minor, "
        "recovery_basis_points FROM v_recovery_rate ORDER BY month"
    )

    assert found == [
        ("SME", date(2025, 2, 1), 1600, 100, 300, 900, 6000),
        ("SME", date(2025, 3, 1), 500, 0, 0, 500, 10000),
    ]


def test_the_time_to_cure_goes_from_the_first_warning_to_the_end(history: History) -> None:
    history.business_date("2025-06-30")
    history.standing("C1", owing("SME"))
    for episode, first, last in (("e1", "2025-06-01", "2025-06-04"), ("e2", "06-01", "06-11")):
        begun, ended = (day(f"2025-{each[-5:]}") for each in (first, last))
        history.add(WARNINGS, step(episode_id=episode, as_of=begun))
        history.add(WARNINGS, step(episode_id=episode, as_of=ended, transition="CLEARED"))
    history.add(WARNINGS, step(episode_id="e3", as_of=day("2025-06-20")))
    history.add(WARNINGS, step(episode_id="e4", as_of=day("2025-06-25"), rule="other"))

    found = history.rows("SELECT * FROM v_time_to_cure ORDER BY rule")

    assert found == [
        ("SME", "", "other", 0, None, None, 1, 5),
        ("SME", "", "overdue-amount", 2, 10, 10, 1, 10),
    ]


def test_documents_show_corrections_and_endings_and_leave_out_what_was_refused(
    history: History,
) -> None:
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-01", 100),
        invoice("I1", "2025-01-01", 120, due="2025-02-01"),
        invoice("I2", "2025-01-02", 50),
        InvoiceCancelled("C1", "I2", noon("2025-01-03")),
        invoice("I3", "2025-01-04", 70),
        CreditNoteIssued("C1", "N1", noon("2025-01-05"), 20, "EUR", "RETURN", "I1"),
    )
    history.add(DEAD_LETTERS, letter(INVOICES, 4))
    history.add(INVOICES, b"no record at all")
    history.facts(
        PAYMENTS,
        payment("P1", "2025-01-06", 30),
        payment("P2", "2025-01-07", 40),
        PaymentReversed("C1", "P2", noon("2025-01-09")),
    )

    invoices = history.rows(
        "SELECT invoice_id, due_on, invoiced_minor, is_cancelled "
        "FROM v_invoices ORDER BY invoice_id"
    )
    movements = history.rows(
        "SELECT kind, day, change_minor, sales_minor FROM v_receivable_movements ORDER BY day, kind"
    )

    assert invoices == [("I1", date(2025, 2, 1), 120, 0), ("I2", date(2025, 1, 2), 50, 1)]
    assert movements == [
        ("INVOICE", date(2025, 1, 1), 120, 120),
        ("CREDIT_NOTE", date(2025, 1, 5), -20, 0),
        ("PAYMENT", date(2025, 1, 6), -30, 0),
        ("PAYMENT", date(2025, 1, 7), -40, 0),
        ("REVERSAL", date(2025, 1, 9), 40, 0),
    ]


def test_the_credit_file_has_one_row_for_each_customer(history: History) -> None:
    history.business_date("2025-06-30")
    history.facts(
        CUSTOMERS, CustomerUpdated("C1", 0, "Old Ltd"), CustomerUpdated("C1", 1, "New Ltd")
    )
    account = Account(
        open_minor=900,
        unapplied_minor=100,
        due={day("2025-06-29"): Due(300, 1), day("2025-06-30"): Due(600, 2)},
    )
    profile = Profile(segment="SME", credit_limit_minor=0, credit_limit_currency="EUR")
    history.standing("C1", Summary(profile=profile, accounts={"EUR": account}))
    history.standing("C2", Summary())
    history.add(WARNINGS, step(), step(episode_id="e2", rule="complaints", severity="CRITICAL"))
    history.facts(PAYMENTS, payment("P1", "2025-06-01", 10), payment("P2", "2025-06-03", 20))
    history.facts(PAYMENTS, payment("P3", "2025-06-05", 99))
    history.facts(PAYMENTS, PaymentReversed("C1", "P3", noon("2025-06-06")))
    history.facts(
        COMPLAINTS,
        ComplaintOpened("C1", "K1", 0, "QUALITY"),
        ComplaintOpened("C1", "K2", 0, "PRICE"),
        ComplaintResolved("C1", "K1", 1, "UPHELD"),
    )

    found = history.rows(
        "SELECT customer_id, name, credit_limit_minor, currencies, exposure_minor, past_due_minor, "
        "oldest_due_date, open_warnings, worst_severity, rules, last_payment_at, "
        "last_payment_minor, complaints, open_complaints FROM v_credit_file ORDER BY customer_id"
    )

    assert found == [
        (
            "C1",
            "New Ltd",
            0,
            ["EUR"],
            [800],
            [300],
            date(2025, 6, 29),
            2,
            "CRITICAL",
            ["complaints", "overdue-amount"],
            datetime(2025, 6, 3, 12, tzinfo=UTC).replace(tzinfo=None),
            20,
            2,
            1,
        ),
        ("C2", None, None, [], [], [], None, 0, None, [], None, None, 0, 0),
    ]


def test_reconciliation_shows_what_the_journal_read_and_the_history_lacks(
    history: History,
) -> None:
    history.facts(INVOICES, *(invoice(f"I{n}", "2025-01-01", 1) for n in range(5)))
    history.add(WARNINGS, step())
    ranges = (OffsetRange(INVOICES.topic_id, 0, 4, 4), OffsetRange(PAYMENTS.topic_id, 0, 2, 2))
    history.business_date("2025-06-30", ranges=ranges, output_count=1)

    found = history.rows(
        "SELECT direction, topic_id, in_journal, in_history, difference FROM v_reconciliation "
        "ORDER BY direction, topic_id"
    )

    assert found == [("read", 3, 4, 4, 0), ("read", 4, 2, 0, 2), ("written", None, 1, 1, 0)]


def disputed(number: str, opened: str, amount_minor: int) -> DisputeOpened:
    return DisputeOpened("C1", number, noon(opened), "I1", amount_minor, "EUR", "PRICE", False)


def test_disputes_show_corrections_their_end_and_whose_fault_it_was(history: History) -> None:
    history.facts(
        ENGAGEMENTS,
        disputed("D1", "2025-01-10", 100),
        disputed("D1", "2025-01-10", 80),
        DisputeResolved("C1", "D1", noon("2025-02-01"), "ACCEPTED", True),
        disputed("D2", "2025-01-11", 50),
        DisputeResolved("C1", "D9", noon("2025-02-01"), "REJECTED", False),
        disputed("D3", "2025-01-12", 1),
    )
    history.add(DEAD_LETTERS, letter(ENGAGEMENTS, 5))

    found = history.rows(
        "SELECT dispute, disputed_invoice, disputed_minor, disputed_for, is_resolved, "
        "dispute_outcome, is_ours FROM v_disputes ORDER BY dispute"
    )

    assert found == [
        ("D1", "I1", 80, "PRICE", 1, "ACCEPTED", True),
        ("D2", "I1", 50, "PRICE", 0, None, False),
    ]


def test_complaint_and_dispute_rates_leave_out_what_was_withdrawn_or_is_a_year_ago(
    history: History,
) -> None:
    history.business_date("2025-06-30")
    history.facts(
        INVOICES,
        *(invoice(f"I{n}", "2025-01-15", 100) for n in range(3)),
        invoice("I8", "2024-06-30", 100),
        invoice("I9", "2025-01-15", 100),
        InvoiceCancelled("C1", "I9", noon("2025-01-16")),
    )
    history.facts(
        COMPLAINTS,
        ComplaintOpened("C1", "K1", noon("2025-02-01"), "PRICE"),
        ComplaintOpened("C1", "K2", noon("2025-02-01"), "PRICE"),
        ComplaintResolved("C1", "K2", noon("2025-02-02"), "WITHDRAWN"),
        ComplaintOpened("C2", "K1", noon("2025-02-01"), "PRICE"),
    )
    history.facts(
        ENGAGEMENTS,
        disputed("D1", "2025-07-01", 5),
        disputed("D2", "2025-02-01", 5),
        disputed("D3", "2025-02-01", 5),
    )

    found = history.rows("SELECT * FROM v_complaint_rates ORDER BY customer_id")

    assert found == [("C1", 3, 1, 2, 3333, 6666), ("C2", 0, 1, 0, None, None)]


def test_concentration_is_the_share_of_the_ten_largest_debtors(history: History) -> None:
    for number in range(1, 13):
        account = Account(open_minor=number * 100, unapplied_minor=50)
        history.standing(f"C{number:02}", Summary(accounts={"EUR": account}))
    ahead = Account(open_minor=0, unapplied_minor=10**15)
    history.standing("C99", Summary(accounts={"EUR": ahead, "USD": Account(open_minor=7)}))

    found = history.rows(
        "SELECT currency, debtors, total_owed_minor, largest_customer, largest_basis_points, "
        "ten_largest_basis_points FROM v_concentration ORDER BY currency"
    )

    assert found == [
        ("EUR", 12, 7200, "C12", 1597, 9722),
        ("USD", 1, 7, "C99", 10000, 10000),
    ]


def test_a_group_is_measured_against_the_limit_that_it_shares(history: History) -> None:
    def member(group: str | None, limit: int | None, open_minor: int, **more: int) -> Summary:
        profile = Profile(1, credit_limit_minor=limit, group_id=group)
        if limit is not None:
            profile.credit_limit_currency = "EUR"
        return Summary(accounts={"EUR": Account(open_minor, **more)}, profile=profile)

    history.standing(
        "PARENT", Summary(profile=Profile(1, None, None, None, 1000, "EUR", None, None, "G"))
    )
    history.standing("C1", member("G", None, 500, unapplied_minor=100))
    history.standing("C2", member("G", 300, 300, ordered_minor=70, delivered_minor=30))
    history.standing("C3", member("H", 0, 1))
    history.standing("C4", member("I", None, 900))
    history.standing("C5", member("J", 10, 5, unapplied_minor=9))
    history.standing("C6", member(None, 10, 5))

    found = history.rows("SELECT * FROM v_group_limits ORDER BY group_id")

    assert found == [
        ("G", "EUR", 2, 700, 100, 800, 1000, 8000),
        ("H", "EUR", 1, 1, 0, 1, 0, 1_000_000),
        ("I", "EUR", 1, 900, 0, 900, None, None),
        ("J", "EUR", 1, -4, 0, -4, 10, 0),
    ]


def test_a_margin_is_sales_less_delivered_cost_and_service(history: History) -> None:
    history.business_date("2025-06-30")
    history.facts(
        INVOICES,
        invoice("I1", "2025-01-15", 1000, cost_minor=700),
        invoice("I2", "2025-01-15", 9999),
        invoice("I3", "2025-01-15", 500, cost_minor=100),
        InvoiceCancelled("C1", "I3", noon("2025-01-16")),
        invoice("I4", "2025-01-15", 100, cost_minor=1),
        invoice("I4", "2025-01-15", 200, cost_minor=150),
    )
    history.facts(
        ENGAGEMENTS,
        ServiceRecorded("C1", "S1", noon("2025-02-01"), 60, 400, "EUR"),
        ServiceRecorded("C1", "S2", noon("2025-02-01"), 60),
        ServiceRecorded("C2", "S1", noon("2025-02-01"), 60, 5, "EUR"),
    )

    found = history.rows("SELECT * FROM v_margins ORDER BY customer_id")

    assert found == [
        ("C1", "EUR", 1200, 850, 400, -50, -416),
        ("C2", "EUR", 0, 0, 5, -5, None),
    ]


def test_silences_tell_who_muted_what_why_and_until_when(history: History) -> None:
    history.business_date("2025-06-30")
    history.facts(
        ENGAGEMENTS,
        SilenceBegan("C1", "Q1", noon("2025-06-01"), "Li", "fair", day("2025-07-01")),
        SilenceBegan("C1", "Q2", noon("2025-06-01"), "Li", "move", day("2025-06-30"), "late-share"),
        SilenceBegan("C1", "Q3", noon("2025-06-01"), "Li", "talks", day("2025-09-01")),
        SilenceEnded("C1", "Q3", noon("2025-06-20"), "Wu", "failed"),
    )

    found = history.rows(
        "SELECT silence, muted, begun_by, begun_because, last_expires_on, ended_at, ended_by, "
        "ended_because, is_over FROM v_silences ORDER BY silence"
    )

    ended = datetime(2025, 6, 20, 12)
    assert found == [
        ("Q1", "all rules", "Li", "fair", date(2025, 7, 1), None, None, None, 0),
        ("Q2", "late-share", "Li", "move", date(2025, 6, 30), None, None, None, 1),
        ("Q3", "all rules", "Li", "talks", date(2025, 9, 1), ended, "Wu", "failed", 1),
    ]


def test_every_intervention_leaves_a_row_with_author_and_reason(history: History) -> None:
    history.facts(
        ENGAGEMENTS,
        SilenceBegan("C1", "Q1", noon("2025-06-01"), "Li", "fair", day("2025-07-01")),
        SilenceEnded("C1", "Q1", noon("2025-06-02"), "Wu", "over"),
        WarningAcknowledged("C1", "e1", noon("2025-06-03"), "Li", "called"),
        VerdictGiven("C1", "e1", noon("2025-06-04"), "FALSE_ALARM", "Wu", "paid"),
        ContactLogged("C1", "T1", noon("2025-06-05"), "PHONE", "ANSWERED"),
    )
    release = HoldReleased(PAYMENTS.topic_id, 9, True, "Li", "mended")
    history.add(CLOCK, CODEC.encode(CLOCK.topic_id, release))
    published = PolicyPublished("default", 2, noon("2025-06-06"), "{}", "")
    history.add(POLICIES, *[CODEC.encode(POLICIES.topic_id, published)] * 2)

    found = history.rows(
        "SELECT intervention, concerning, document, by_whom, because, outcome_told "
        "FROM v_interventions ORDER BY at"
    )

    assert found == [
        ("SilenceBegan", "C1", "Q1", "Li", "fair", ""),
        ("SilenceEnded", "C1", "Q1", "Wu", "over", ""),
        ("WarningAcknowledged", "C1", "e1", "Li", "called", ""),
        ("VerdictGiven", "C1", "e1", "Wu", "paid", "FALSE_ALARM"),
        ("PolicyPublished", "default", "2", None, "default 2", ""),
        ("HoldReleased", "0", "4", "Li", "mended", "DRAINED"),
    ]


def test_precision_counts_the_last_verdict_on_each_episode(history: History) -> None:
    history.add(
        WARNINGS,
        *(step(episode_id=f"e{n}") for n in range(3)),
        step(episode_id="e0", transition="CLEARED"),
        step(episode_id="e9", rule="late-share"),
    )
    said = [("e0", "FALSE_ALARM"), ("e0", "TRUE_ALARM"), ("e1", "TRUE_ALARM"),
            ("e2", "FALSE_ALARM"), ("e9", "FALSE_ALARM"), ("unknown", "TRUE_ALARM")]  # fmt: skip
    history.facts(
        ENGAGEMENTS,
        *(VerdictGiven("C1", e, noon("2025-06-04"), verdict, "Wu", "so") for e, verdict in said),
    )

    found = history.rows("SELECT * FROM v_precision ORDER BY rule")

    assert found == [("late-share", 0, 1, 0), ("overdue-amount", 2, 1, 6666)]


def test_an_engagement_is_what_was_said_of_its_document_last(history: History) -> None:
    history.facts(
        ENGAGEMENTS,
        ContactLogged("C1", "T1", noon("2025-06-05"), "PHONE", "UNANSWERED", author="Li"),
        ContactLogged("C1", "T1", noon("2025-06-05"), "PHONE", "ANSWERED", author="Li"),
        ContactLogged("C2", "T1", noon("2025-06-05"), "EMAIL", "CAME_IN", text="hello"),
    )
    history.add(ENGAGEMENTS, b"no record at all")

    found = history.rows(
        "SELECT customer_id, event, document_id, what, channel_used, author, words "
        "FROM v_engagements ORDER BY customer_id"
    )

    assert found == [
        ("C1", "ContactLogged", "T1", "ANSWERED", "PHONE", "Li", None),
        ("C2", "ContactLogged", "T1", "CAME_IN", "EMAIL", None, "hello"),
    ]


def shown(column: Column) -> str:
    """An expression that gives a column's content as the record has it."""
    if "DateTime64" in column.type:
        return f"toUnixTimestamp64Milli(`{column.name}`)"
    if column.type == "Array(Date32)":
        return f"arrayMap(day -> toInt32(day), `{column.name}`)"
    return f"toInt32(`{column.name}`)" if "Date32" in column.type else f"`{column.name}`"


def content(columns: Sequence[Column], values: Sequence[Any]) -> dict[str, Any]:
    """A row's fields as the record has them, with the parts of nested ones put together."""
    found: dict[str, Any] = {}
    for column, value in zip(columns, values, strict=True):
        if not column.inner:
            found[column.field] = value
            continue
        parts = found.setdefault(column.field, [{} for _ in value])
        for part, inner in zip(parts, value, strict=True):
            part[column.inner] = inner
    return found


@pytest.mark.parametrize("topic", SOURCES, ids=lambda topic: topic.name)
def test_every_kind_of_source_record_has_its_fields_as_typed_columns(
    history: History, topic: Topic
) -> None:
    recorded = json.loads((WIRE / f"{topic.name}-1.json").read_text("utf-8"))
    history.add(topic, *(bytes.fromhex(entry["value"]) for entry in recorded))
    columns = history_table(topic).columns

    found = history.rows(
        f"SELECT event_type, {', '.join(map(shown, columns))} FROM {topic.table} ORDER BY offset"
    )

    assert len(found) == len(recorded)
    for (kind, *values), entry in zip(found, recorded, strict=True):
        assert kind == entry["type"]
        row = content(columns, values)
        assert {name: row[name] for name in entry["fields"]} == entry["fields"]
        others = [row[name] for name in row.keys() - entry["fields"].keys()]
        assert not any(others), others
