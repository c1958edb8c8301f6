"""Made-up warnings and notices for the tests of the notifier."""

from __future__ import annotations

from typing import Any

from tocsin.agents.notify.outbox import Notice
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning


def warning(number: int = 1, **more: Any) -> RiskWarning:
    fields: dict[str, Any] = {
        "warning_id": f"w{number}",
        "episode_id": f"e{number}",
        "customer_id": "C1",
        "rule": "overdue-amount",
        "subject": "EUR",
        "transition": "RAISED",
        "reason": "THRESHOLD",
        "severity": "HIGH",
        "previous_severity": None,
        "phase": "LIVE",
        "as_of": 20_120,
        "occurred_at": 1_738_310_400_000,
        "value": 3_100_000,
        "threshold": 2_000_000,
        "unit": "MINOR",
        "currency": "EUR",
        "exposure_minor": 3_100_000,
        "evidence": (Evidence(3, 0, 7, "R-1001"),),
        "evidence_count": 1,
        "evidence_digest": "d",
        "clears_when_en": "less than 18,000.00 EUR is past due",
        "clears_when_zh": "逾期低于 18,000.00 EUR",
        "action": "CALL",
        "text_en": "C1 owes 31,000.00 EUR past due",
        "text_zh": "C1 逾期 31,000.00 EUR",
        "action_en": "call",
        "action_zh": "致电",
        "policy_name": "default",
        "policy_version": 1,
        "policy_hash": "h",
    }
    return RiskWarning(**{**fields, **more})


def notice(number: int = 1, **more: Any) -> Notice:
    """A notice of a warning; fields of the warning may be given as well."""
    own = {name: more.pop(name) for name in list(more) if name in Notice.__struct_fields__}
    fields: dict[str, Any] = {
        "receiver": "desk",
        "sequence": number,
        "arrived_at": 0,
        "partition": 0,
        "offset": number,
        "warning": warning(number, **more),
    }
    return Notice(**{**fields, **own})
