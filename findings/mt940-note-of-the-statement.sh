#!/usr/bin/env bash
# mt-940: the information on a whole statement is read as the last payment's own.
#
# Seen: mt-940 5.1.1. In MT940 a field 86 after the closing balances (62F, 64, 65) speaks of the whole statement. The
# reader appends it to the details of the last transaction before it. Output: 'INV-1001\nFees for January follow'.
# Why it matters here: whoever looks for invoice numbers in the details of a payment finds those that the bank's note names.
# Run: findings/mt940-note-of-the-statement.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mt-940==5.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import mt940

STATEMENT = """:20:A1
:25:12345678/0000000001
:28C:1/1
:60F:C250101EUR0,00
:61:2501020102C1500,00NTRFNONREF
:86:INV-1001
:62F:C250102EUR1500,00
:86:Fees for January follow
"""
(payment,) = mt940.parse(STATEMENT)
print(repr(payment.data["transaction_details"]))
assert payment.data["transaction_details"] == "INV-1001\nFees for January follow"
PYTHON
