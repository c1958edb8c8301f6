"""What facts may contain: the limits of every field that is told beside invoices and money."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.events import CustomerEvent
from tocsin.streams.facts.refusals import Code

DAY = 86_400_000
NOW = 20_000 * DAY

PARTS = (events.Instalment(20_000, 1), events.Instalment(20_001, 1))

GOOD: dict[str, CustomerEvent] = {
    "invoice": events.InvoiceIssued("C", "I", NOW, 20_030, 1, "EUR", 0, 20_000),
    "customer": events.CustomerUpdated(
        "C", NOW, size="MICRO", group_id="G", prepayment_basis_points=0
    ),
    "change": events.OrderChanged("C", "H", NOW, "QUANTITY", "O"),
    "order": events.OrderUpdated("C", "O", NOW, 0, 0, "EUR"),
    "service": events.ServiceRecorded("C", "S", NOW, 0),
    "contact": events.ContactLogged(
        "C", "T", NOW, "PHONE", "REFUSED_TO_PAY", "DISPUTE", "", "aF" * 32, "Li"
    ),
    "breach": events.ContractBreached("C", "B", NOW, "RESALE", True, "sold on"),
    "survey": events.SatisfactionReported("C", "Y", NOW, 10),
    "dispute": events.DisputeOpened("C", "D", NOW, "I", 1, "EUR", "PRICE", False),
    "settled": events.DisputeResolved("C", "D", NOW, "PARTLY_ACCEPTED", True),
    "silence": events.SilenceBegan("C", "Q", NOW, "Li", "fair", 20_366),
    "unsilenced": events.SilenceEnded("C", "Q", NOW, "Li", "over"),
    "acknowledged": events.WarningAcknowledged("C", "e", NOW, "Li"),
    "verdict": events.VerdictGiven("C", "e", NOW, "TRUE_ALARM", "Li", "never paid"),
    "promise": events.PromiseMade("C", "P", NOW, 1, "EUR", 20_000, ("I",)),
    "unpromised": events.PromiseWithdrawn("C", "P", NOW, "Li", "by agreement"),
    "plan": events.PlanAgreed("C", "L", NOW, "EUR", PARTS, "Li"),
    "plan over": events.PlanEnded("C", "L", NOW, "REPLACED", "Li", "longer"),
    "limit": events.CreditDecided("C", "E", NOW, "LIMIT", "Li", "new", None, 0, "EUR", 0, 20_000),
    "no limit": events.CreditDecided("C", "E", NOW, "LIMIT", "Li", "new"),
    "retired": events.RetirementAdvanced("C", "R", NOW, "PROPOSED", "SELLER", "Li", "losses"),
    "rating": events.RatingReported("C", NOW, "agency", 30),
    "accounts": events.FinancialsReported("C", NOW, 20_001, "EUR", -(10**15), 10**15, -(10**15)),
    "alert": events.AlertRaised("C", "A", NOW, "INSOLVENCY"),
    "lifted": events.AlertLifted("C", "A", NOW),
}


@pytest.mark.parametrize("name", GOOD)
def test_values_at_the_ends_of_their_ranges_are_accepted(name: str) -> None:
    assert check(GOOD[name], NOW) is None


@pytest.mark.parametrize(
    ("name", "changes", "code", "told"),
    [
        ("invoice", {"cost_minor": -1}, Code.AMOUNT_NEGATIVE, "cost_minor is -1"),
        ("invoice", {"cost_minor": 10**15 + 1}, Code.AMOUNT_TOO_LARGE, "check the unit"),
        ("invoice", {"delivered_on": 20_733}, Code.DATE_ABSURD, "733 days after"),
        ("invoice", {"delivered_on": 19_267}, Code.DATE_ABSURD, "733 days before"),
        ("customer", {"size": "HUGE"}, Code.VALUE_UNKNOWN, "use one of LARGE, "),
        ("customer", {"group_id": ""}, Code.ID_EMPTY, "group_id"),
        ("customer", {"prepayment_basis_points": 10_001}, Code.NUMBER_OUT_OF_RANGE, "0 to 10000"),
        ("change", {"change_id": ""}, Code.ID_EMPTY, "change_id"),
        ("change", {"kind": "QUALITY"}, Code.VALUE_UNKNOWN, "SPECIFICATION"),
        ("change", {"order_id": "a\n"}, Code.ID_UNPRINTABLE, "order_id"),
        ("order", {"open_minor": -1}, Code.AMOUNT_NEGATIVE, "open_minor is -1: send 0 or more"),
        ("order", {"delivered_minor": 10**15 + 1}, Code.AMOUNT_TOO_LARGE, "delivered_minor"),
        ("order", {"currency": "EURO"}, Code.CURRENCY_UNKNOWN, "ISO 4217"),
        ("service", {"minutes": -1}, Code.NUMBER_OUT_OF_RANGE, "minutes is -1"),
        ("service", {"cost_minor": 5}, Code.COST_WITHOUT_CURRENCY, "send both"),
        ("service", {"cost_minor": -5, "currency": "EUR"}, Code.AMOUNT_NEGATIVE, "cost_minor"),
        ("contact", {"channel": "FAX"}, Code.VALUE_UNKNOWN, "EMAIL"),
        ("contact", {"outcome": "SHOUTED"}, Code.VALUE_UNKNOWN, "UNANSWERED"),
        ("contact", {"reason": "PRICE"}, Code.VALUE_UNKNOWN, "DIFFICULTY"),
        ("contact", {"attachment_sha256": "0f"}, Code.DIGEST_MALFORMED, "64 hexadecimal digits"),
        ("contact", {"text": "x" * 10_001}, Code.TEXT_TOO_LONG, "shorten it"),
        ("contact", {"occurred_at": NOW + 3 * DAY}, Code.DATE_ABSURD, "before it happens"),
        ("contact", {"step": "LETTER"}, Code.VALUE_UNKNOWN, "WRITTEN_NOTICE"),
        ("promise", {"amount_minor": 0}, Code.AMOUNT_NOT_POSITIVE, "amount_minor"),
        ("promise", {"due_date": 19_998}, Code.DATE_ABSURD, "2 days before"),
        ("promise", {"invoice_ids": ("I",) * 201}, Code.TOO_MANY_REFERENCES, "at most 200"),
        ("promise", {"invoice_ids": ("",)}, Code.ID_EMPTY, "invoice_ids"),
        ("unpromised", {"reason": " "}, Code.TEXT_EMPTY, "say why"),
        ("plan", {"instalments": ()}, Code.INSTALMENTS_DISORDERED, "has 0 parts"),
        ("plan", {"instalments": PARTS[::-1]}, Code.INSTALMENTS_DISORDERED, "later day"),
        ("plan", {"instalments": PARTS[:1] * 2}, Code.INSTALMENTS_DISORDERED, "later day"),
        (
            "plan",
            {"instalments": (events.Instalment(20_000, 0),)},
            Code.AMOUNT_NOT_POSITIVE,
            "inst",
        ),
        ("plan", {"instalments": (events.Instalment(1, 1),)}, Code.DATE_ABSURD, "instalments"),
        ("plan", {"author": ""}, Code.ID_EMPTY, "author"),
        ("plan over", {"outcome": "KEPT"}, Code.VALUE_UNKNOWN, "CANCELLED"),
        ("limit", {"kind": "BLOCK"}, Code.VALUE_UNKNOWN, "RELEASE"),
        ("limit", {"outcome": "MAYBE"}, Code.VALUE_UNKNOWN, "REJECTED"),
        ("limit", {"limit_minor": -1}, Code.LIMIT_NEGATIVE, "0 for no credit"),
        ("limit", {"currency": None}, Code.LIMIT_WITHOUT_CURRENCY, "send both"),
        ("limit", {"currency": "EURO"}, Code.CURRENCY_UNKNOWN, "ISO 4217"),
        ("limit", {"prepayment_basis_points": 10_001}, Code.NUMBER_OUT_OF_RANGE, "0 to 10000"),
        ("limit", {"until": 19_998}, Code.DATE_ABSURD, "until"),
        ("retired", {"step": "FIRED"}, Code.VALUE_UNKNOWN, "NOTICE_GIVEN"),
        ("retired", {"initiative": "BOTH"}, Code.VALUE_UNKNOWN, "SELLER"),
        ("retired", {"money_decision": "FORGIVE"}, Code.VALUE_UNKNOWN, "WRITE_OFF"),
        ("breach", {"kind": "RUDENESS"}, Code.VALUE_UNKNOWN, "RESALE"),
        ("survey", {"rating": 11}, Code.NUMBER_OUT_OF_RANGE, "send 0 to 10"),
        ("survey", {"rating": -1}, Code.NUMBER_OUT_OF_RANGE, "send 0 to 10"),
        ("dispute", {"amount_minor": 0}, Code.AMOUNT_NOT_POSITIVE, "amount_minor"),
        ("dispute", {"invoice_id": ""}, Code.ID_EMPTY, "invoice_id"),
        ("dispute", {"reason": "MOOD"}, Code.VALUE_UNKNOWN, "DUPLICATE"),
        ("settled", {"outcome": "UPHELD"}, Code.VALUE_UNKNOWN, "PARTLY_ACCEPTED"),
        ("silence", {"expires_on": 20_367}, Code.SILENCE_ENDLESS, "at most 366 days"),
        ("silence", {"expires_on": 19_999}, Code.DATE_ABSURD, "before the silence begins"),
        ("silence", {"author": ""}, Code.ID_EMPTY, "author"),
        ("silence", {"reason": " \t"}, Code.TEXT_EMPTY, "say why"),
        ("unsilenced", {"reason": ""}, Code.TEXT_EMPTY, "reason is blank"),
        ("acknowledged", {"episode_id": ""}, Code.ID_EMPTY, "episode_id"),
        ("verdict", {"verdict": "MAYBE"}, Code.VALUE_UNKNOWN, "FALSE_ALARM, TRUE_ALARM"),
        ("verdict", {"reason": ""}, Code.TEXT_EMPTY, "say why"),
        ("rating", {"notch": 0}, Code.NUMBER_OUT_OF_RANGE, "send 1 to 30"),
        ("rating", {"notch": 31}, Code.NUMBER_OUT_OF_RANGE, "send 1 to 30"),
        ("rating", {"agency": ""}, Code.ID_EMPTY, "agency"),
        ("accounts", {"period_end": 20_002}, Code.DATE_ABSURD, "period_end lies 2 days after"),
        ("accounts", {"liabilities_minor": -1}, Code.AMOUNT_NEGATIVE, "liabilities_minor"),
        ("accounts", {"equity_minor": -(10**15) - 1}, Code.AMOUNT_TOO_LARGE, "equity_minor"),
        ("alert", {"kind": "RUMOUR"}, Code.VALUE_UNKNOWN, "INSOLVENCY"),
        ("lifted", {"alert_id": "x" * 129}, Code.ID_TOO_LONG, "alert_id"),
    ],
)
def test_a_value_beyond_its_range_is_refused_with_code_place_and_remedy(
    name: str, changes: dict[str, Any], code: Code, told: str
) -> None:
    refusal = check(msgspec.structs.replace(GOOD[name], **changes), NOW)

    assert refusal is not None
    assert refusal.code is code
    assert told in refusal.detail
    field = next(iter(changes))
    assert field in refusal.detail


@pytest.mark.parametrize(
    ("topic_id", "date", "code"),
    [
        (4, 20_000, None),
        (6, 20_031, None),
        (4, 20_032, Code.DATE_ABSURD),
        (0, 20_000, Code.TOPIC_NOT_MARKABLE),
        (1, 20_000, Code.TOPIC_NOT_MARKABLE),
        (16, 20_000, Code.TOPIC_NOT_MARKABLE),
    ],
)
def test_only_topics_of_facts_are_marked_complete_and_not_far_ahead(
    topic_id: int, date: int, code: Code | None
) -> None:
    refusal = check(events.SourceCompleted(topic_id, date, "erp"), NOW)

    assert (None if refusal is None else refusal.code) == code
    assert refusal is None or "2 (customers)" in refusal.detail or code is Code.DATE_ABSURD
