"""Events as lines: what is read, what is refused, in which order files are read."""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.formats import day, instant
from tocsin.schemas import catalog, jsonlines
from tocsin.schemas.jsonlines import Fact, LineRefused, LinesError
from tocsin.schemas.refused import Code
from tocsin.schemas.registry import packaged_schema
from tocsin.streams.convention import Convention
from tocsin.streams.events import (
    ComplaintOpened,
    ComplaintResolved,
    CreditNoteIssued,
    CustomerErased,
    CustomerUpdated,
    DayClosed,
    Event,
    HoldReleased,
    InvoiceCancelled,
    InvoiceIssued,
    PaymentReceived,
    PaymentReversed,
    PolicyPublished,
    WentLive,
)

BERLIN = Convention(zone="Europe/Berlin")
NOON = int(datetime(2025, 1, 31, 12, tzinfo=UTC).timestamp()) * 1000
DAY = 86_400_000
TODAY = NOON // DAY
INVOICE = InvoiceIssued("C-1", "I-1", NOON, TODAY + 30, 12_345, "EUR")
EVENTS: list[tuple[Event, int]] = [
    (INVOICE, 3),
    (InvoiceIssued("C-1", "I-2", NOON, TODAY, 1, "EUR", NOON + 5), 3),
    (InvoiceCancelled("C-1", "I-1", NOON, "typo"), 3),
    (CreditNoteIssued("C-1", "N-1", NOON, 5, "EUR", "RETURN", "I-1"), 3),
    (PaymentReceived("C-1", "P-1", NOON, 5, "EUR", ("I-1", "I-2")), 4),
    (PaymentReversed("C-1", "P-1", NOON), 4),
    (ComplaintOpened("C-1", "K-1", NOON, "QUALITY", text="生锈\n\u2028"), 5),
    (ComplaintResolved("C-1", "K-1", NOON, "UPHELD"), 5),
    (CustomerUpdated("C-1", NOON, credit_limit_minor=0, credit_limit_currency="EUR"), 2),
    (PolicyPublished("standard", 1, NOON, "{}", "name: standard"), 0),
    (DayClosed(TODAY, "feed"), 1),
]


@pytest.mark.parametrize(("event", "topic_id"), EVENTS, ids=lambda case: type(case).__name__)
def test_every_type_survives_its_line(event: Event, topic_id: int) -> None:
    line = jsonlines.format(event)

    fact = jsonlines.parse(line, 1, BERLIN)

    assert "\n" not in line
    assert fact == Fact(jsonlines.sequence_time(event, BERLIN), topic_id, event)
    assert jsonlines.topic_of(event) == topic_id
    assert jsonlines.parse(line.encode(), 1, BERLIN) == fact


def test_a_line_reads_like_the_record() -> None:
    assert jsonlines.format(INVOICE) == (
        '{"type":"InvoiceIssued","customer_id":"C-1","invoice_id":"I-1",'
        '"occurred_at":"2025-01-31T12:00:00.000Z","due_date":"2025-03-02",'
        '"amount_minor":12345,"currency":"EUR"}'
    )


@given(st.integers(-(10**13), 10**14))
def test_instants_survive_to_the_millisecond(instant: int) -> None:
    event = PaymentReversed("C-1", "P-1", instant)

    assert jsonlines.parse(jsonlines.format(event), 1, BERLIN).event == event


def test_sequence_time_is_the_instant_at_which_a_fact_became_known() -> None:
    late = PaymentReceived("C-1", "P-1", NOON, 5, "EUR", recorded_at=NOON + DAY)
    closing = int(datetime(2025, 2, 1, 5, tzinfo=UTC).timestamp()) * 1000  # 06:00 in Berlin

    assert jsonlines.sequence_time(late, BERLIN) == NOON + DAY
    assert jsonlines.sequence_time(INVOICE, BERLIN) == NOON
    assert jsonlines.sequence_time(DayClosed(TODAY, "feed"), BERLIN) == closing


@pytest.mark.parametrize(
    "event",
    [
        WentLive("ann"),
        HoldReleased(4, 9, True, "ann", "mended"),
        CustomerErased("c_a", "ann", "request 17"),
    ],
)
def test_control_records_without_an_instant_take_it_from_their_line(event: Event) -> None:
    line = jsonlines.format(event, instant=NOON)

    assert jsonlines.parse(line, 1, BERLIN) == Fact(NOON, catalog.CLOCK.topic_id, event)
    with pytest.raises(ValueError, match="no instant of its own"):
        jsonlines.format(event)
    unstamped = line[: line.index(',"recorded_at"')] + "}"
    with pytest.raises(LineRefused, match="recorded_at: is missing; write it like 2025-01-31T08"):
        jsonlines.parse(unstamped, 1, BERLIN)


LINE = jsonlines.format(INVOICE)
STAMPED = ("WentLive", "HoldReleased", "SourceCompleted", "CustomerErased")
REQUIRED = {
    branch["name"]: [
        *(field["name"] for field in branch["fields"] if "default" not in field),
        *(["recorded_at"] if branch["name"] in STAMPED else []),
    ]
    for topic in catalog.SOURCES
    for branch in packaged_schema(topic.name)
}


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("{", Code.NOT_JSON, "one JSON object a line"),
        ("\ufeff" + LINE, Code.NOT_JSON, "save the file as UTF-8, without a byte order mark"),
        ("[]", Code.FIELD_INVALID, "Expected `object`"),
        ("{}", Code.FIELD_INVALID, "type: is missing; write the name of the event"),
        (LINE.replace("Issued", "Mailed"), Code.TYPE_UNKNOWN, "use one of AlertLifted, "),
        (
            LINE.replace("currency", "coin"),
            Code.FIELD_INVALID,
            "coin: is no field of InvoiceIssued",
        ),
        (LINE.replace("12345", "123.45"), Code.FIELD_INVALID, "amount_minor: expected `int`"),
        (LINE.replace("12345", "1" * 20), Code.FIELD_INVALID, "amount_minor: "),
        (LINE.replace("12345", "null"), Code.FIELD_INVALID, "amount_minor: expected `int`"),
        (LINE.replace(".000Z", ""), Code.FIELD_INVALID, "timezone"),
        (LINE.replace("03-02", "02-30"), Code.FIELD_INVALID, "due_date: .*; write it like 2025"),
        (
            '{"type":"DayClosed","date":"9999-12-31","source":"feed"}',
            Code.FIELD_INVALID,
            "no such business day",
        ),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_its_number(
    line: str, code: Code, message: str
) -> None:
    with pytest.raises(LineRefused, match=message) as refused:
        jsonlines.parse(line, 17, BERLIN)

    assert (refused.value.code, refused.value.number) == (code, 17)
    assert refused.value.detail.startswith("line 17: ")


def test_all_that_is_wrong_with_a_line_is_told_at_once() -> None:
    line = json.dumps(
        {
            "type": "PlanAgreed",
            "customer_id": 5,
            "plan": "P-1",
            "occurred_at": "2025-03-01T08:00:00",
            "curency": "EUR",
            "instalments": [
                {"due_date": "2025-02-30", "amount_minor": 100},
                {"due_date": "2025-03-31", "amount_minor": "5.00", "note": "x"},
            ],
        }
    )

    with pytest.raises(LineRefused) as refused:
        jsonlines.parse(line, 3, BERLIN)

    told = {problem.split(":")[0]: problem for problem in refused.value.problems}
    assert told.keys() == {
        "customer_id", "plan", "plan_id", "occurred_at", "curency", "currency", "author",
        "instalments[0].due_date", "instalments[1].amount_minor", "instalments[1].note",
    }  # fmt: skip
    assert told["curency"].endswith("(did you mean currency?)")
    assert told["instalments[1].amount_minor"].endswith("such as 12345 for 123.45")
    assert all(problem in refused.value.detail for problem in refused.value.problems)


def test_a_line_with_very_many_faults_tells_the_first_of_them() -> None:
    line = json.dumps({"type": "WentLive", **{f"x{number}" * 99: 1 for number in range(999)}})

    with pytest.raises(LineRefused) as refused:
        jsonlines.parse(line, 1, BERLIN)

    assert len(refused.value.problems) == 20
    assert len(refused.value.detail) < 5000


@pytest.mark.parametrize("schema", sorted(REQUIRED))
def test_every_type_tells_every_field_that_is_missing(schema: str) -> None:
    with pytest.raises(LineRefused) as refused:
        jsonlines.parse(json.dumps({"type": schema}), 1, BERLIN)

    told = [problem.split(": is missing; write ")[0] for problem in refused.value.problems]
    assert told == REQUIRED[schema]


def facts() -> list[Fact]:
    events = [
        PaymentReceived("C-1", f"P-{n}", NOON + n // 3 * 1000, 5, "EUR")
        if n % 2
        else InvoiceIssued("C-1", f"I-{n}", NOON + n // 3 * 1000, TODAY, 5, "EUR")
        for n in range(60)
    ]
    return [Fact(jsonlines.sequence_time(e, BERLIN), jsonlines.topic_of(e), e) for e in events]


def write(path: Path, lines: list[Fact]) -> Path:
    text = "".join(jsonlines.format(fact.event) + "\n" for fact in lines)
    path.write_text(text + "\n", encoding="utf-8")  # a blank line is nothing
    return path


def test_files_are_read_by_sequence_time_then_rank_then_line(tmp_path: Path) -> None:
    lines = facts()
    random.Random(7).shuffle(lines)
    wanted = sorted(lines, key=lambda fact: fact[:2])  # stable: lines of equal keys stay in order
    write(tmp_path / "b.jsonl", wanted)
    whole = write(tmp_path / "a.jsonl", lines)

    assert list(jsonlines.read([whole], BERLIN)) == wanted
    assert list(jsonlines.read([tmp_path / "b.jsonl"], BERLIN)) == wanted


def test_a_folder_is_read_as_one_sequence(tmp_path: Path) -> None:
    lines = sorted(facts(), key=lambda fact: fact[:2])
    write(tmp_path / "one.jsonl", [fact for fact in lines if fact.topic_id == 3])
    write(tmp_path / "two.jsonl", [fact for fact in lines if fact.topic_id == 4])
    (tmp_path / "notes.txt").write_text("not an event")

    assert list(jsonlines.read([tmp_path], BERLIN)) == lines


def test_all_problems_are_told_at_once_and_before_the_first_event(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", facts())
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f"{LINE}\nnonsense\n{LINE}\n{{}}\n")

    with pytest.raises(LinesError) as error:
        jsonlines.read([good, bad, tmp_path / "none.jsonl"], BERLIN)

    assert [problem.split(";")[0].split(":")[0] for problem in error.value.problems] == [
        f"{bad}, line 2",
        f"{bad}, line 4",
        f"{tmp_path / 'none.jsonl'}",
    ]


def test_a_flood_of_problems_is_cut(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("nonsense\n" * 1000)

    with pytest.raises(LinesError, match="the first 20 problems") as error:
        jsonlines.read([bad], BERLIN)

    assert len(error.value.problems) == 20


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LinesError, match=r"no \*\.jsonl file"):
        jsonlines.read([tmp_path], BERLIN)


@pytest.mark.parametrize("content", ["", "\n", "  \n\n"])
def test_a_file_without_an_event_says_so(content: str, tmp_path: Path) -> None:
    good, empty = write(tmp_path / "good.jsonl", facts()), tmp_path / "empty.jsonl"
    empty.write_text(content)

    with pytest.raises(LinesError) as error:
        jsonlines.read([good, empty], BERLIN)

    assert error.value.problems == (
        f"{empty}: is empty, there is no event in it; write one JSON object a line",
    )
    assert list(jsonlines.read([tmp_path], BERLIN)) == list(jsonlines.read([good], BERLIN))


def test_a_folder_of_empty_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").touch()

    with pytest.raises(LinesError, match=f"{tmp_path}: is empty"):
        jsonlines.read([tmp_path], BERLIN)


def test_a_pipe_is_refused_since_it_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(LinesError, match="which a pipe is not"):
        jsonlines.read([tmp_path / "pipe"], BERLIN)


def at(instant: int) -> Fact:
    return Fact(instant, 3, InvoiceIssued("C-1", f"I-{instant}", instant, TODAY, 5, "EUR"))


def closed(day: int) -> Fact:
    return Fact(BERLIN.closes_at(day), 1, DayClosed(day, "feed"))


def test_days_are_closed_before_the_first_fact_at_or_after_their_closing() -> None:
    closing = BERLIN.closes_at(TODAY)
    lines = [at(NOON), at(closing - 1), at(closing), at(closing + 3 * DAY)]

    read = list(jsonlines.with_closings(lines, BERLIN))

    assert read == [
        *lines[:2],
        closed(TODAY),
        lines[2],
        closed(TODAY + 1),
        closed(TODAY + 2),
        closed(TODAY + 3),
        lines[3],
    ]


def test_days_that_the_facts_close_themselves_are_closed_once() -> None:
    lines = [at(NOON), closed(TODAY), closed(TODAY + 2), at(BERLIN.closes_at(TODAY + 2))]

    read = list(jsonlines.with_closings(lines, BERLIN))

    assert read == [*lines[:2], closed(TODAY + 1), *lines[2:]]


def test_the_day_on_which_clocks_change_closes_by_the_zone() -> None:
    sunday = int(datetime(2025, 3, 30, tzinfo=UTC).timestamp()) // 86_400
    saturday_closes = int(datetime(2025, 3, 30, 4, tzinfo=UTC).timestamp()) * 1000

    read = list(
        jsonlines.with_closings([at(saturday_closes - 1), at(saturday_closes + DAY)], BERLIN)
    )

    assert [fact.instant for fact in read if fact.topic_id == 1] == [
        saturday_closes,
        saturday_closes + DAY,
    ]
    assert read[1].event == DayClosed(sunday - 1, "feed")


def test_a_refused_event_with_a_date_that_no_calendar_has_can_be_shown() -> None:
    micros = 1_735_808_400_000_000  # where milliseconds belong
    text = jsonlines.format(InvoiceIssued("C1", "I1", micros, 2**31 - 1, 100, "EUR"))

    told = json.loads(text)
    assert told["occurred_at"] == "1735808400000000 ms since 1970"
    assert told["due_date"] == "2147483647 days since 1970"
    assert instant(micros) == told["occurred_at"]
    assert day(2**31 - 1) == told["due_date"]
    with pytest.raises(jsonlines.LineRefused, match="FIELD_INVALID"):
        jsonlines.parse(text, 1, Convention())
    assert (day(20_000), instant(1_735_808_400_999)) == ("2024-10-04", "2025-01-02 09:00:00Z")


def test_a_line_longer_than_any_record_is_refused_and_those_after_it_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "events.jsonl"
    good = jsonlines.format(INVOICE)
    monkeypatch.setattr(jsonlines, "LINE_BYTES_MAX", len(good) + 1)

    file.write_text(f"{good}\n" * 2)
    assert [fact.event for fact in jsonlines.read([file], BERLIN)] == [INVOICE] * 2

    for long in (f"{good}  ", "x" * len(good) * 5):
        file.write_text(f"{good}\n{long}\nno event\n{long}")
        with pytest.raises(LinesError) as refused:
            jsonlines.read([file], BERLIN)
        first, second, third = refused.value.problems
        assert f"line 2: is longer than {len(good) + 1} bytes; write one JSON object" in first
        assert "line 3: JSON is malformed" in second
        assert "line 4: is longer" in third


def test_lines_after_a_blank_one_of_any_length_are_found_again_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "events.jsonl"
    before = msgspec.structs.replace(INVOICE, invoice_id="I-0", occurred_at=NOON - 1)
    later, earlier = jsonlines.format(INVOICE), jsonlines.format(before)
    monkeypatch.setattr(jsonlines, "LINE_BYTES_MAX", len(earlier) + 1)
    blank = " " * (2 * len(earlier))

    file.write_text(f"{blank}\n{later}\n{blank}\n{earlier}\n")

    assert [fact.event for fact in jsonlines.read([file], BERLIN)] == [before, INVOICE]
