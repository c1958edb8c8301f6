"""Rolling windows: when a sum falls by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.rolling_windows import Window

COUNTS = st.dictionaries(st.integers(0, 40), st.integers(1, 9), max_size=12)


@given(COUNTS, st.integers(0, 60), st.integers(1, 45), st.integers(40, 50))
def test_a_sum_falls_on_the_first_day_on_which_it_is_small_enough(
    counts: dict[int, int], left: int, length: int, as_of: int
) -> None:
    window = Window(dict(counts))
    total = window.total(length, as_of)

    def total_on(day: int) -> int:
        return sum(count for at, count in counts.items() if day - length < at <= day)

    later = [day for day in range(as_of + 1, as_of + length + 1) if total_on(day) <= left]
    expected = later[0] if total > left else NEVER
    assert window.shrinks_to(left, length, as_of) == expected
