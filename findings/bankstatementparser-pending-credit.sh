#!/usr/bin/env bash
# bankstatementparser: a pending entry looks like a booked one, and a second structured reference is lost.
#
# Seen: bankstatementparser 0.0.29. Of two camt.053 entries one is booked (BOOK, 300.00) and one pending (PDNG, 700.00). The
# table that CamtParser gives has a row for each and no column for the status; the rows add up to 1,000.00 where the
# closing balance is 300.00. Of the booked one's two structured references only the creditor reference is kept.
# Why it matters here: money that the bank has not booked would end a warning; the invoice that the payer named is gone.
# Run: findings/bankstatementparser-pending-credit.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bankstatementparser==0.0.29
"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path
from tempfile import TemporaryDirectory

from bankstatementparser import CamtParser

STATEMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2025-01-31T20:00:00</CreDtTm></GrpHdr>
<Stmt><Id>S1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2025-01-31T20:00:00</CreDtTm>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-01-30</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">300.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-01-31</Dt></Dt></Bal>
<Ntry><Amt Ccy="EUR">300.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2025-01-31</Dt></BookgDt>
<ValDt><Dt>2025-01-31</Dt></ValDt><BkTxCd><Prtry><Cd>NTRF+166</Cd></Prtry></BkTxCd>
<NtryDtls><TxDtls><RmtInf><Strd><RfrdDocInf><Nb>INV-3</Nb></RfrdDocInf></Strd>
<Strd><CdtrRefInf><Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">700.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts><ValDt><Dt>2025-02-03</Dt></ValDt>
<BkTxCd><Prtry><Cd>NTRF+166</Cd></Prtry></BkTxCd>
<NtryDtls><TxDtls><RmtInf><Ustrd>INV-4</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
</Stmt></BkToCstmrStmt></Document>
"""
with TemporaryDirectory() as folder:
    path = Path(folder) / "statement.xml"
    path.write_text(STATEMENT)
    table = CamtParser(str(path)).parse()
rows = table.to_dict("records")
print([(str(row["Amount"]), row["Reference"]) for row in rows], sorted(table.columns))
assert [(str(row["Amount"]), row["Reference"]) for row in rows] == [("300.00", "RF18539007547034"), ("700.00", "INV-4")]
assert not [name for name in table.columns if "stat" in name.lower() or name == "Sts"]
assert not [row for row in rows if "PDNG" in map(str, row.values())]
PYTHON
