"""Which money keeps which promise and plan, and what state they are in by it.

A payment goes to the promises that are open on its value date, those that name an invoice which it
settles first, then the others, each the oldest first; what is left goes to promises whose day has
passed. A promise that names invoices takes only what was applied to them, any other one takes any
money of its currency; both from the day on which it was made. Plans take money apart from promises,
in the same way, since the instalments in force were agreed: a promise may be about an instalment.
Money without a document (a ledger folded in aggregate) keeps nothing.

What was taken is an index of the ledger. A payment or promise more, and whatever changes the past,
has only that money shared out anew that came since the first day whose money may change hands.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter

from tocsin.streams.facts import events
from tocsin.streams.fold.instalment_plans import ENDED, PLAN, RUNNING, judged_plan
from tocsin.streams.fold.promises import OPEN, PROMISE, WITHDRAWN, judged_promise
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.state_machines import BEFORE
from tocsin.streams.ledger.commitment_payments import CommitmentClaim, CommitmentIndex, Place
from tocsin.streams.ledger.documents import NEVER, SETTLED_WITHOUT_MONEY, Case, Funds
from tocsin.streams.ledger.ledger import CASES, Ledger

_place = attrgetter("place")


def update_commitments(
    ledger: Ledger,
    event: events.CustomerEvent,
    touched: Collection[str],
    today: FoldContext,
    *,
    is_first: bool,
) -> None:
    """Bring promises and plans up to date after a fact.

    `touched` are the keys of the documents that it changed; `is_first`: it corrects no earlier one.
    """
    keeping = ledger.commitment_index
    if isinstance(event, events.PromiseMade | events.PlanAgreed):
        ledger.schedule_assessment(next_commitment_due(ledger, today.date))
    if keeping is None:
        update_commitments_on(ledger, today)
    elif not is_first or not _is_noted(ledger, keeping, event, today):
        _note_anew(ledger, keeping, event, touched, today)


def update_commitments_on(ledger: Ledger, today: FoldContext) -> int:
    """Bring the states of promises and plans up to date on a day; returns what that stirs."""
    index, claims = ledger.commitment_index, allocations(ledger)
    if index is not None and not (index.places and index.places[-1][0] >= today.date):
        # Money is noted as it comes, and of none the value date is still ahead: only days passed.
        claims = [one for one in claims if one.case.state in (OPEN, RUNNING)]
    return _judge(ledger, claims, today)


def next_commitment_due(ledger: Ledger, today: int) -> int:
    """The next day on which a promise or an instalment is past its day."""
    last = NEVER
    for case in ledger.cases_of.get(PROMISE.letter, {}).values():
        if today <= case.due_on < last:
            last = case.due_on
    for case in ledger.cases_of.get(PLAN.letter, {}).values():
        for part in case.parts:
            if today <= part.due_date < last:
                last = part.due_date
    return last + 1 if last < NEVER else NEVER


def allocations(ledger: Ledger) -> Iterable[CommitmentClaim]:
    """What every promise and plan that holds has got."""
    if not ledger.cases:  # an index would not be kept up to date
        return ()
    if ledger.commitment_index is None:
        ledger.commitment_index = _build(ledger)
    return ledger.commitment_index.claims.values()


def _build(ledger: Ledger) -> CommitmentIndex:
    keeping = CommitmentIndex({}, {PROMISE.letter: [], PLAN.letter: []}, {}, [], {})
    found = [_claim(key, case) for key, case in ledger.cases.items()]
    coming = sorted((one for one in found if one is not None), key=lambda one: one.place)
    coming.reverse()
    for key in ledger.funds:
        place = _place_of(ledger, key)
        if place is not None:
            keeping.placed[key] = place
    keeping.places = sorted(keeping.placed.values())
    for place in keeping.places:
        while coming and coming[-1].since <= place[0]:
            _admit(keeping, coming.pop())
        if keeping.claims:
            _share_out(keeping, place[2], ledger.funds[place[2]])
    while coming:
        _admit(keeping, coming.pop())
    return keeping


def _place_of(ledger: Ledger, key: str) -> Place | None:
    """Where a payment stands among all; None for what is none, is reversed or forgotten."""
    funds = ledger.funds.get(key)
    if funds is None or key[0] != "p" or funds.is_reversed:
        return None
    return funds.valued_on, funds.occurred_at, key


def _claim(key: str, case: Case) -> CommitmentClaim | None:
    if key[0] == PROMISE.letter and case.state not in (BEFORE, WITHDRAWN):
        return CommitmentClaim(key, case, case.opened_on, case.due_on, case.amount_minor, [])
    if key[0] == PLAN.letter and case.state not in (BEFORE, ENDED):
        return CommitmentClaim(key, case, case.agreed_on, NEVER, case.amount_minor, [])
    return None


def _admit(keeping: CommitmentIndex, claim: CommitmentClaim) -> None:
    keeping.claims[claim.key] = claim
    for name in dict.fromkeys(claim.case.invoice_ids):
        keeping.named.setdefault(name, []).append(claim)
    if not claim.case.invoice_ids:
        insort(keeping.loose[claim.key[0]], claim, key=_place)


def _is_noted(
    ledger: Ledger, keeping: CommitmentIndex, event: events.CustomerEvent, today: FoldContext
) -> bool:
    """Add one fact more to what is known; False if it changes the past."""
    match event:
        case events.InvoiceIssued():
            return event.invoice_id not in keeping.named
        case events.PaymentReceived():
            return _is_shared_out(ledger, keeping, "p" + event.payment_id, today)
        case events.CreditNoteIssued():
            return _is_shared_out(ledger, keeping, "c" + event.credit_note_id, today)
        case events.PromiseMade():
            return _is_admitted(ledger, keeping, PROMISE.letter + event.promise_id, today)
        case events.PlanAgreed():
            return _is_admitted(ledger, keeping, PLAN.letter + event.plan_id, today)
        case _:
            return False


def _is_admitted(ledger: Ledger, keeping: CommitmentIndex, key: str, today: FoldContext) -> bool:
    case = ledger.cases.get(key)
    claim = None if case is None else _claim(key, case)
    if claim is None or key in keeping.claims:
        return False
    _admit(keeping, claim)
    _judge(ledger, [claim, *_share_again(ledger, keeping, claim.since)], today)
    return True


def _is_shared_out(ledger: Ledger, keeping: CommitmentIndex, key: str, today: FoldContext) -> bool:
    """Share out one payment more; what names an invoice that was settled is looked at again."""
    funds = ledger.funds.get(key)
    if funds is None:  # folded in aggregate
        return True
    touched = _named_in(keeping, funds)
    place = _place_of(ledger, key)
    if place is not None:
        _put(keeping, place)
        if place == keeping.places[-1]:
            touched += _share_out(keeping, key, funds)
        else:
            touched += _share_again(ledger, keeping, place[0])
    _judge(ledger, {claim.key: claim for claim in touched}.values(), today)
    return True


def _note_anew(
    ledger: Ledger,
    keeping: CommitmentIndex,
    event: events.CustomerEvent,
    touched: Collection[str],
    today: FoldContext,
) -> None:
    """After a fact that changes the past: share out anew all money since the first day of it."""
    day, judged = NEVER, list[CommitmentClaim]()
    fed, fed_by_name = _fed(keeping)
    own = "p" + (getattr(event, "payment_id", None) or "")
    for key in touched:
        named = _named_in(keeping, ledger.funds[key]) if key in ledger.funds else []
        judged += named
        if key[0] == "p":
            before, place = _place_anew(ledger, keeping, key)
            if before != place or key == own or key in fed_by_name or named:
                day = min(day, before[0] if before and key in fed else NEVER)
                day = min(day, place[0] if place else NEVER)
        elif key[0] == "i":
            judged += keeping.named.get(key[1:], ())
    if isinstance(event, events.PromiseMade | events.PromiseWithdrawn):
        day = min(day, _claim_anew(ledger, keeping, PROMISE.letter + event.promise_id, judged))
    elif isinstance(event, events.PlanAgreed | events.PlanEnded):
        day = min(day, _claim_anew(ledger, keeping, PLAN.letter + event.plan_id, judged))
    judged += _share_again(ledger, keeping, day)
    _judge(ledger, {claim.key: claim for claim in judged}.values(), today)


def _fed(keeping: CommitmentIndex) -> tuple[set[str], set[str]]:
    """Payments of which anybody has got something, and of which those have who name invoices."""
    fed, fed_by_name = set[str](), set[str]()
    for claim in keeping.claims.values():
        keys = [key for _, _, key in claim.taken]
        fed.update(keys)
        if claim.case.invoice_ids:
            fed_by_name.update(keys)
    return fed, fed_by_name


def _place_anew(
    ledger: Ledger, keeping: CommitmentIndex, key: str
) -> tuple[Place | None, Place | None]:
    """Put a payment where it belongs now; where it stood, and where it stands."""
    before, place = keeping.placed.get(key), _place_of(ledger, key)
    if before != place:
        if before is not None:
            del keeping.places[bisect_left(keeping.places, before)], keeping.placed[key]
        if place is not None:
            _put(keeping, place)
    return before, place


def _claim_anew(
    ledger: Ledger, keeping: CommitmentIndex, key: str, judged: list[CommitmentClaim]
) -> int:
    """Take a promise or plan as it is now; the first day whose money it may change hands of."""
    before, case = keeping.claims.pop(key, None), ledger.cases.get(key)
    claim = None if case is None else _claim(key, case)
    if before is not None:
        for waiting in (*keeping.named.values(), *keeping.loose.values()):
            waiting[:] = [other for other in waiting if other is not before]
        keeping.named = {name: waiting for name, waiting in keeping.named.items() if waiting}
        judged[:] = [other for other in judged if other is not before]
    if claim is not None:
        _admit(keeping, claim)
        judged.append(claim)
    taken = before.taken if before is not None else []
    return min(claim.since if claim is not None else NEVER, taken[0][0] if taken else NEVER)


def _put(keeping: CommitmentIndex, place: Place) -> None:
    insort(keeping.places, place)
    keeping.placed[place[2]] = place


def _share_again(ledger: Ledger, keeping: CommitmentIndex, day: int) -> list[CommitmentClaim]:
    """Share out anew all payments since a day; returns who had or has got something of them."""
    touched = list[CommitmentClaim]()
    if day == NEVER:
        return touched
    for claim in keeping.claims.values():
        taken = claim.taken
        if taken and taken[-1][0] >= day:
            touched.append(claim)
            while taken and taken[-1][0] >= day:
                claim.left_minor += taken.pop()[1]
    waiting = [claim for claim in keeping.claims.values() if claim.left_minor]
    loose = sorted([claim for claim in waiting if not claim.case.invoice_ids], key=_place)
    for letter in keeping.loose:
        keeping.loose[letter] = [claim for claim in loose if claim.key[0] == letter]
    for _, _, key in keeping.places[bisect_left(keeping.places, (day,)) :]:
        touched += _share_out(keeping, key, ledger.funds[key])
    return touched


def _named_in(keeping: CommitmentIndex, funds: Funds) -> list[CommitmentClaim]:
    applied, named = funds.applied, keeping.named
    if not applied or named.keys().isdisjoint(applied):
        return []
    found = [claim for name in applied for claim in named.get(name, ())]
    return list({claim.key: claim for claim in found}.values())


def _share_out(keeping: CommitmentIndex, key: str, funds: Funds) -> list[CommitmentClaim]:
    """Let those claim a payment who may, in their order; returns who got something."""
    got: list[CommitmentClaim] = []
    named = sorted(_named_in(keeping, funds), key=_place)
    for letter, loose in keeping.loose.items():
        if not named and not loose:  # nearly all money: nobody waits for it
            continue
        left, day, is_spent = funds.amount_minor, funds.valued_on, False
        own = [claim for claim in named if claim.key[0] == letter]
        for claim in _entitled(own, loose, day, funds.currency):
            taken = min(_most(claim, funds), left, claim.left_minor)
            if taken:
                claim.taken.append((day, taken, key))
                claim.left_minor -= taken
                left -= taken
                got.append(claim)
                is_spent = is_spent or not claim.left_minor
            if not left:
                break
        if is_spent:
            keeping.loose[letter] = [claim for claim in loose if claim.left_minor]
    return got


def _entitled(
    named: Sequence[CommitmentClaim], loose: Sequence[CommitmentClaim], day: int, currency: str
) -> Iterator[CommitmentClaim]:
    """Who may claim money of a day: first who is open, then those whose day has passed.

    Both are given the oldest first.
    """
    for is_late in (False, True):
        for waiting in (named, loose):
            for claim in waiting:
                if claim.since > day:
                    break
                if (
                    (day > claim.until) is is_late
                    and claim.left_minor
                    and claim.case.currency == currency
                ):
                    yield claim


def _most(claim: CommitmentClaim, funds: Funds) -> int:
    named = claim.case.invoice_ids
    if not named:
        return funds.amount_minor
    applied = funds.applied or {}
    return sum(applied.get(name, 0) for name in dict.fromkeys(named))


def _judge(ledger: Ledger, judged: Iterable[CommitmentClaim], today: FoldContext) -> int:
    affected = 0
    for claim in judged:
        taken = [(day, amount) for day, amount, _ in claim.taken]
        if claim.key[0] == PROMISE.letter:
            settled_on = _settled_on(ledger, claim.case)
            is_changed = judged_promise(claim.case, taken, settled_on, today)
        else:
            is_changed = judged_plan(claim.case, taken, today)
        if is_changed:
            ledger.dirty[claim.key] = claim.case
            ledger.waiting = None
            ledger.is_touched = True
            affected = CASES
    ledger.affected |= affected
    return affected


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
            keys = (invoice.applied or {}).keys() - SETTLED_WITHOUT_MONEY
            used = [ledger.funds.get(key) for key in keys]
            days += [invoice.closed_on if money is None else money.valued_on for money in used]
    return max(days) if case.invoice_ids else NEVER
