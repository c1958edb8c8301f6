"""Arrears relative to what is owed, and the long habit of paying, as rules read them."""

from __future__ import annotations

import pytest

from tests.book import Book, day
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.measures.measure import Parameters
from tocsin.streams.measures.severity import Ladder, Rung
from tocsin.streams.policy.measure_table import MEASURES

LADDER = Ladder((Rung(1, 10, 10), Rung(2, 20, 20)), 10, 10)
OPEN = ("2025-01-02 invoice OLD 300.00 CNY due 2025-02-01",
        "2025-01-02 invoice NEW 900.00 CNY due 2025-03-01")  # fmt: skip


def read(book: Book, name: str, as_of: str, **set_: object) -> tuple[int | None, int]:
    measure = MEASURES[name]
    subject = "CNY" if measure.by_currency else ""
    return measure.read(book.ledger, subject, day(as_of), Parameters(**set_), LADDER)


def paid(*delays: int) -> Book:
    """Invoices due a week apart, each paid so many days late."""
    book, lines = Book(), []
    for number, delay in enumerate(delays):
        due = day("2025-01-10") + 7 * number
        lines.append((due - 5, f"invoice S{number} 100.00 CNY due {epoch_day_text(due)}"))
        lines.append((due + delay, f"payment P{number} 100.00 CNY for S{number}"))
    book.add(*(f"{epoch_day_text(on)} {line}" for on, line in sorted(lines)))
    return book


@pytest.mark.parametrize(
    ("as_of", "value", "turn"),
    [
        ("2025-02-01", 0, "2025-02-02"),  # due today is not past due
        ("2025-02-21", 5, "2025-02-26"),  # 20 days, of a quarter of what is owed
        ("2025-03-01", 7, "2025-03-04"),
        ("2025-03-11", 17, "2025-03-14"),  # 38 days of a quarter, 10 of three
        ("2025-06-30", 90, None),  # no item counts for more
    ],
)
def test_arrears_are_days_past_due_averaged_over_all_that_is_owed(
    as_of: str, value: int, turn: str | None
) -> None:
    book = Book()
    book.add(*OPEN)

    # A day makes it worse by a day at most: that is when it is looked at again.
    expected = NEVER if turn is None else day(turn)
    assert read(book, "arrears_days", as_of) == (value, expected)


def test_money_at_hand_covers_the_oldest_and_a_disputed_part_is_not_owed() -> None:
    book = Book()
    book.add(*OPEN, "2025-01-03 dispute D 900.00 CNY of NEW QUALITY")
    assert read(book, "arrears_days", "2025-02-11")[0] == 10

    book.add("2025-02-12 payment P 200.00 CNY for OLD")
    assert read(book, "arrears_days", "2025-02-21")[0] == 20

    assert read(book, "arrears_days", "2025-02-21", floor_minor={"CNY": 10_001})[0] == 0


def test_beyond_a_habit_of_paying_late_only_what_is_later_counts() -> None:
    book = paid(8, 8, 8, 8)
    book.add("2025-03-01 invoice OPEN 100.00 CNY due 2025-03-10")

    assert read(book, "arrears_days", "2025-03-18", of="beyond_habit")[0] == 0
    assert read(book, "arrears_days", "2025-03-20", of="beyond_habit")[0] == 2
    assert read(book, "arrears_days", "2025-03-20")[0] == 10


def test_an_early_payer_has_no_habit_that_excuses_less_than_the_due_date() -> None:
    book = paid(-4, -4, -4)
    book.add("2025-03-01 invoice OPEN 100.00 CNY due 2025-03-10")

    assert read(book, "arrears_days", "2025-03-12", of="beyond_habit")[0] == 2


@pytest.mark.parametrize(("grace", "late"), [(0, 5_000), (5, 2_500), (15, 2_500), (30, 0)])
def test_a_habit_is_the_share_paid_later_than_the_grace(grace: int, late: int) -> None:
    book = paid(-3, 0, 4, 20)

    assert read(book, "habit_late_share", "2025-04-01", grace_days=grace, minimum=3)[0] == late


def test_a_short_history_is_shrunk_towards_what_is_usual() -> None:
    book = paid(-3, 0, 4, 20)
    prior = {"prior": 2_000, "prior_count": 6, "minimum": 3}

    assert (
        read(book, "habit_late_share", "2025-04-01", **prior)[0] == (2 * 10_000 + 6 * 2_000) // 10
    )
    assert read(book, "habit_late_share", "2025-04-01", minimum=5) == (None, NEVER)


@pytest.mark.parametrize(
    ("delays", "value"), [((-3, -3, -4), -4), ((0, 0, 1), 0), ((10, 10, 13), 11), ((200,) * 3, 45)]
)
def test_a_usual_delay_has_a_sign_and_one_forgotten_invoice_is_no_habit(
    delays: tuple[int, ...], value: int
) -> None:
    assert read(paid(*delays), "habit_delay", "2026-01-01", minimum=3)[0] == value


def test_a_usual_delay_is_shrunk_too() -> None:
    found = read(paid(10, 10, 10), "habit_delay", "2025-04-01", minimum=3, prior=1, prior_count=2)

    assert found[0] == 32 // 5


@pytest.mark.parametrize(
    ("delays", "value"),
    [
        ((0,) * 6 + (12,) * 3, 8),  # 12 now, 4 as a habit
        ((12,) * 6 + (0,) * 3, 0),
        ((0,) * 3 + (12,) * 2, None),  # too few for a habit
    ],
)
def test_later_than_its_habit_is_by_how_much_the_last_were_later(
    delays: tuple[int, ...], value: int | None
) -> None:
    assert read(paid(*delays), "delay_over_habit", "2025-06-01", last=3, baseline=6)[0] == value


@pytest.mark.parametrize(
    ("as_of", "value", "turn"),
    [
        ("2025-02-01", 0, "2025-02-02"),  # due today is not past due
        ("2025-02-21", 2_500, "2025-03-02"),  # 300 of 1,200
        ("2025-03-02", 10_000, "2025-07-01"),  # all of it; in July nothing was invoiced lately
    ],
)
def test_arrears_are_compared_with_what_was_invoiced_lately(
    as_of: str, value: int, turn: str
) -> None:
    book = Book()
    book.add(*OPEN)

    found, on = read(book, "overdue_share", as_of, window_days=180)

    assert found == value
    assert on in (day(turn), NEVER)


def test_dust_is_no_arrears() -> None:
    book = Book()
    book.add(*OPEN)
    few = {"window_days": 180, "floor_minor": {"CNY": 30_001}}

    assert read(book, "overdue_share", "2025-02-21", **few)[0] == 0


@pytest.mark.parametrize(
    ("delays", "usual"), [((0,) * 10, 0), ((0,) * 9 + (4,), 0), ((0,) * 8 + (4, 20), 5),
                          ((40,) * 10, 45)]
)  # fmt: skip
def test_beyond_most_is_beyond_what_nine_of_ten_kept(delays: tuple[int, ...], usual: int) -> None:
    book = paid(*delays)
    book.add("2025-03-01 invoice OPEN 100.00 CNY due 2025-05-10")

    as_of = epoch_day_text(day("2025-05-10") + usual + 3)
    assert read(book, "arrears_days", as_of, of="beyond_most")[0] == 3
    assert read(book, "overdue_age", as_of, of="beyond_most")[0] == 3
