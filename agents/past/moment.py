"""Which moment people mean: a day, meant to its end, or an instant."""

from __future__ import annotations

import re
import time
from datetime import date
from typing import Final

from msgspec.structs import replace

from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import EPOCH, instant, parse_instant
from tocsin.streams.facts.convention import Convention, calendar

MEND: Final = "write a day like 2025-01-31, or an instant like 2025-01-31T08:00:00Z"
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


def read_moment(text: str, convention: Convention) -> int:
    """Epoch milliseconds of a moment that has been.

    A day is meant to its last millisecond in the deployment's zone, today up to now. Raises
    InputError.
    """
    now = time.time_ns() // 1_000_000
    try:
        found = parse_instant(text)
    except InputError as error:
        raise InputError(f"--as-of: {text!r} is no moment from 1970 on", mend=MEND) from error
    if _DAY.fullmatch(text):
        day = (date.fromisoformat(text) - EPOCH).days
        if day == calendar(convention).local_date(now):
            return now
        # What closes at midnight has closed with the day's end.
        found = replace(convention, close_after_minutes=0).closes_at(day) - 1
    if found > now:
        raise InputError(
            f"--as-of: {text} is to come, and what will be known then is not known: it is "
            f"{instant(now)}",
            mend=MEND,
        )
    return found
