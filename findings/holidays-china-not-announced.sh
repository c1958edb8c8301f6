#!/usr/bin/env bash
# holidays and workalendar: a year that China has not announced is guessed by one and refused by the other.
#
# Seen: holidays 0.109 and workalendar 17.0.0. China's State Council names days off and weekends worked in exchange a year
# ahead. For 2026 holidays knows six such weekends. For 2028 it knows none and gives the statutory days, with three
# "(observed)" days of its own reckoning, and nothing tells the two kinds of year apart. workalendar raises
# CalendarError for 2026 already.
# Why it matters here: a due date or a term in working days that lies beyond the announced year is a guess, and should say so.
# Run: findings/holidays-china-not-announced.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109 workalendar==17.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import holidays
from workalendar.asia import China
from workalendar.exceptions import CalendarError

warnings.simplefilter("ignore")  # workalendar warns as its module is imported
worked = {
    year: sum(day.year == year for day in holidays.China(years=year).weekend_workdays)
    for year in (2025, 2026, 2028)
}
observed = [name for name in holidays.China(years=2028).values() if "observed" in name]
print(worked, observed)
assert worked[2026] == 6 and worked[2028] == 0
assert len(observed) == 3
try:
    China().holidays(2026)
except CalendarError as error:
    print("workalendar:", error)
else:
    raise AssertionError("workalendar knows 2026 now")
PYTHON
