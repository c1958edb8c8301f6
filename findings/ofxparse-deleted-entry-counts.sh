#!/usr/bin/env bash
# ofxparse: an entry that the bank deletes is read as a second payment, and a foreign currency is dropped.
#
# Seen: ofxparse 0.21. OFX withdraws an entry by a new one with CORRECTFITID and CORRECTACTION DELETE, and says by CURRENCY
# that an amount is not in the statement's currency. ofxparse keeps neither: it lists three credits of 1,500.00, 1,500.00
# and 100.00 without a word of USD. ofxtools 1.1.1 keeps both fields.
# Why it matters here: a customer would be credited twice with money that the bank has taken back.
# Run: findings/ofxparse-deleted-entry-counts.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ofxparse==0.21 ofxtools==1.1.1
"$folder/venv/bin/python" - <<'PYTHON'
from io import BytesIO

from ofxparse import OfxParser
from ofxtools.Parser import OFXTree

STATEMENT = b"""OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>20250131<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>EUR
<BANKACCTFROM><BANKID>1<ACCTID>2<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20250101<DTEND>20250131
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20250130<TRNAMT>1500.00<FITID>1<NAME>ACME</STMTTRN>
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20250130<TRNAMT>1500.00<FITID>2<CORRECTFITID>1<CORRECTACTION>DELETE<NAME>ACME</STMTTRN>
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20250131<TRNAMT>100.00<FITID>3<NAME>ACME<CURRENCY><CURRATE>0.92<CURSYM>USD</CURRENCY></STMTTRN>
</BANKTRANLIST><LEDGERBAL><BALAMT>92.00<DTASOF>20250131</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""
plain = OfxParser.parse(BytesIO(STATEMENT)).account.statement.transactions
tree = OFXTree()
tree.parse(BytesIO(STATEMENT))
full = tree.convert().statements[0].transactions
print([(one.id, str(one.amount)) for one in plain])
print([(one.fitid, one.correctfitid, one.correctaction, one.currency and one.currency.cursym) for one in full])
assert [(one.id, str(one.amount)) for one in plain] == [("1", "1500.00"), ("2", "1500.00"), ("3", "100.00")]
assert not [one for one in plain if {"DELETE", "USD"} & set(map(str, vars(one).values()))]
assert [one.correctaction for one in full] == [None, "DELETE", None]
assert full[2].currency.cursym == "USD"
PYTHON
