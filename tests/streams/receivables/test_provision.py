"""The provision matrix: published vectors, how its rates are derived, what it falls back on."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest

from tocsin.streams.receivables.invoice_history import Allocation, Receivable
from tocsin.streams.receivables.provision import (
    BUCKETS,
    Cohort,
    Group,
    Parameters,
    bucket_of,
    cohorts,
    provide,
    window_of,
)

EUR = Group("EUR")
ENOUGH = (99,) * 5
SMALL = Group("EUR", "SMALL")


def rated(*permille: int) -> Cohort:
    """A cohort whose loss rates are exactly these."""
    lost = prod(permille)
    return Cohort(99, tuple(lost * 1000 // rate for rate in permille), lost, ENOUGH)


def receivable(
    amount: int, *paid: tuple[int, int] | tuple[int, int, str], due: int = 1000
) -> Receivable:
    """An invoice due on a day, and money by how many days after that it came."""
    money = tuple(
        Allocation(due + late, part, f"P{late}", reason[0] if reason else "")
        for late, part, *reason in paid
    )
    open_minor = amount - sum(each.amount_minor for each in money)
    return Receivable("I1", "EUR", amount, open_minor, 0, due - 30, due, None, money)


def test_the_published_matrix_gives_its_provision() -> None:
    history = {EUR: rated(15, 34, 71, 108, 200)}

    cells = provide(
        [7_000_000_00, 4_000_000_00, 2_500_000_00, 1_000_000_00, 0], EUR, history, Parameters()
    )

    assert [cell.provision_minor for cell in cells] == [
        105_000_00,
        136_000_00,
        177_500_00,
        108_000_00,
        0,
    ]
    assert sum(cell.provision_minor for cell in cells) == 526_500_00


def test_a_loss_rate_is_what_was_lost_over_what_reached_the_bucket() -> None:
    cohort = Cohort(40, (100_000, 80_000, 45_000, 15_000, 0), 3_000, ENOUGH)

    assert cohort.rates == (
        Fraction(3, 100),
        Fraction(375, 10_000),
        Fraction(1, 15),
        Fraction(20, 100),
        None,
    )
    assert cohort.roll_rates[:2] == (Fraction(4, 5), Fraction(9, 16))


def test_history_gives_what_reached_each_bucket_and_what_was_lost() -> None:
    window = window_of(as_of=1180, window_days=100, loss_days=180)
    past = [
        ("SMALL", receivable(1000, (0, 1000))),  # in time
        ("SMALL", receivable(1000, (1, 400), (30, 600))),
        ("SMALL", receivable(1000, (31, 1000))),
        ("LARGE", receivable(1000, (61, 300), (91, 300), (181, 400))),  # 400 came too late
        ("LARGE", receivable(1000, (10, 200, "RETURN"), (90, 500, "WRITE_OFF"))),
        ("LARGE", receivable(1000, due=1001)),  # not old enough to know its end
        ("LARGE", receivable(1000, due=900)),  # before the window
    ]

    found = cohorts(past, window)

    assert found[EUR] == Cohort(5, (4800, 3800, 2800, 1800, 1500), 1200, (5, 4, 3, 2, 2))
    assert found[SMALL] == Cohort(3, (3000, 2000, 1000, 0, 0), 0, (3, 2, 1, 0, 0))


def test_a_segment_with_too_few_invoices_takes_the_rates_of_all() -> None:
    history = {
        EUR: Cohort(100, (1000, 500, 400, 200, 100), 100, ENOUGH),
        SMALL: Cohort(29, (100, 100, 100, 100, 100), 0, ENOUGH),
    }

    few = provide([1000, 0, 0, 0, 0], SMALL, history, Parameters(30))
    enough = provide([1000, 0, 0, 0, 0], SMALL, history, Parameters(29))

    assert (few[0].derived_from, few[0].provision_minor) == (EUR, 100)
    assert (enough[0].derived_from, enough[0].provision_minor) == (SMALL, 0)


def test_an_outlook_raises_every_rate_up_to_the_whole() -> None:
    history = {EUR: Cohort(100, (1000, 500, 400, 200, 100), 100, ENOUGH)}

    cells = provide([1000, 1000, 0, 0, 1000], EUR, history, Parameters(30, 1_250_000))

    assert [cell.provision_minor for cell in cells] == [125, 250, 0, 0, 1000]


def test_without_history_nothing_is_made_up() -> None:
    (first, *_) = provide([1000, 0, 0, 0, 0], EUR, {}, Parameters())

    assert (first.rate, first.provision_minor) == (None, None)


def test_a_rate_that_rests_on_too_little_is_that_of_all_segments_or_unknown() -> None:
    history = {
        EUR: Cohort(200, (1000, 500, 400, 200, 100), 25, (200, 90, 40, 20, 10)),
        SMALL: Cohort(90, (900, 400, 300, 100, 50), 0, (90, 40, 20, 9, 2)),
    }
    open_minor = [0, 0, 0, 0, 472_720_95]

    (*_, over_90) = provide(open_minor, SMALL, history, Parameters())
    (*_, unknown) = provide(open_minor, SMALL, history, Parameters(bucket_items_min=11))

    assert (over_90.derived_from, over_90.rate) == (EUR, Fraction(1, 4))
    assert over_90.provision_minor == 118_180_24
    assert (unknown.rate, unknown.provision_minor) == (None, None)


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(-1, 0), (0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3), (91, 4), (999, 4)],
)
def test_a_bucket_begins_and_ends_on_these_days(days: int, bucket: int) -> None:
    assert bucket_of(days) == bucket
    assert len(BUCKETS) == 5
