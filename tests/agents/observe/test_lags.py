"""How far behind: in records, and in seconds since the records were seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.observe.lags import SEEN_MAX, LagClock, Lags
from tocsin.agents.observe.metrics import Metrics, Program


def test_the_lag_is_the_age_of_the_first_end_beyond_what_was_reached() -> None:
    clock = LagClock()
    for now_s, end in ((0, 10), (5, 20), (10, 20), (15, 30)):
        clock.see(end, now_s)

    assert clock.lag_s(5, 20) == 20
    assert clock.lag_s(10, 20) == 15
    assert clock.lag_s(19, 20) == 15
    assert clock.lag_s(20, 20) == 5
    assert clock.lag_s(30, 20) == 0


def test_who_is_caught_up_has_no_lag_until_something_comes() -> None:
    clock = LagClock()
    clock.see(10, 0)
    assert clock.lag_s(10, 1000) == 0

    clock.see(11, 2000)

    assert clock.lag_s(10, 2003) == 3


@given(st.integers(0, 5 * SEEN_MAX))
def test_a_long_stall_is_still_told_whole(looks: int) -> None:
    clock = LagClock()
    for look in range(looks + 1):
        clock.see(look + 1, float(look))

    assert clock.lag_s(0, looks + 1.0) == looks + 1


def test_places_that_are_no_longer_ours_are_told_no_more() -> None:
    metrics = Metrics(Program.AUDIT)
    lags = Lags(metrics)
    lags.tell({("invoices", 0): (9, 9), ("invoices", 1): (9, 4)}, 0.0)

    oldest_s = lags.tell({("invoices", 1): (9, 4)}, 7.0)

    assert oldest_s == 7.0
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("tocsin_lag")]
    assert lines == [
        'tocsin_lag_records{partition="1",topic="invoices"} 5.0',
        'tocsin_lag_seconds{partition="1",topic="invoices"} 7.0',
    ]
