"""Measures of money, paying and turnover: published vectors, both sides of every threshold."""

from __future__ import annotations

import pytest

from tests.book import Book, day
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import ALL
from tocsin.streams.measures.measure import Parameters, Reading
from tocsin.streams.measures.payment_delay import index_of
from tocsin.streams.measures.severity import build_ladder
from tocsin.streams.policy.measure_table import MEASURES

LADDER = build_ladder({1: 2_000, 2: 4_000}, 1_000)


def reading(
    book: Book, name: str, as_of: str, parameters: Parameters, subject: str = "CNY"
) -> Reading:
    """Value and turn of a measure, as a day's opening finds them."""
    book.ledger.affected = ALL
    return MEASURES[name].read(book.ledger, subject, day(as_of), parameters, LADDER)


def value(
    book: Book, name: str, as_of: str, parameters: Parameters, subject: str = "CNY"
) -> int | None:
    """Value of a measure."""
    return reading(book, name, as_of, parameters, subject)[0]


# Due on 1 March 2025: these days later it is 0, 1, 30, ... days past due.
AGES = (
    ("2025-03-01", 0),
    ("2025-03-02", 1),
    ("2025-03-31", 30),
    ("2025-04-01", 31),
    ("2025-04-30", 60),
    ("2025-05-01", 61),
    ("2025-05-30", 90),
    ("2025-05-31", 91),
)


@pytest.mark.parametrize(("as_of", "age"), AGES)
def test_aging_buckets_begin_the_day_after(as_of: str, age: int) -> None:
    """Current up to the due day, then 1-30, 31-60, 61-90, beyond 90 days past due."""
    book = Book()
    book.add("2025-02-01 invoice A 100 CNY due 2025-03-01")
    for bucket in (0, 30, 60, 90):
        parameters = Parameters(grace_days=bucket)
        is_beyond = age > bucket
        assert value(book, "overdue_amount", as_of, parameters) == (10_000 if is_beyond else 0)
    assert value(book, "overdue_age", as_of, Parameters()) == age


@pytest.mark.parametrize(
    ("due", "first"),
    [
        ("2024-02-28", "2024-02-29"),
        ("2024-02-29", "2024-03-01"),
        ("2025-02-28", "2025-03-01"),
        ("2024-12-31", "2025-01-01"),
        ("2025-03-29", "2025-03-30"),
        ("2025-10-25", "2025-10-26"),
    ],
)
def test_past_due_begins_the_next_calendar_day_whatever_the_month(due: str, first: str) -> None:
    """Month ends, 29 February, and the days on which clocks change in Europe."""
    book = Book()
    book.add(f"{due} 08:00 invoice A 100 CNY due {due}")
    assert value(book, "overdue_age", due, Parameters()) == 0
    assert value(book, "overdue_age", first, Parameters()) == 1
    assert reading(book, "overdue_age", due, Parameters())[1] == day(first)


def test_disputed_items_have_no_age() -> None:
    book = Book()
    book.add(
        "2025-01-01 invoice A 100 CNY due 2025-01-10",
        "2025-01-01 invoice B 100 CNY due 2025-01-20",
        "2025-01-05 dispute D 100 CNY of A PRICE",
    )
    assert value(book, "overdue_age", "2025-02-01", Parameters()) == 12
    assert value(book, "overdue_amount", "2025-02-01", Parameters()) == 10_000


ORDERS = Parameters(include=("orders", "delivered"))


@pytest.mark.parametrize(
    ("order", "held"), [("4,500", True), ("4,000", False), ("4,000.01", False), ("4,001", True)]
)
def test_an_order_beyond_the_limit_is_held_and_one_up_to_it_passes(order: str, held: bool) -> None:
    """Limit 10,000, ninety percent of it may be used, balance 5,000: more than 9,000 is held.

    More than ninety percent is written 90.01 percent; a hundredth of a percent is rounded down.
    """
    book = Book()
    book.add(
        "2025-01-01 limit 10,000 CNY",
        "2025-01-01 invoice A 5,000 CNY due 2025-02-01",
        f"2025-01-02 order O {order} CNY",
    )
    found = value(book, "credit_utilisation", "2025-01-02", ORDERS)
    assert found is not None
    assert (found >= 9_001) == held


def test_exposure_is_receivables_and_the_parts_named_less_money_at_hand() -> None:
    book = Book()
    book.add(
        "2025-01-01 limit 10,000 CNY",
        "2025-01-01 invoice A 5,000 CNY due 2025-02-01",
        "2025-01-02 order O 2,000 CNY delivered 1,000",
        "2025-01-02 payment P 500 CNY for X",
    )
    found = {
        parts: value(book, "credit_utilisation", "2025-01-02", Parameters(include=parts))
        for parts in ((), ("orders",), ("delivered",), ("orders", "delivered"))
    }
    assert found == {
        (): 4_500,
        ("orders",): 6_500,
        ("delivered",): 5_500,
        ("orders", "delivered"): 7_500,
    }


def test_without_orders_or_without_a_limit_there_is_nothing_to_tell() -> None:
    book = Book()
    book.add("2025-01-01 invoice A 5,000 CNY due 2025-02-01")
    assert value(book, "credit_utilisation", "2025-01-02", ORDERS) is None
    book.add("2025-01-01 limit 1,000 CNY")
    assert value(book, "credit_utilisation", "2025-01-02", ORDERS) == 0


def test_a_disputed_part_stays_in_the_exposure() -> None:
    book = Book()
    book.add(
        "2025-01-01 limit 10,000 CNY",
        "2025-01-01 invoice A 5,000 CNY due 2025-02-01",
        "2025-01-05 dispute D 5,000 CNY of A PRICE",
    )
    assert value(book, "credit_utilisation", "2025-01-05", Parameters()) == 5_000


def test_concentration_is_the_largest_open_item_of_what_is_open() -> None:
    book = Book()
    three = Parameters(minimum=3)
    book.add(
        "2025-01-01 invoice A 50 CNY due 2025-02-01", "2025-01-01 invoice B 30 CNY due 2025-03-01"
    )
    assert value(book, "largest_item_share", "2025-01-02", three) == 0, "two items are too few"
    book.add("2025-01-02 invoice C 20 CNY due 2025-02-01")
    assert value(book, "largest_item_share", "2025-01-02", three) == 5_000
    book.add("2025-01-03 payment P 40 CNY for A")
    assert value(book, "largest_item_share", "2025-01-03", three) == 5_000, "now it is B of 60"
    book.add("2025-01-04 invoice D 90 CNY due 2025-02-01")
    assert value(book, "largest_item_share", "2025-01-04", three) == 6_000
    floor = Parameters(minimum=3, floor_minor={"CNY": 15_001})
    assert value(book, "largest_item_share", "2025-01-04", floor) == 0


def test_prepayment_is_missing_as_far_as_money_at_hand_does_not_cover_it() -> None:
    book = Book()
    book.add("2025-01-01 limit none prepay 30%", "2025-01-02 order O 900 CNY delivered 100")
    none = Parameters()
    assert value(book, "prepayment_missing", "2025-01-02", none) == 30_000
    book.add("2025-01-03 payment P 299.99 CNY")
    assert value(book, "prepayment_missing", "2025-01-03", none) == 1
    book.add("2025-01-03 payment Q 0.01 CNY")
    assert value(book, "prepayment_missing", "2025-01-03", none) == 0
    book.add("2025-01-04 limit none")
    assert value(book, "prepayment_missing", "2025-01-04", none) is None


def paid(book: Book, name: str, amount: str, delay_days: int) -> None:
    """An invoice due on 1 March 2025 that was paid so many days late."""
    book.add(f"2025-01-02 invoice {name} {amount} CNY due 2025-03-01 on 2025-01-01")
    on = day("2025-03-01") + delay_days
    book.add(f"2025-12-01 payment P{name} {amount} CNY for {name} on {epoch_day_text(on)}")


def test_days_beyond_terms_are_weighted_by_amount() -> None:
    """(1,000; ten days late) and (3,000; two days early) are one day late on average."""
    book = Book()
    paid(book, "A", "1,000", 10)
    paid(book, "B", "3,000", -2)
    both = Parameters(last=12, minimum=2)
    assert value(book, "weighted_delay", "2025-12-01", both) == 1
    assert value(book, "weighted_delay", "2025-12-01", Parameters(last=1, minimum=1)) == 0
    assert value(book, "weighted_delay", "2025-12-01", Parameters(last=12, minimum=3)) is None
    assert value(book, "weighted_delay", "2025-12-01", both, "EUR") is None


CHART = (
    *((99, -29), (89, -18), (88, -16), (87, -14), (86, -12), (85, -10), (59, 23), (58, 24)),
    *((57, 25), (56, 26), (55, 26), (54, 27), (53, 28), (52, 29), (51, 29), (49, 33)),
    *((48, 36), (47, 39), (46, 42), (45, 45), (44, 48)),
)


@pytest.mark.parametrize(("points", "days"), CHART)
def test_the_payment_index_meets_the_published_chart_within_a_point(points: int, days: int) -> None:
    assert abs(index_of(days) - points * 100) <= 100


@pytest.mark.parametrize(
    ("days", "points"),
    [
        (-31, 100),
        (-30, 100),
        (-20, 90),
        (0, 80),
        (15, 70),
        (22, 60),
        (30, 50),
        (60, 40),
        (90, 30),
        (120, 20),
        (121, 20),
    ],
)
def test_the_payment_index_passes_through_its_points_and_is_level_outside(
    days: int, points: int
) -> None:
    assert index_of(days) == points * 100


def test_the_payment_index_never_rises_with_the_delay() -> None:
    found = [index_of(days) for days in range(-40, 131)]
    assert found == sorted(found, reverse=True)


def test_sixty_percent_prompt_and_forty_percent_a_month_late_give_an_index_of_68() -> None:
    book = Book()
    paid(book, "A", "600", 0)
    paid(book, "B", "400", 30)
    both = Parameters(last=12, minimum=2)
    assert value(book, "payment_index", "2025-12-01", both) == 10_000 - 6_800


def test_lateness_is_judged_without_what_is_excused_unless_gross_is_asked_for() -> None:
    book = Book()
    book.add("2025-01-02 invoice A 100 CNY due 2025-03-01")
    book.add("2025-02-01 dispute D 100 CNY of A QUALITY", "2025-03-31 payment P 100 CNY for A")
    net, gross = Parameters(last=4, minimum=1), Parameters(last=4, minimum=1, of="gross")
    for name, subject in (("late_share", ""), ("weighted_delay", "CNY"), ("payment_index", "CNY")):
        found = value(book, name, "2025-04-01", net, subject)
        told = value(book, name, "2025-04-01", gross, subject)
        assert (found, told) == {
            "late_share": (0, 10_000),
            "weighted_delay": (0, 30),
            "payment_index": (2_000, 5_000),
        }[name]


COST = Parameters(of="cost", per="costed", window_days=30)


@pytest.mark.parametrize(
    ("cost", "share"), [("90", 9_000), ("99.99", 9_999), ("100", 10_000), ("100.01", 10_001)]
)
def test_cost_above_the_price_is_a_loss(cost: str, share: int) -> None:
    book = Book()
    book.add(
        f"2025-01-10 invoice A 100 CNY due 2025-02-10 cost {cost}",
        "2025-01-10 invoice B 900 CNY due 2025-02-10",
    )
    assert value(book, "amount_share", "2025-01-10", COST) == share, "B's cost is not known"


def test_a_share_of_amounts_needs_a_least_turnover_and_looks_back_on_its_window_only() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 100 CNY due 2025-02-10 cost 90")
    for floor, found in ((10_000, 9_000), (10_001, None)):
        parameters = Parameters(of="cost", per="costed", window_days=30, floor_minor={"CNY": floor})
        assert value(book, "amount_share", "2025-01-10", parameters) == found
    assert reading(book, "amount_share", "2025-02-08", COST) == (9_000, day("2025-02-09"))
    assert value(book, "amount_share", "2025-02-09", COST) == 0


def test_deductions_are_measured_against_what_was_invoiced() -> None:
    book = Book()
    book.add(
        "2025-01-10 invoice A 100 CNY due 2025-02-10",
        "2025-01-12 credit C 7 CNY PRICE for A",
        "2025-01-12 credit R 50 CNY RETURN for A",
    )
    parameters = Parameters(of="deductions", per="invoiced", window_days=30)
    assert value(book, "amount_share", "2025-01-12", parameters) == 700
    # On 9 February the invoice leaves the window, and with it what the credit was compared with.
    assert reading(book, "amount_share", "2025-01-12", parameters)[1] == NEVER


SPEND = Parameters(window_days=30, floor_minor={"CNY": 10_000})


def test_who_buys_less_than_expected_falls_short_once_known_for_a_whole_window() -> None:
    book = Book()
    book.add(
        "2025-01-10 invoice A 100 CNY due 2025-02-10", "2025-01-20 invoice B 70 CNY due 2025-02-10"
    )
    assert reading(book, "turnover_shortfall", "2025-01-20", SPEND) == (None, day("2025-02-09"))
    assert reading(book, "turnover_shortfall", "2025-02-09", SPEND) == (3_000, day("2025-02-19"))
    assert value(book, "turnover_shortfall", "2025-02-18", SPEND) == 3_000
    assert value(book, "turnover_shortfall", "2025-02-19", SPEND) == 10_000
    assert value(book, "turnover_shortfall", "2025-02-19", SPEND, "EUR") is None


def test_enough_turnover_is_no_shortfall_and_says_when_it_could_become_one() -> None:
    book = Book()
    book.add(
        "2025-01-01 invoice A 10 CNY due 2025-02-10", "2025-02-01 invoice B 300 CNY due 2025-03-10"
    )
    assert reading(book, "turnover_shortfall", "2025-02-05", SPEND) == (0, day("2025-03-03"))
    assert value(book, "turnover_shortfall", "2025-03-02", SPEND) == 0
    assert value(book, "turnover_shortfall", "2025-03-03", SPEND) == 10_000


def test_measures_that_only_events_change_never_ask_for_a_day() -> None:
    book = Book()
    book.add("2025-01-01 limit 1 CNY prepay 10%", "2025-01-02 order O 5 CNY")
    book.add("2025-01-02 invoice A 9 CNY due 2025-01-03", "2025-01-03 payment P 9 CNY for A")
    for measure in MEASURES.values():
        if not measure.moves_by_time and measure.by_currency:
            parameters = Parameters(last=4, minimum=1)
            assert (
                measure.read(book.ledger, "CNY", day("2025-01-04"), parameters, LADDER)[1] == NEVER
            )


def test_a_share_says_the_day_on_which_older_invoices_take_it_over_a_threshold() -> None:
    """A good invoice leaves first: from then on the loss on the second one is all there is."""
    book = Book()
    book.add(
        "2025-01-10 invoice A 100 CNY due 2025-02-10 cost 10",
        "2025-01-20 invoice B 100 CNY due 2025-02-10 cost 50",
    )
    assert reading(book, "amount_share", "2025-01-20", COST) == (3_000, day("2025-02-09"))
    assert reading(book, "amount_share", "2025-02-09", COST) == (5_000, day("2025-02-19"))
    for number in range(12):
        book.add(f"2025-02-{10 + number} invoice C{number} 100 CNY due 2025-03-10 cost 25")
    found, turn = reading(book, "amount_share", "2025-02-21", COST)
    assert (found, turn) == (2_500, day("2025-03-19")), "eight days ahead it is looked at anew"
