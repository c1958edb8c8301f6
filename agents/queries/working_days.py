"""The next day on which banks and businesses of some countries work, by a kept list of holidays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import holidays

_EPOCH = date(1970, 1, 1)


def following_of(countries: Iterable[str | None]) -> Callable[[int], int]:
    """From a day (epoch day) to itself, or the next that is a working day in all the countries.

    Countries are ISO 3166 codes; of one that is not listed nothing is known. Only holidays of the
    whole country count, not those of its parts.
    """
    listed = holidays.list_supported_countries()
    calendars = [holidays.country_holidays(each) for each in {*countries} if each in listed]

    def following(day: int) -> int:
        found = _EPOCH + timedelta(days=day)
        while not all(calendar.is_working_day(found) for calendar in calendars):
            found += timedelta(days=1)
        return (found - _EPOCH).days

    return following
