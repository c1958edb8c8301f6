#!/usr/bin/env bash
# Babel and iso4217: the digits after the point differ for fifteen currencies.
#
# Seen: Babel 2.19.0 and iso4217 1.16.20260101. Babel rounds by CLDR, which is about how people write money; ISO 4217 is about
# what the minor unit is. HUF, COP, IDR, IQD and others have none at Babel and two or three at ISO.
# Why it matters here: an amount in minor units that is scaled by one table and printed by the other is a hundred times off; a demand for
# 1,234.56 HUF printed by Babel claims 1,235.
# Run: findings/babel-currency-digits.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0 iso4217==1.16.20260101
"$folder/venv/bin/python" - <<'PYTHON'
from babel.numbers import format_currency, get_currency_precision
from iso4217 import Currency

differ = {
    one.code: (one.exponent, get_currency_precision(one.code))
    for one in Currency
    if one.exponent is not None and one.exponent != get_currency_precision(one.code)
}
shown = format_currency("1234.56", "HUF", locale="en_US")
print(len(differ), differ, shown)
assert len(differ) == 15
assert differ["HUF"] == differ["COP"] == differ["IDR"] == (2, 0)
assert differ["IQD"] == (3, 0)
assert shown == "HUF1,235"
PYTHON
