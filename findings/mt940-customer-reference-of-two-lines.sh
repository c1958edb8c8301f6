#!/usr/bin/env bash
# mt-940: a German KREF+ in field 86 is appended to the reference of field 61, and MREF+ has another name.
#
# Seen: mt-940 5.1.1. The customer reference of field 61 is NONREF (none). With KREF+ in the structured field 86 it becomes
# the two lines 'NONREF\nK1'. The mandate (MREF+) is found under additional_position_reference.
# Why it matters here: a returned direct debit is joined to its invoice by these references; "NONREF" is not all that has to be tested.
# Run: findings/mt940-customer-reference-of-two-lines.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
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
:60F:C250101EUR1500,00
:61:2501020102D1500,00NRTINONREF
:86:109?00RUECKLASTSCHRIFT?20EREF+INV-1001?21KREF+K1?22MREF+M1?23SVWZ+AC04
:62F:C250102EUR0,00
"""
(payment,) = mt940.parse(STATEMENT)
found = {name: payment.data.get(name) for name in ("customer_reference", "end_to_end_reference", "additional_position_reference")}
print(found)
assert found == {
    "customer_reference": "NONREF\nK1",
    "end_to_end_reference": "INV-1001",
    "additional_position_reference": "M1",
}
PYTHON
