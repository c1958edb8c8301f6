"""docs/papers.md: one customer from the first reminder to the closed file, every paper as printed.

Made of made-up facts by the functions that `tocsin letter`, `demand` and `dossier` use. Written by
`make docs`; a test compares the file with what this module would write today.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from tocsin.agents.queries.dossier_rules import Attempts, Dossier, Exposure
from tocsin.agents.queries.letters import Asked, Situation, letter_of
from tocsin.agents.queries.offboarding_notice import notice_of
from tocsin.agents.queries.working_days import following_of
from tocsin.agents.render.demand import demand_text
from tocsin.agents.render.letters import print_letter
from tocsin.agents.render.warning_cards import Language
from tocsin.schemas.policies.reference_rates import packaged_rates, read_rates
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    CustomerEvent,
    CustomerUpdated,
    DisputeOpened,
    InvoiceIssued,
    PaymentReceived,
)
from tocsin.streams.receivables.demand import Conditions, demand_of
from tocsin.streams.receivables.invoice_history import ReceivablesAccount, receivables_account_of
from tocsin.streams.receivables.statutory import Parties

FILE: Final = Path("docs") / "papers.md"
SENDER: Final = "Example Supplies"
_EPOCH: Final = date(1970, 1, 1)
_DAY_MS: Final = 86_400_000
_CONVENTION: Final = Convention(zone="UTC")
_ID, _NAME = "C1", "Nordwind"
_HEAD: Final = """# Every paper of one customer

From the first reminder to the closed file, as the commands print it, in text; `--format html`
prints the same on a page. Facts are made up. What counsel must confirm stands on the claim.
"""


def _day(text: str) -> int:
    return (date.fromisoformat(text) - _EPOCH).days


def _noon(text: str) -> int:
    return _day(text) * _DAY_MS + _DAY_MS // 2


def _facts() -> list[CustomerEvent]:
    return [
        CustomerUpdated(_ID, _noon("2025-01-02"), _NAME, country="DE", size="MEDIUM"),
        InvoiceIssued(_ID, "R-1", _noon("2025-01-08"), _day("2025-02-07"), 12_000_00, "EUR"),
        InvoiceIssued(_ID, "R-2", _noon("2025-02-05"), _day("2025-03-07"), 8_000_00, "EUR"),
        DisputeOpened(
            _ID, "D-1", _noon("2025-03-10"), "R-2", 1_500_00, "EUR", "QUALITY", is_own_fault=False
        ),
        PaymentReceived(_ID, "P-1", _noon("2025-03-20"), 2_000_00, "EUR", ("R-l",)),
    ]


def _account(as_of: str) -> ReceivablesAccount:
    facts = [(fact.occurred_at, fact) for fact in _facts()]
    return receivables_account_of(_ID, facts, _CONVENTION, _day(as_of))


def _letter(
    as_of: str, kind: str, language: Language = "en", situation: Situation | None = None
) -> str:
    asked = Asked(kind, language, SENDER)
    found = letter_of(_account(as_of), _day(as_of), situation or Situation(), asked)
    return print_letter(found, "text")


def _demand(as_of: str) -> str:
    parties = Parties("DE", "MEDIUM", "DE", "MEDIUM")
    following = following_of(["DE"])
    reference = read_rates(packaged_rates())
    found = demand_of(_account(as_of), parties, reference, Conditions(), _day(as_of), following)
    return "\n".join(demand_text(found, _NAME, "en"))


def _notice(as_of: str, reasons: tuple[str, ...]) -> tuple[str, str]:
    account = _account(as_of)
    owed = sum(each.open_minor for each in account.receivables) - account.unapplied_minor["EUR"]
    disputes = tuple(fact for fact in _facts() if isinstance(fact, DisputeOpened))
    found = Dossier(
        _ID,
        _NAME,
        _day(as_of),
        "RETENTION_TRIED",
        "SELLER",
        "COLLECT",
        (),
        tuple(_met(rule, as_of) for rule in reasons),
        Attempts(5, 1, 2, {}, {}, "instalments were offered"),
        (Exposure("EUR", owed, owed, owed),),
        disputes,
    )
    notice = notice_of(found, reasons)
    return ("", "") if notice is None else (notice.en, notice.zh)


def _met(rule: str, as_of: str) -> RiskWarning:
    """A standard that is met: of a warning only its rule is told to the customer."""
    return RiskWarning(
        warning_id=rule,
        episode_id=rule,
        customer_id=_ID,
        rule=rule,
        subject="EUR",
        transition="RAISED",
        reason="THRESHOLD",
        severity="HIGH",
        previous_severity=None,
        phase="LIVE",
        as_of=_day(as_of),
        occurred_at=_noon(as_of),
        value=0,
        threshold=0,
        unit="DAYS",
        currency="EUR",
        exposure_minor=0,
        evidence=(),
        evidence_count=0,
        evidence_digest="",
        clears_when_en="",
        clears_when_zh="",
        action="",
        text_en="",
        text_zh="",
        action_en="",
        action_zh="",
        policy_name="default",
        policy_version=1,
        policy_hash="",
    )


def _told() -> Iterator[tuple[str, str]]:
    """Each paper after the words that say when it is written, and by which command."""
    letter = "`tocsin letter C1 --kind {}`"
    noticed = Situation(noticed_on=_day("2025-04-03"))
    english, chinese = _notice("2025-05-20", ("overdue-age", "reminded-in-vain"))
    yield (
        f"2025-02-03, before the first invoice falls due: {letter.format('pre-dunning')}",
        _letter("2025-02-03", "pre-dunning"),
    )
    yield (
        f"2025-02-12, nothing has come: {letter.format('reminder')}",
        _letter("2025-02-12", "reminder"),
    )
    yield (
        f"The same in Chinese: {letter.format('reminder --lang zh')}",
        _letter("2025-02-12", "reminder", "zh"),
    )
    yield (
        "2025-03-24: a part of R-2 is disputed, and 2,000 EUR came under a mistyped number: "
        f"{letter.format('second-reminder')}",
        _letter("2025-03-24", "second-reminder"),
    )
    yield f"2025-04-03: {letter.format('written-notice')}", _letter("2025-04-03", "written-notice")
    yield (
        f"2025-04-22: {letter.format('final-notice')}",
        _letter("2025-04-22", "final-notice", situation=noticed),
    )
    yield (
        "2025-05-06, for counsel: `tocsin demand C1 --seller-country DE --seller-size MEDIUM`",
        _demand("2025-05-06"),
    )
    yield (
        "2025-05-20, the business ends; two reasons were chosen from the standards met: "
        "`tocsin dossier C1 --reason overdue-age --reason reminded-in-vain`",
        f"{english}\n\n{chinese}",
    )
    yield f"2025-05-20, with it: {letter.format('statement')}", _letter("2025-05-20", "statement")


def render() -> str:
    """The whole document."""
    parts = [_HEAD]
    for words, paper in _told():
        parts.append(f"\n{words}\n\n```text\n{paper.strip()}\n```\n")
    return "".join(parts)


def main() -> None:
    """Write the file."""
    FILE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
