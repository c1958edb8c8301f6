#!/usr/bin/env bash
# pycamt: structured remittance information is left out, and all parts of a batch bear one id.
#
# Seen: pycamt 1.1.1. A camt.053 entry of 300.00 holds two payments. Both get the TransactionID of the entry (REF1). The one
# whose invoice is named in RmtInf/Strd/RfrdDocInf has neither RemittanceInformation nor RemittanceInformationFull.
# Why it matters here: a payment table keyed by that id keeps one of the two, and the second names no invoice.
# Run: findings/pycamt-parts-of-a-batch.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycamt==1.1.1
"$folder/venv/bin/python" - <<'PYTHON'
from pycamt.parser import Camt053Parser

STATEMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2025-01-31T20:00:00</CreDtTm></GrpHdr>
<Stmt><Id>S1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2025-01-31T20:00:00</CreDtTm>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-01-30</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">300.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-01-31</Dt></Dt></Bal>
<Ntry><Amt Ccy="EUR">300.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
<BookgDt><Dt>2025-01-31</Dt></BookgDt><ValDt><Dt>2025-01-31</Dt></ValDt><AcctSvcrRef>REF1</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><Btch><NbOfTxs>2</NbOfTxs></Btch>
<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy="EUR">100.00</Amt></TxAmt></AmtDtls>
<RmtInf><Ustrd>INV-1</Ustrd></RmtInf></TxDtls>
<TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy="EUR">200.00</Amt></TxAmt></AmtDtls>
<RmtInf><Strd><RfrdDocInf><Nb>INV-3</Nb></RfrdDocInf></Strd></RmtInf></TxDtls>
</NtryDtls></Ntry>
</Stmt></BkToCstmrStmt></Document>
"""
first, second = Camt053Parser(STATEMENT).get_transactions()
for part in (first, second):
    print(part["TransactionID"], part["Amount"], part.get("RemittanceInformationFull"))
assert first["TransactionID"] == second["TransactionID"] == "REF1"
assert first["RemittanceInformationFull"] == "INV-1"
assert "INV-3" not in str(second)
assert "RemittanceInformation" not in second
PYTHON
