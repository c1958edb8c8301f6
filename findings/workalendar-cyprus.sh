#!/usr/bin/env bash
# workalendar: Cyprus keeps western Easter, and the Assumption in July.
#
# Seen: workalendar 17.0.0 and holidays 0.109. In 2026 the Orthodox Easter Sunday, which Cyprus keeps, is 12 April. workalendar
# says 5 April, with Clean Monday a week early; it has 15 July where the other has 15 August.
# Why it matters here: a due day in Cyprus that is moved to the next working day depends on which of the two is asked.
# Run: findings/workalendar-cyprus.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check workalendar==17.0.0 holidays==0.109
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import date

import holidays
from workalendar.europe import Cyprus

one = {day for day, _ in Cyprus().holidays(2026)}
other = set(holidays.Cyprus(years=2026))
print("only workalendar:", *sorted(map(str, one - other)))
print("only holidays:   ", *sorted(map(str, other - one)))
assert date(2026, 4, 6) in one - other  # Monday after the western Easter
assert date(2026, 4, 13) in other - one  # Monday after the Orthodox one
assert date(2026, 7, 15) in one - other
assert date(2026, 8, 15) in other - one
PYTHON
