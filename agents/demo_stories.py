"""Four customers of the demo whose way is written, not drawn, so that it can be told at the end.

One goes through the collection ladder: reminder, call, a promise that is broken, written notice,
hold, a plan that falls behind, lawyer's letter, and payment at last. With the other the business is
ended in good order. The third shows credit decisions (a screening, a limit, a hold, a review) and
what goes against them. The fourth leaves on its own wish and comes back. All are told from what
was decided, day by day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from tocsin.agents.demo_reinstated import reinstate
from tocsin.agents.events_told import tell
from tocsin.agents.formats import day
from tocsin.agents.portfolio import MS_PER_MINUTE
from tocsin.agents.terminal import Column, Terminal
from tocsin.schemas.jsonlines import Fact, topic_of
from tocsin.streams import events
from tocsin.streams.convention import Convention
from tocsin.streams.decisions import RiskWarning
from tocsin.streams.events import CustomerEvent

LADDER: Final = "C-LADDER"
RETIRED: Final = "C-RETIRED"
REINSTATED: Final = "C-REINSTATED"
DECIDED: Final = "C-DECIDED"
STORY_DAYS: Final = 145
"""The stories begin on the last Monday that is so many days before the end."""

SPAN_DAYS: Final = STORY_DAYS + 7
"""A demo of fewer days has no stories."""

MONDAY_EPOCH_DAY: Final = 4  # 1970-01-05

NINE_O_CLOCK: Final = 9 * 60
CLERK: Final = "Chen Li"
HEAD: Final = "M. Rossi"
NOTICE_SHA256: Final = "6f0c" * 16  # of a letter that nobody wrote
Say = Callable[..., None]


STORIES: Final = {
    LADDER: "through the whole collection ladder",
    RETIRED: "the business ended in good order",
    REINSTATED: "left on its own wish, and came back",
    DECIDED: "screened, limited, put on hold, reviewed",
}
"""Customer and what its way shows."""


def story_facts(last: int, convention: Convention) -> list[Fact]:
    """Facts of these customers up to the epoch day `last`, by sequence time and rank."""
    first = last - STORY_DAYS
    first -= (first - MONDAY_EPOCH_DAY) % 7
    facts: list[Fact] = []

    def saying(customer_id: str) -> Say:
        def say(after_days: int, make: type[Any], *, minute: int = 0, **fields: Any) -> None:
            closing = convention.closes_at(first + after_days - 1)
            midnight = closing - convention.close_after_minutes * MS_PER_MINUTE
            at = midnight + (NINE_O_CLOCK + minute) * MS_PER_MINUTE
            event: CustomerEvent = make(customer_id=customer_id, occurred_at=at, **fields)
            facts.append(Fact(at, topic_of(event), event))

        return say

    _climb(saying(LADDER), first)
    _retire(saying(RETIRED), first)
    reinstate(saying(REINSTATED), first)
    _decide(saying(DECIDED), first)
    return sorted(facts, key=lambda fact: fact[:2])


def _climb(say: Say, first: int) -> None:
    """Everything that is done before a lawyer, and then the lawyer."""
    eur = {"currency": "EUR"}
    say(
        0,
        events.CustomerUpdated,
        name="Alder Marine GmbH",
        segment="MEDIUM",
        country="DE",
        credit_limit_minor=8_000_000,
        credit_limit_currency="EUR",
        payment_terms_days=30,
    )
    for number, (after, minor) in enumerate(((1, 2_400_000), (8, 1_800_000), (14, 3_000_000)), 1):
        say(
            after,
            events.InvoiceIssued,
            invoice_id=f"L-{number}",
            due_date=first + after + 30,
            amount_minor=minor,
            **eur,
        )
    _contact(say, 35, "EMAIL", "UNANSWERED", "REMINDER")
    _contact(say, 42, "PHONE", "COOPERATIVE", "CALL", text="will pay the first invoice next week")
    say(
        42,
        events.PromiseMade,
        minute=10,
        promise_id="L-promise",
        amount_minor=2_400_000,
        due_date=first + 49,
        invoice_ids=("L-1",),
        author=CLERK,
        **eur,
    )
    _contact(say, 52, "LETTER", "UNANSWERED", "WRITTEN_NOTICE", attachment_sha256=NOTICE_SHA256)
    hold: dict[str, Any] = {"decision_id": "L-hold", "author": HEAD}
    say(56, events.CreditDecided, **hold, kind="HOLD", reason="a promise was broken")
    _contact(say, 63, "MEETING", "COOPERATIVE", is_confirmed=True, text="asks for instalments")
    dues = (70, 84, 98, 112)
    say(
        64,
        events.PlanAgreed,
        plan_id="L-plan",
        instalments=tuple(events.Instalment(first + after, 1_800_000) for after in dues),
        author=HEAD,
        reason="a large customer of theirs pays late",
        **eur,
    )
    _pay(say, 70, "L-1st", 1_800_000)
    _contact(say, 91, "PHONE", "UNANSWERED", "CALL")
    _contact(say, 101, "LETTER", "CAME_IN", "LAWYER_LETTER", attachment_sha256=NOTICE_SHA256)
    _pay(say, 108, "L-2nd", 3_600_000)
    _pay(say, 112, "L-3rd", 1_800_000)
    say(114, events.CreditDecided, **hold, kind="RELEASE", reason="all is paid")


def _retire(say: Say, first: int) -> None:
    """A customer that costs more than it pays: evaluated, asked to stay on other terms, let go."""
    say(
        0,
        events.CustomerUpdated,
        name="Quartz Foods SA",
        segment="SMALL",
        country="FR",
        credit_limit_minor=2_000_000,
        credit_limit_currency="EUR",
        payment_terms_days=15,
    )
    for number, (after, complained, resolved) in enumerate(
        ((1, 4, 9), (10, 14, 17), (22, 25, 30), (35, 38, 43), (46, 50, 53)), 1
    ):
        invoice_id = f"R-{number}"
        say(
            after,
            events.InvoiceIssued,
            invoice_id=invoice_id,
            due_date=first + after + 15,
            amount_minor=400_000,
            currency="EUR",
            cost_minor=430_000,
        )
        complaint = {"complaint_id": f"R-complaint-{number}"}
        say(
            complained,
            events.ComplaintOpened,
            **complaint,
            kind="DEMAND",
            invoice_id=invoice_id,
            text="expects a discount for its patience",
        )
        say(resolved, events.ComplaintResolved, **complaint, outcome="REJECTED")
    steps = (
        (72, "PROPOSED", "sold to at a loss, and five unfounded demands"),
        (77, "EVALUATED", "no other products, no prospect of a better price"),
        (84, "RETENTION_TRIED", "offered a price list that covers the costs; declined"),
        (91, "NOTICE_GIVEN", "letter with the reasons and the arrangements that follow"),
        (105, "SETTLED", "the last invoice is paid, nothing is in dispute"),
        (108, "DATA_HANDLED", "personal data deleted or barred, invoices kept as the law says"),
        (112, "COMPLETED", "confirmed to the customer"),
        (STORY_DAYS - 3, "FOLLOWED_UP", "no hard feelings; supplied by a wholesaler now"),
    )
    _contact(say, 84, "MEETING", "ANSWERED", is_confirmed=True, text="declines the new prices")
    for number, after in enumerate((31, 42, 52, 65, 101), 1):
        _pay(say, after, f"R-{number}", 400_000, f"R-{number}")
    for after, step, reason in steps:
        say(
            after,
            events.RetirementAdvanced,
            minute=30,
            retirement_id="R-retirement",
            step=step,
            initiative="SELLER",
            author=HEAD,
            reason=reason,
            money_decision="COLLECT" if step in ("NOTICE_GIVEN", "SETTLED") else None,
        )


def _decide(say: Say, first: int) -> None:
    """A new customer, sold to too early, then in spite of a hold; it always pays late."""
    say(
        0,
        events.CustomerUpdated,
        name="Harbour Tools BV",
        segment="SMALL",
        country="NL",
        payment_terms_days=15,
    )
    for number, (after, paid) in enumerate(((2, 30), (9, 37), (30, 58)), 1):
        say(
            after,
            events.InvoiceIssued,
            invoice_id=f"D-{number}",
            due_date=first + after + 15,
            amount_minor=500_000,
            currency="EUR",
        )
        _pay(say, paid, f"D-{number}", 500_000, f"D-{number}")
    limit = {"limit_minor": 1_500_000, "currency": "EUR"}
    for after, name, kind, outcome, reason in (
        (1, "screening", "SCREENING", None, "new customer"),
        (7, "screening", "SCREENING", "REJECTED", "no accounts are published"),
        (21, "screening-2", "SCREENING", "APPROVED", "accounts sent, the owner vouches"),
        (22, "limit", "LIMIT", "APPROVED", "half of what was asked for"),
        (28, "hold", "HOLD", None, "two invoices late at once"),
        (35, "hold", "RELEASE", None, "the first is paid, the second announced"),
        (126, "review", "REVIEW", "APPROVED", "pays late, and always pays"),
    ):
        say(
            after,
            events.CreditDecided,
            minute=5,
            decision_id=f"D-{name}",
            kind=kind,
            author=HEAD,
            reason=reason,
            outcome=outcome,
            **(limit if kind == "LIMIT" else {}),
        )


def _contact(
    say: Say, after_days: int, channel: str, outcome: str, step: str | None = None, **more: Any
) -> None:
    say(
        after_days,
        events.ContactLogged,
        contact_id=f"contact-{after_days}",
        channel=channel,
        outcome=outcome,
        step=step,
        author=CLERK,
        **more,
    )


def _pay(say: Say, after_days: int, name: str, amount_minor: int, *invoice_ids: str) -> None:
    say(
        after_days,
        events.PaymentReceived,
        payment_id=f"{name}-payment",
        amount_minor=amount_minor,
        currency="EUR",
        invoice_ids=invoice_ids,
    )


def story_lines(
    facts: Iterable[Fact], warnings: Iterable[RiskWarning], customer_id: str, convention: Convention
) -> Iterator[tuple[str, str, str, str]]:
    """Per business day: its date, what happened, what was warned of, what ended."""
    happened: dict[int, list[str]] = {}
    raised: dict[int, list[str]] = {}
    ended: dict[int, list[str]] = {}
    for fact in facts:
        if getattr(fact.event, "customer_id", None) == customer_id:
            kind, _, text = tell(fact.event)
            date = convention.business_date(fact.instant)
            happened.setdefault(date, []).append(f"{kind}: {text}")
    for warning in warnings:
        if warning.customer_id == customer_id:
            named = f"{warning.rule} {warning.severity}"
            if warning.transition in ("RAISED", "ESCALATED"):
                raised.setdefault(warning.as_of, []).append(named)
            elif warning.transition == "CLEARED":
                ended.setdefault(warning.as_of, []).append(warning.rule)
    for date in sorted({*happened, *raised, *ended}):
        told, over = (", ".join(found.get(date, ())) for found in (raised, ended))
        yield day(date), "; ".join(happened.get(date, ())), told, over


def tell_stories(
    terminal: Terminal,
    facts: Sequence[Fact],
    warnings: Sequence[RiskWarning],
    convention: Convention,
) -> None:
    """Print the stories, as far as their customers are among the facts."""
    columns = [
        Column("day"),
        Column("what happened", wraps=True),
        Column("warned of", style="yellow", wraps=True),
        Column("ended", style="green", wraps=True),
    ]
    for customer_id, title in STORIES.items():
        lines = list(story_lines(facts, warnings, customer_id, convention))
        if lines:
            terminal.heading(f"{customer_id}: {title}")
            terminal.table(columns, lines)
