#!/usr/bin/env bash
# camt053: the parts of a batch booking come without amounts and without remittance information.
#
# Seen: camt053 0.0.23. A camt.053 entry of 300.00 holds payments of 100.00 and 200.00, each with a reference to an invoice.
# parse_document gives an entry with two details that have an end-to-end id, and no field for amount or remittance.
# Why it matters here: neither payment can be put to an invoice; an entry counted once per detail would be counted twice over.
# Run: findings/camt053-batch-without-amounts.sh (CPython 3.11+, pip). It installs into a temporary folder and ends with 0 while this holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check camt053==0.0.23
"$folder/venv/bin/python" - <<'PYTHON'
from dataclasses import fields

from camt053 import parse_document

STATEMENT = """<?xml version="1.0" encoding="UTF-8"?>
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
(statement,) = parse_document(STATEMENT).statements
(entry,) = statement.entries
print(entry.amount, entry.details)
assert entry.amount == "300.00"
assert [part.end_to_end_id for part in entry.details] == ["E1", "E2"]
assert not {"amount", "remittance_information"} & {field.name for field in fields(entry.details[0])}
assert "INV-1" not in str(entry) and "INV-3" not in str(entry)
PYTHON
