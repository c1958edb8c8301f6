"""Which money keeps which promise and plan, and what state they are in by it.

A payment goes to the promises that are open on its value date, those that name an invoice which it
settles first, then the others, each the oldest first; what is left goes to promises whose day has
passed. A promise that names invoices takes only what was applied to them, any other one takes any
money of its currency; both from the day on which it was made. Plans take money apart from promises,
in the same way, since the instalments in force were agreed: a promise may be about an instalment.
Money without a document (a ledger folded in aggregate) keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tocsin.streams.documents import NEVER, Case, Funds
from tocsin.streams.folding import Today
from tocsin.streams.ledger import CASES, Ledger
from tocsin.streams.machines import BEFORE
from tocsin.streams.plans_agreed import PLAN, judged_plan
from tocsin.streams.promises import PROMISE, WITHDRAWN, judged_promise


class Claim(Struct):
    """What a promise or plan has got: by day of value, and from which payment."""

    case: Case
    since: int
    until: int
    left_minor: int
    taken: list[tuple[int, int, str]]
    """Day, amount, key of the payment."""


def keep_up(ledger: Ledger, today: Today) -> int:
    """Bring the states of promises and plans up to date; returns what that stirs."""
    stirred = 0
    for key, claim in claims(ledger).items():
        judge = judged_promise if key[0] == PROMISE.letter else judged_plan
        taken = [(day, amount) for day, amount, _ in claim.taken]
        settled_on = _settled_on(ledger, claim.case) if key[0] == PROMISE.letter else NEVER
        if judge(claim.case, taken, settled_on, today.date):
            ledger.dirty[key] = claim.case
            ledger.is_touched = True
            stirred = CASES
    ledger.stirred |= stirred
    return stirred


def next_lapse(ledger: Ledger, today: int) -> int:
    """The next day on which a promise or an instalment is past its day."""
    found = NEVER
    for key, case in ledger.cases.items():
        if key[0] == PROMISE.letter:
            days = [case.due_on]
        elif key[0] == PLAN.letter:
            days = [part.due_date for part in case.parts]
        else:
            continue
        found = min(found, *(day + 1 for day in days if today <= day < NEVER), NEVER)
    return found


def claims(ledger: Ledger) -> dict[str, Claim]:
    """What every promise and plan that holds has got, by its key, in the order of claiming."""
    promises, plans = _claims(ledger, PROMISE.letter), _claims(ledger, PLAN.letter)
    for claimants in (promises, plans):
        if claimants:
            for key, funds in _payments(ledger, min(c.since for c in claimants.values())):
                _share_out(key, funds, list(claimants.values()))
    return {**promises, **plans}


def _claims(ledger: Ledger, letter: str) -> dict[str, Claim]:
    found = []
    for key, case in ledger.cases.items():
        if key[0] != letter or case.state in (BEFORE, WITHDRAWN, "ENDED"):
            continue
        since, until = case.opened_on, case.due_on
        if letter == PLAN.letter:
            since, until = case.agreed_on, NEVER
        found.append((since, case.occurred_at, key, until, case))
    return {
        key: Claim(case, since, until, case.amount_minor, [])
        for since, _, key, until, case in sorted(found, key=lambda one: one[:3])
    }


def _payments(ledger: Ledger, since: int) -> Iterator[tuple[str, Funds]]:
    found = [
        (funds.valued_on, funds.occurred_at, key)
        for key, funds in ledger.funds.items()
        if key[0] == "p" and not funds.is_reversed and funds.valued_on >= since
    ]
    for _, _, key in sorted(found):
        yield key, ledger.funds[key]


def _share_out(key: str, funds: Funds, claimants: list[Claim]) -> None:
    """Let those claim a payment who may, in their order."""
    left, day = funds.amount_minor, funds.valued_on
    entitled = [
        (day > claim.until, not claim.case.invoice_ids, place, claim)
        for place, claim in enumerate(claimants)
        if claim.left_minor and claim.since <= day and claim.case.currency == funds.currency
    ]
    for _, _, _, claim in sorted(entitled, key=lambda one: one[:3]):
        named = claim.case.invoice_ids
        applied = funds.applied or {}
        most = sum(applied.get(name, 0) for name in dict.fromkeys(named)) if named else left
        taken = min(most, left, claim.left_minor)
        if taken:
            claim.taken.append((day, taken, key))
            claim.left_minor -= taken
            left -= taken


def _settled_on(ledger: Ledger, case: Case) -> int:
    """The day on which nothing was left of the invoices that a promise names; NEVER before."""
    days = [case.opened_on]
    for name in case.invoice_ids:
        invoice = ledger.invoices.get(name)
        if invoice is None or not invoice.closed_on:
            return NEVER
        if invoice.is_cancelled:
            days.append(invoice.closed_on)
        else:
            used = [ledger.funds.get(key) for key in invoice.applied or ()]
            days += [invoice.closed_on if money is None else money.valued_on for money in used]
    return max(days) if case.invoice_ids else NEVER
