"""Who keeps the clock: what closings on the clock topic say, and what a setting may add."""

from __future__ import annotations

import pytest

from tests.unit.conftest import Book, default_document
from tocsin.agents.clock_keeper import Kept, contradiction, judge
from tocsin.agents.settings import load
from tocsin.streams import events
from tocsin.streams.checks import Refusal
from tocsin.streams.sources import BEFORE_ANY_EVENT, CLOCK

JUNE = 1_750_000_000_000


@pytest.mark.parametrize(
    ("closings", "kept"),
    [
        ([], None),
        ([(BEFORE_ANY_EVENT, "feed")], Kept("feed", has_closed=False)),
        (
            [(BEFORE_ANY_EVENT, "system"), (BEFORE_ANY_EVENT, "feed")],
            Kept("feed", has_closed=False),
        ),
        ([(BEFORE_ANY_EVENT, "system"), (JUNE, "system")], Kept("system", has_closed=True)),
        # Topics of before the record: whoever closed last.
        ([(JUNE, "feed"), (JUNE + 1, "system")], Kept("system", has_closed=True)),
        ([(JUNE, "the bank's job")], Kept("feed", has_closed=True)),
        # The load is over: from here on the present.
        ([(JUNE, "feed"), (BEFORE_ANY_EVENT, "system")], Kept("system", has_closed=True)),
    ],
)
def test_the_last_record_says_who_keeps_the_clock(
    closings: list[tuple[int, str]], kept: Kept | None
) -> None:
    assert judge(closings) == kept


def test_a_contradiction_names_both_and_the_mend() -> None:
    settings = load({}, environ={"TOCSIN_CLOCK": "feed"}, discover=False)

    early = str(contradiction(settings, Kept("system", has_closed=False)))
    late = str(contradiction(settings, Kept("system", has_closed=True)))

    assert early.startswith("TOCSIN_CLOCK says that the clock is feed (days close by the events'")
    assert "the topics say that it is system" in early
    assert "leave the setting out" in early
    assert "tocsin topics apply --set clock=feed" in early
    assert "a new topic_prefix and app_id" in late
    assert "topics apply" not in late


def test_the_record_of_the_clocks_keeper_begins_no_day() -> None:
    book = Book(default_document())

    taken = book.take(BEFORE_ANY_EVENT, CLOCK, events.DayClosed(-2, "feed"))

    assert not isinstance(taken, Refusal)
    assert book.desk.state.business_date == 0
    book.add("2025-01-02 invoice I1 100.00 EUR due 2025-02-01")
    assert book.desk.state.business_date > 20_000
    date = book.desk.state.business_date
    book.take(BEFORE_ANY_EVENT, CLOCK, events.DayClosed(-2, "feed"))
    assert book.desk.state.business_date == date
