"""Which moment is meant: a day to its end in the zone, an instant as it is, never one to come."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tocsin.agents.past.moment import read_moment
from tocsin.agents.settings.errors import InputError
from tocsin.schemas.codec.jsonlines import iso_instant
from tocsin.streams.facts.convention import Convention

BERLIN = Convention(zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-31", "2025-01-31T22:59:59.999Z"),
        ("2025-03-30", "2025-03-30T21:59:59.999Z"),  # the clock is put forward on that day
        ("2025-01-31T08:00:00Z", "2025-01-31T08:00:00.000Z"),
        ("2025-01-31T08:00:00+01:00", "2025-01-31T07:00:00.000Z"),
        ("2025-01-31T08:00", "2025-01-31T08:00:00.000Z"),
    ],
)
def test_a_day_is_meant_to_its_end_and_an_instant_as_it_is(text: str, expected: str) -> None:
    assert iso_instant(read_moment(text, BERLIN)) == expected


def test_today_means_now() -> None:
    today = datetime.now(ZoneInfo(BERLIN.zone)).date().isoformat()

    before = time.time_ns() // 1_000_000
    assert before <= read_moment(today, BERLIN) <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("text", ["yesterday", "2025-02-30", "31.01.2025", "1969-12-31", "2025-13"])
def test_what_is_no_moment_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match=r"write a day like 2025-01-31"):
        read_moment(text, BERLIN)


def test_what_is_to_come_is_refused() -> None:
    tomorrow = datetime.now(ZoneInfo(BERLIN.zone)).date() + timedelta(days=2)

    with pytest.raises(InputError, match="is to come"):
        read_moment(tomorrow.isoformat(), BERLIN)
