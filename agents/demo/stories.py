"""Five customers of the demo whose way is written, not drawn, so that it can be told at the end.

One goes through the collection ladder: reminder, call, a promise that is broken, written notice,
hold, a plan that falls behind, lawyer's letter, and payment at last. With the second the business
is ended in good order. The third leaves on its own wish and comes back. The fourth shows credit
decisions (a screening, a limit, a hold, a review) and what goes against them. To the fifth goods go
on credit again after a debt of its was written off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tocsin.agents.demo.script import CLERK, CURRENCY, HEAD, Script
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention

LADDER: Final = "C-LADDER"
RETIRED: Final = "C-RETIRED"
REINSTATED: Final = "C-REINSTATED"
DECIDED: Final = "C-DECIDED"
WRITTEN_OFF: Final = "C-WRITTEN-OFF"
STORY_DAYS: Final = 145
"""The stories begin on the last Monday that is so many days before the end."""

SPAN_DAYS: Final = STORY_DAYS + 7
"""A demo of fewer days has no stories."""

MONDAY_EPOCH_DAY: Final = 4  # 1970-01-05
NOTICE_SHA256: Final = "6f0c" * 16  # of a letter that nobody wrote


def story_facts(last: int, convention: Convention) -> list[Fact]:
    """Facts of these customers up to the epoch day `last`, by sequence time and rank."""
    first = last - STORY_DAYS
    first -= (first - MONDAY_EPOCH_DAY) % 7
    facts = []
    for customer_id, story in STORIES.items():
        script = Script(customer_id, first, story.terms_days, convention)
        story.write(script)
        facts += script.facts
    return sorted(facts, key=lambda fact: fact[:2])


def _climb(script: Script) -> None:
    """Everything that is done before a lawyer, and then the lawyer."""
    script.joins("Alder Marine GmbH", "MEDIUM", "DE", 8_000_000)
    script.invoice(1, "L-1", 2_400_000)
    script.invoice(8, "L-2", 1_800_000)
    script.invoice(14, "L-3", 3_000_000)
    script.contact(35, "EMAIL", "UNANSWERED", "REMINDER")
    script.contact(42, "PHONE", "COOPERATIVE", "CALL", text="will pay the first invoice next week")
    script.say(
        42,
        events.PromiseMade,
        minute=10,
        promise_id="L-promise",
        amount_minor=2_400_000,
        due_date=script.day(49),
        invoice_ids=("L-1",),
        currency=CURRENCY,
        author=CLERK,
    )
    letter = {"attachment_sha256": NOTICE_SHA256}
    script.contact(52, "LETTER", "UNANSWERED", "WRITTEN_NOTICE", **letter)
    script.decides(56, "L-hold", "HOLD", "a promise was broken")
    script.contact(63, "MEETING", "COOPERATIVE", is_confirmed=True, text="asks for instalments")
    dues = (70, 84, 98, 112)
    script.say(
        64,
        events.PlanAgreed,
        plan_id="L-plan",
        instalments=tuple(events.Instalment(script.day(after), 1_800_000) for after in dues),
        author=HEAD,
        reason="a large customer of theirs pays late",
        currency=CURRENCY,
    )
    script.pays(70, "L-1st", 1_800_000)
    script.contact(91, "PHONE", "UNANSWERED", "CALL")
    script.contact(101, "LETTER", "CAME_IN", "LAWYER_LETTER", **letter)
    script.pays(108, "L-2nd", 3_600_000)
    script.pays(112, "L-3rd", 1_800_000)
    script.decides(114, "L-hold", "RELEASE", "all is paid")


def _retire(script: Script) -> None:
    """A customer that costs more than it pays: evaluated, asked to stay on other terms, let go."""
    script.joins("Quartz Foods SA", "SMALL", "FR", 2_000_000)
    for number, (after, complained, resolved, paid) in enumerate(
        ((1, 4, 9, 31), (10, 14, 17, 42), (22, 25, 30, 52), (35, 38, 43, 65), (46, 50, 53, 101)), 1
    ):
        invoice_id, complaint_id = f"R-{number}", f"R-complaint-{number}"
        script.invoice(after, invoice_id, 400_000, cost_minor=430_000)
        script.pays(paid, invoice_id, 400_000, invoice_id)
        script.say(
            complained,
            events.ComplaintOpened,
            complaint_id=complaint_id,
            kind="DEMAND",
            invoice_id=invoice_id,
            text="expects a discount for its patience",
        )
        script.say(
            resolved, events.ComplaintResolved, complaint_id=complaint_id, outcome="REJECTED"
        )
    script.contact(84, "MEETING", "ANSWERED", is_confirmed=True, text="declines the new prices")
    for after, step, reason, money in (
        (72, "PROPOSED", "sold to at a loss, and five unfounded demands", None),
        (77, "EVALUATED", "no other products, no prospect of a better price", None),
        (84, "RETENTION_TRIED", "offered a price list that covers the costs; declined", None),
        (91, "NOTICE_GIVEN", "letter with the reasons and what follows", "COLLECT"),
        (105, "SETTLED", "the last invoice is paid, nothing is in dispute", "COLLECT"),
        (108, "DATA_HANDLED", "contacts barred, invoices kept as the law says", None),
        (112, "COMPLETED", "confirmed to the customer", None),
        (STORY_DAYS - 3, "FOLLOWED_UP", "supplied by a wholesaler now; no hard feelings", None),
    ):
        script.retires(after, step, reason, "SELLER", money_decision=money)


def _reinstate(script: Script) -> None:
    """A customer that leaves on its own wish, too early once, and comes back."""
    script.joins("Harbour Tools BV", "MEDIUM", "NL", 3_000_000)
    for number, (after, paid) in enumerate(((1, 16), (8, 32), (44, 59)), 1):
        script.invoice(after, f"H-{number}", 600_000)
        script.pays(paid, f"H-{number}", 600_000, f"H-{number}")
    dispute: dict[str, Any] = {"dispute_id": "H-dispute", "is_own_fault": False}
    script.say(
        22,
        events.DisputeOpened,
        **dispute,
        invoice_id="H-2",
        amount_minor=120_000,
        currency=CURRENCY,
        reason="QUALITY",
    )
    script.say(31, events.DisputeResolved, **dispute, outcome="REJECTED")
    for after, step, reason in (
        (14, "PROPOSED", "buys through its group from now on"),
        (16, "EVALUATED", "a fair wish; nothing went wrong on our side"),
        (18, "NOTICE_GIVEN", "its notice confirmed, with what is left to settle"),
        (24, "SETTLED", "final statement sent"),
        (25, "DATA_HANDLED", "contacts barred, invoices kept as the law says"),
        (28, "COMPLETED", "tried too early: a dispute is open, and money"),
        (35, "COMPLETED", "all is settled; confirmed to the customer"),
        (49, "REINSTATED", "the group contract fell through; a new limit was agreed"),
    ):
        script.retires(after, step, reason, "CUSTOMER")


def _decide(script: Script) -> None:
    """A new customer, sold to too early, then in spite of a hold; it always pays late."""
    script.joins("Lantern Tools BV", "SMALL", "NL")
    for number, (after, paid) in enumerate(((2, 30), (9, 37), (30, 58)), 1):
        script.invoice(after, f"D-{number}", 500_000)
        script.pays(paid, f"D-{number}", 500_000, f"D-{number}")
    for after, name, kind, outcome, reason in (
        (1, "screening", "SCREENING", None, "new customer"),
        (7, "screening", "SCREENING", "REJECTED", "no accounts are published"),
        (21, "screening-2", "SCREENING", "APPROVED", "accounts sent, the owner vouches"),
        (28, "hold", "HOLD", None, "two invoices late at once"),
        (35, "hold", "RELEASE", None, "the first is paid, the second announced"),
        (126, "review", "REVIEW", "APPROVED", "pays late, and always pays"),
    ):
        script.decides(after, f"D-{name}", kind, reason, outcome=outcome)
    limit = {"outcome": "APPROVED", "limit_minor": 1_500_000, "currency": CURRENCY}
    script.decides(22, "D-limit", "LIMIT", "half of what was asked for", **limit)


def _write_off(script: Script) -> None:
    """A debt that nobody hopes for any more; sales sells again, and this time it is paid."""
    script.joins("Harbour Print Works", "SMALL", "IE")
    script.invoice(1, "W-1", 900_000)
    script.say(
        77,
        events.CreditNoteIssued,
        credit_note_id="W-written-off",
        amount_minor=900_000,
        currency=CURRENCY,
        reason="WRITE_OFF",
        invoice_id="W-1",
    )
    script.invoice(91, "W-2", 600_000)
    script.pays(105, "W-2", 600_000, "W-2")


class Story(Struct, frozen=True):
    """What a customer's way shows, by which terms it buys, and how it goes."""

    title: str
    terms_days: int
    write: Callable[[Script], None]


STORIES: Final = {
    LADDER: Story("through the whole collection ladder", 30, _climb),
    RETIRED: Story("the business ended in good order", 15, _retire),
    REINSTATED: Story("left on its own wish, and came back", 15, _reinstate),
    DECIDED: Story("screened, limited, put on hold, reviewed", 15, _decide),
    WRITTEN_OFF: Story("sold to on credit again after a write-off", 15, _write_off),
}
