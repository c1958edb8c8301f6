"""Examples for the help of every command, without the leading `tocsin`.

A test parses each of them, and misses those of a command that has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "demo": ("demo", "demo --customers 2000 --days 365 --seed 7", "demo --exit --json"),
    "up": ("up", "up --registry --data-dir ~/tocsin"),
    "worker": ("worker", "worker --config tocsin.toml"),
    "audit": ("audit", "audit --clickhouse-url https://clickhouse:8443/tocsin"),
    "intake": ("intake mapping.yaml",),
    "web": ("web", "web --new-token maria --role operator"),
    "notify": ("notify notify.yaml --check", "notify notify.yaml", "notify notify.yaml --dead"),
    "completion": (
        "completion bash > ~/.local/share/bash-completion/completions/tocsin",
        "completion fish > ~/.config/fish/completions/tocsin.fish",
    ),
    "topics": ("topics apply", "topics check"),
    "topics apply": (
        "topics apply",
        "topics apply --set clock=feed",
        "topics apply --fix --set replication_factor=3",
    ),
    "topics check": ("topics check", "topics check --json"),
    "topics manifest": ("topics manifest --format strimzi",),
    "migrate": ("migrate",),
    "policy": ("policy lint policy.yaml", "policy show overdue-age"),
    "policy lint": ("policy lint policy.yaml --events events.jsonl",),
    "policy show": (
        "policy show overdue-age --customer C1",
        "policy show --packaged --source > policy.yaml",
    ),
    "policy diff": ("policy diff packaged policy.yaml",),
    "policy publish": ("policy publish policy.yaml",),
    "policy fit": ("policy fit --rule overdue-amount --share 10",),
    "policy signals": ("policy signals",),
    "complete": ("complete payments 2025-01-31",),
    "go-live": ("go-live", "go-live --at 2025-01-31T08:00:00Z"),
    "warnings": (
        "warnings --open --severity HIGH",
        "warnings --follow --live",
        "warnings --customer C1 --since 2025-01-31 --json",
    ),
    "worklist": ("worklist --budget 12", "worklist --owner maria --lang zh"),
    "customer": ("customer C1", "customer C1 --events 50"),
    "explain": ("explain 2f1d",),
    "contacts": ("contacts C1 --since 2025-01-01",),
    "dossier": ("dossier C1", "dossier C1 --lang zh"),
    "bundle": ("bundle C1 --out evidence.zip", "bundle --verify evidence.zip --offline"),
    "demand": (
        "demand C1 --seller-country CN --seller-size SMALL",
        "demand C1 --as-of 2025-03-31 --lang zh",
    ),
    "letter": (
        "letter C1 --kind reminder --sender 'Example Ltd' --out reminder.txt --sent",
        "letter C1 --kind statement --format html --lang zh --out statement.html",
    ),
    "provision": ("provision", "provision --as-of 2025-03-31"),
    "sql": (
        'sql "SELECT * FROM v_aging"',
        'sql "SELECT count() FROM warnings FINAL" --json',
        'sql "SELECT * FROM v_aging" --out aging.parquet',
        'sql "SELECT * FROM v_aging FORMAT Markdown"',
    ),
    "log": (
        "log contact C1 --channel phone --outcome answered",
        "log acknowledge 2f1d --note 'in talks with the owner'",
    ),
    "log contact": (
        "log contact C1 --channel phone --outcome refused-to-pay --reason dispute",
        "log contact C1 --channel letter --outcome unanswered --step written-notice",
    ),
    "log dispute": ("log dispute C1 --invoice R-1001 --amount '500 EUR' --reason quality",),
    "log dispute-resolved": ("log dispute-resolved C1 --id D-1 --outcome accepted --our-fault",),
    "log promise": ("log promise C1 --amount '1,200.50 EUR' --due 2025-04-15 --invoice R-1001",),
    "log promise-withdrawn": ("log promise-withdrawn C1 --id P-1 --reason 'a plan replaces it'",),
    "log plan": (
        "log plan C1 --instalment '2025-04-30=500 EUR' --instalment '2025-05-31=700.50 EUR'",
    ),
    "log refund": ("log refund C1 --amount '120 EUR' --payment P-9 --reason 'paid twice'",),
    "log reversal": ("log reversal C1 --id P-9 --kind bounced --bank-code AM04",),
    "log write-off": (
        "log write-off C1 --invoice R-1001 --amount '900 EUR' --note 'the estate has nothing left'",
    ),
    "log withheld-tax": (
        "log withheld-tax C1 --invoice R-1001 --amount '150 EUR' --note 'certificate 2025-17'",
    ),
    "log bank-fee": (
        "log bank-fee C1 --invoice R-1001 --amount '12.50 EUR' --note 'kept by the bank abroad'",
    ),
    "log credit-note-cancelled": (
        "log credit-note-cancelled C1 --id N-4 --reason 'it was meant for another invoice'",
    ),
    "log plan-ended": ("log plan-ended C1 --id L-1 --outcome cancelled --reason 'in arrears'",),
    "log hold": ("log hold C1 --reason 'over its limit'",),
    "log release": ("log release C1 --until 2025-04-30 --reason 'days of grace'",),
    "log limit": ("log limit C1 --amount '25000 EUR' --reason 'yearly review'",),
    "log prepayment": ("log prepayment C1 --share 30% --reason 'late payer'",),
    "log review": ("log review C1 --outcome approved --reason 'accounts of 2024'",),
    "log screening": ("log screening C1 --outcome rejected --reason 'no references'",),
    "log retire": ("log retire C1 --step proposed --reason 'grade E for a year'",),
    "log breach": ("log breach C1 --kind acceptance --serious",),
    "log satisfaction": ("log satisfaction C1 --rating 3",),
    "log alert": ("log alert C1 --kind court --text 'sued by a supplier'",),
    "log alert-lifted": ("log alert-lifted C1 --id A-1",),
    "log order-change": ("log order-change C1 --kind quantity --order O-7",),
    "log service": ("log service C1 --minutes 90",),
    "log silence": ("log silence C1 --until 2025-04-30 --rule overdue-age --reason 'we talk'",),
    "log silence-ended": ("log silence-ended C1 --id S-1 --reason 'the talks failed'",),
    "log acknowledge": ("log acknowledge 2f1d --note 'in talks with the owner'",),
    "log verdict": ("log verdict 2f1d --verdict false-alarm --reason 'paid, booked late'",),
    "generate": (
        "generate --customers 100 --days 365 --seed 7 --out portfolio.jsonl",
        "generate --family adversarial --days 730 --out hard.jsonl",
    ),
    "shadow": ("shadow", "shadow --since 2025-03-01 --rule overdue-age --json"),
    "produce": ("produce events.jsonl", "produce portfolio.jsonl --rate 500"),
    "replay": (
        "replay",
        "replay --events events.jsonl --policy policy.yaml --out warnings.jsonl",
    ),
    "backtest": (
        "backtest --events events.jsonl --report backtest.html",
        "backtest --events events.jsonl --policy default --policy policy.yaml --harm H30 --json",
        "backtest --history --policy policy.yaml",
        "backtest --events events.jsonl --policy default --sweep overdue-age.raise_at=5..30/26 "
        "--budget 50",
    ),
    "verify": (
        "verify",
        "verify --wait 60 --json",
        "verify --anchor anchors/tocsin-000042.anchor --only topics",
    ),
    "anchor": ("anchor key", "anchor export --to anchors"),
    "anchor key": ("anchor key", "anchor key --set anchor_key_file=/etc/tocsin/anchor.key"),
    "anchor export": ("anchor export --to anchors",),
    "doctor": ("doctor", "doctor --settings", "doctor --role worker --json"),
    "keys": ("keys init", "keys list"),
    "keys init": ("keys init --set privacy=true",),
    "keys list": ("keys list --json",),
    "keys rotate": ("keys rotate", "keys rotate --customer C1"),
    "keys token": ("keys token C1",),
    "erase": ("erase C1 --reason 'request 17 of 2025'",),
    "dead-letters": ("dead-letters list", "dead-letters release payments --help"),
    "dead-letters list": ("dead-letters list --topic payments --limit 20",),
    "dead-letters show": ("dead-letters show payments/0/17",),
    "dead-letters resend": (
        "dead-letters resend payments/0/17",
        "dead-letters resend --code KEY_MISMATCH",
    ),
    "dead-letters release": (
        "dead-letters release payments --partition 0 --reason 'the feed is mended'",
    ),
    "gap": ("gap accept payments/3 --reason 'the bank sends them again'",),
    "gap accept": ("gap accept payments/3 --reason 'the bank sends them again'",),
    "rebuild": ("rebuild", "rebuild --replace"),
    "reset": ("reset", "reset --yes"),
    "reshard": ("reshard copy --to tocsin2 --partitions 12",),
    "reshard copy": ("reshard copy --to tocsin2 --partitions 12",),
    "reshard compare": ("reshard compare --to tocsin2 --partitions 12 --json",),
}


def epilog(path: str) -> str:
    """The part of a command's help that shows its examples; empty if it has none."""
    lines = "\n".join(f"  tocsin {line}" for line in EXAMPLES.get(path, ()))
    return f"\b\nExamples:\n{lines}" if lines else ""
