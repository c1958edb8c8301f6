"""The dossier of a customer with whom the business may end: why, what was tried, what is left.

Made of what was committed: warnings that are open, engagements, and where its processes stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tocsin.agents.settings.formats import money
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import (
    ContactLogged,
    CustomerEvent,
    DisputeOpened,
    DisputeResolved,
    RetirementAdvanced,
)
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.retirement import BY_CUSTOMER, COMPLETED, RETIREMENT, STAGES, STEPS

OPTIONAL_ON_REQUEST = ("RETENTION_TRIED", "NOTICE_GIVEN")
"""Steps that a customer's own wish may spare."""

OWN_RULES = frozenset(
    {
        "retired",
        "retirement-blocked",
        "retirement-step-overdue",
        "follow-up-due",
        "traded-after-retirement",
    }
)
"""Rules about the retirement itself: no reasons for it."""

BACKGROUND_RULES = frozenset(
    {
        "collection-step-overdue",
        "dispute-unanswered",
        "invoiced-on-hold",
        "ledger-limit-exceeded",
        "own-fault",
        "retirement-candidate",
        "review-overdue",
        "revisit-due",
        "risk-grade",
        "screening-rejected",
        "source-held",
        "source-incomplete",
        "unscreened-customer",
    }
)
"""Rules about ourselves or our own summary of the customer: they trigger nothing by themselves."""


class Process(Struct, frozen=True):
    """Where a case stands, as the worker wrote it."""

    process: str
    case_id: str
    state: str
    kind: str = ""


class CheckedStep(Struct, frozen=True):
    """A step of the checklist: whether it is done, and who took it when (epoch ms), and why.

    `status`: DONE, OPEN, SPARED (by the customer's own wish) or REFUSED.
    """

    step: str
    status: str
    at: int | None = None
    author: str = ""
    reason: str = ""


class Attempts(Struct, frozen=True):
    """What was done to go on: contacts, notices among them, and promises and plans by state."""

    contacts: int
    unanswered: int
    notices: int
    promises: dict[str, int]
    plans: dict[str, int]
    retention: str
    """What was tried to keep the customer; empty if nothing."""


class Exposure(Struct, frozen=True):
    """What is left in a currency, minor units: open, past due, and owed net of money at hand."""

    currency: str
    open_minor: int
    past_due_minor: int
    owed_minor: int


class Dossier(Struct, frozen=True):
    """All of it. `state` is empty where no retirement was begun; `as_of` an epoch day."""

    customer_id: str
    name: str
    as_of: int | None
    state: str
    initiative: str
    money_decision: str
    steps: tuple[CheckedStep, ...]
    standards: tuple[RiskWarning, ...]
    attempts: Attempts
    exposures: tuple[Exposure, ...]
    disputes: tuple[DisputeOpened, ...]

    @property
    def triggers(self) -> list[RiskWarning]:
        """Standards that the customer's own conduct or position meets, gravest first."""
        return [each for each in self.standards if each.rule not in BACKGROUND_RULES]

    @property
    def background(self) -> list[RiskWarning]:
        """What is open beside them: our own failures and summaries."""
        return [each for each in self.standards if each.rule in BACKGROUND_RULES]

    @property
    def blocks(self) -> list[Text]:
        """What keeps the retirement from being completed, in both languages."""
        found = [
            Text(
                f"dispute {dispute.dispute_id} about {dispute.invoice_id} is open",
                f"发票{dispute.invoice_id}的争议{dispute.dispute_id}尚未解决",
            )
            for dispute in self.disputes
        ]
        if not self.money_decision:
            for left in self.exposures:
                if left.owed_minor > 0:
                    amount = money(left.owed_minor, left.currency)
                    found.append(
                        Text(
                            f"{amount} is owed and nobody has decided: collect, plan or write off",
                            f"尚欠{amount}且未决定处理方式（催收、分期或核销）",
                        )
                    )
        return found


def dossier_of(
    standing: Mapping[str, Any],
    warnings: Iterable[RiskWarning],
    engagements: Sequence[CustomerEvent],
    processes: Sequence[Process],
) -> Dossier:
    """Put a dossier together; `engagements` as they became known, `standing` by column."""
    taken = [event for event in engagements if isinstance(event, RetirementAdvanced)]
    taken.sort(key=lambda event: event.occurred_at)
    latest = taken[-1].retirement_id if taken else ""
    taken = [event for event in taken if event.retirement_id == latest]
    state = next(
        (
            found.state
            for found in processes
            if found.process == RETIREMENT.name and found.case_id == latest
        ),
        "",
    )
    decisions = [event.money_decision for event in taken if event.money_decision]
    standards = [warning for warning in warnings if warning.rule not in OWN_RULES]
    return Dossier(
        customer_id=standing["customer_id"],
        name=standing["name"] or "",
        as_of=standing["as_of"],
        state=state,
        initiative=taken[-1].initiative if taken else "",
        money_decision=decisions[-1] if decisions else "",
        steps=tuple(_checked(state, taken)),
        standards=tuple(standards),
        attempts=_attempts(engagements, processes, taken),
        exposures=tuple(_exposures(standing)),
        disputes=tuple(_open_disputes(engagements)),
    )


def _checked(state: str, taken: Sequence[RetirementAdvanced]) -> Iterable[CheckedStep]:
    reached = STAGES.get(state, 0)
    by_step = {event.step: event for event in taken}  # the latest of each
    is_wished = any(event.initiative == BY_CUSTOMER for event in taken)
    is_over = state in RETIREMENT.final
    for step in STEPS:
        event = by_step.get(step)
        is_done = STAGES[step] <= reached or (is_over and event is not None)
        if event is None:
            is_spared = is_wished and step in OPTIONAL_ON_REQUEST
            yield CheckedStep(step, "SPARED" if is_spared else "DONE" if is_done else "OPEN")
            continue
        status = "DONE" if is_done else "REFUSED" if step == COMPLETED else "OPEN"
        yield CheckedStep(step, status, event.occurred_at, event.author, event.reason)


def _attempts(
    engagements: Iterable[CustomerEvent],
    processes: Iterable[Process],
    taken: Sequence[RetirementAdvanced],
) -> Attempts:
    logged = [event for event in engagements if isinstance(event, ContactLogged)]
    contacts = {event.contact_id: event for event in logged}.values()
    states: dict[str, Counter[str]] = {"promise": Counter(), "plan": Counter()}
    for found in processes:
        if found.process in states:
            states[found.process][found.state] += 1
    tried = [event.reason for event in taken if event.step == "RETENTION_TRIED"]
    return Attempts(
        contacts=len(contacts),
        unanswered=sum(event.outcome == "UNANSWERED" for event in contacts),
        notices=sum(event.step in ("WRITTEN_NOTICE", "LAWYER_LETTER") for event in contacts),
        promises=dict(sorted(states["promise"].items())),
        plans=dict(sorted(states["plan"].items())),
        retention=tried[-1] if tried else "",
    )


def _exposures(standing: Mapping[str, Any]) -> Iterable[Exposure]:
    for currency, open_minor, past_due, owed in zip(
        standing["currencies"],
        standing["open_minor"],
        standing["past_due_minor"],
        standing["exposure_minor"],
        strict=True,
    ):
        if open_minor or owed:
            yield Exposure(currency, open_minor, past_due, owed)


def _open_disputes(engagements: Iterable[CustomerEvent]) -> Iterable[DisputeOpened]:
    opened: dict[str, DisputeOpened] = {}
    settled = set()
    for event in engagements:
        if isinstance(event, DisputeOpened):
            opened[event.dispute_id] = event
        elif isinstance(event, DisputeResolved):
            settled.add(event.dispute_id)
    return [event for dispute_id, event in sorted(opened.items()) if dispute_id not in settled]
