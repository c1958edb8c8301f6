"""Letters to a customer from current figures: what may be written now, and to whom nothing is.

Of what is disputed nothing is asked, and money at hand is deducted from the oldest items. Nobody is
reminded whose insolvency is reported, who has promised, or who keeps a plan: the letter says what
the ladder says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.queries.contacts import contact_of
from tocsin.agents.queries.dossier import read_dossier
from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.queries.offboarding_notice import notice_of, withheld_because
from tocsin.agents.queries.receivables import read_account
from tocsin.agents.queries.working_days import following_of
from tocsin.agents.render.letters import Letter, LetterItem
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import day
from tocsin.schemas.policies.reference_rates import packaged_rates, read_rates
from tocsin.streams.facts.convention import Convention
from tocsin.streams.fold.collection_texts import (
    FILE_CLAIM,
    PLANNED,
    PROMISED,
    REMINDER,
    WHY_WORDS,
    WRITTEN_NOTICE,
)
from tocsin.streams.receivables.demand import Conditions, Demand, demand_of
from tocsin.streams.receivables.invoice_history import Receivable, ReceivablesAccount
from tocsin.streams.receivables.statutory import Parties


class LetterKind(Struct, frozen=True):
    """A kind of letter: the step of the ladder that it takes, whether it asks for payment.

    `is_formal`: it is sent on paper whoever the customer is.
    """

    step: str | None
    asks: bool
    is_formal: bool = False


PRE_DUNNING, STATEMENT, OFFBOARDING = "pre-dunning", "statement", "offboarding"
FINAL_NOTICE: Final = "final-notice"
KINDS: Final[Mapping[str, LetterKind]] = {
    PRE_DUNNING: LetterKind(None, asks=True),
    "reminder": LetterKind(REMINDER, asks=True),
    "second-reminder": LetterKind(REMINDER, asks=True),
    "written-notice": LetterKind(WRITTEN_NOTICE, asks=True, is_formal=True),
    FINAL_NOTICE: LetterKind(WRITTEN_NOTICE, asks=True, is_formal=True),
    STATEMENT: LetterKind(None, asks=False),
    OFFBOARDING: LetterKind(None, asks=False, is_formal=True),
}
PAY_WITHIN_DAYS: Final = 10
COMING_DAYS: Final = 14
DAY_MS: Final = 86_400_000
IMPORTANT: Final = "A"
"""The class of customers by turnover to whom letters go on paper."""


class Asked(Struct, frozen=True):
    """What is to be written; `pay_by` is the last day (epoch day) to pay."""

    kind: str
    language: Language
    sender: str = ""
    reasons: Sequence[str] = ()
    pay_by: int | None = None


class Situation(Struct, frozen=True):
    """What is known of a customer beside its invoices.

    `step`, `why` and `is_blocked` are of the next step of collection; `noticed_on` is the epoch day
    of the last written notice, `abc` the class by turnover.
    """

    step: str = ""
    why: str = ""
    is_blocked: bool = False
    noticed_on: int | None = None
    abc: str | None = None


def read_letter(lookup: Lookup, convention: Convention, customer_id: str, asked: Asked) -> Letter:
    """The letter that was asked for. Raises InputError where it must not be written now."""
    if asked.kind == OFFBOARDING:
        return _offboarding(lookup, customer_id, asked)
    known = read_account(lookup, convention, customer_id, None)
    name = known.account.customer_id
    return letter_of(known.account, known.as_of, _situation(lookup, name), asked)


def letter_of(
    account: ReceivablesAccount, as_of: int, situation: Situation, asked: Asked
) -> Letter:
    """A letter about what is owed as of an epoch day. Raises InputError where none may be."""
    kind = KINDS[asked.kind]
    if kind.asks:
        _require_turn(asked.kind, situation)
    following = following_of((account.profile.country,))
    reference = read_rates(packaged_rates())
    conditions = Conditions(open_only=True)
    found = demand_of(account, Parties(), reference, conditions, as_of, following)
    items = list(_coming(found, as_of)) if asked.kind == PRE_DUNNING else list(_past_due(found))
    if asked.kind == STATEMENT:
        items += _coming(found, None)
    if kind.asks and not items:
        raise InputError(
            f"{account.customer_id}: no {asked.kind}: nothing that is not disputed or covered by "
            "money at hand is to be paid",
            mend="see `tocsin customer` and `tocsin demand`",
        )
    oldest = min((item.due_on for item in items), default="")
    if asked.kind == FINAL_NOTICE and (
        situation.noticed_on is None or day(situation.noticed_on) <= oldest
    ):
        raise InputError(
            "no final notice before a written notice of these arrears",
            mend="write it first: `tocsin letter --kind written-notice`",
        )
    pay_by = following(as_of + PAY_WITHIN_DAYS) if asked.pay_by is None else asked.pay_by
    return Letter(
        asked.kind,
        asked.language,
        account.customer_id,
        account.profile.name or account.customer_id,
        day(as_of),
        day(pay_by),
        channel_of(asked.kind, situation.abc),
        tuple(items),
        dict(found.deducted_minor),
        any(each.disputed_minor for each in account.receivables),
        sender=asked.sender,
    )


def channel_of(kind: str, abc: str | None) -> str:
    """How a letter is best sent: on paper if it is formal or the customer important."""
    return "LETTER" if KINDS[kind].is_formal or abc == IMPORTANT else "EMAIL"


def _require_turn(kind: str, situation: Situation) -> None:
    """Refuse a letter that says another thing than the ladder."""
    if situation.step == FILE_CLAIM:
        raise InputError(
            f"no {kind}: insolvency is reported", mend="file the claim with the administrator"
        )
    if situation.is_blocked and situation.why in (PROMISED, PLANNED):
        raise InputError(
            f"no {kind}: {WHY_WORDS[situation.why].en}", mend="wait for it, see `tocsin worklist`"
        )


def _past_due(found: Demand) -> list[LetterItem]:
    return [
        LetterItem(
            item.receivable.invoice_id,
            day(item.receivable.issued_on),
            day(item.basis.due_day),
            item.days_past_due,
            item.receivable.amount_minor,
            item.statement.principal_minor,
            item.receivable.currency,
        )
        for item in found.items
        if item.statement.principal_minor
    ]


def _coming(found: Demand, as_of: int | None) -> list[LetterItem]:
    """What falls due within days of `as_of`, or ever; what money at hand is left covers is not."""
    left = Counter(found.unapplied_minor)
    left.subtract(found.deducted_minor)
    items = []
    for receivable in sorted(found.not_due, key=lambda each: each.due_date):
        if as_of is not None and receivable.due_date > as_of + COMING_DAYS:
            break
        owed = receivable.open_minor - receivable.disputed_minor
        covered = min(owed, max(left[receivable.currency], 0))
        left[receivable.currency] -= covered
        if owed > covered:
            items.append(_coming_item(receivable, owed - covered))
    return items


def _coming_item(receivable: Receivable, owed_minor: int) -> LetterItem:
    return LetterItem(
        receivable.invoice_id,
        day(receivable.issued_on),
        day(receivable.due_date),
        0,
        receivable.amount_minor,
        owed_minor,
        receivable.currency,
    )


def _situation(lookup: Lookup, customer_id: str) -> Situation:
    rows: list[dict[str, Any]] = lookup.next_actions(customer_id)
    score = lookup.score(customer_id)
    contacts = map(contact_of, lookup.contacts(customer_id, 0))
    noticed = [
        contact.occurred_at // DAY_MS for contact in contacts if contact.step == WRITTEN_NOTICE
    ]
    found = Situation(
        noticed_on=max(noticed, default=None), abc=None if score is None else score["abc"]
    )
    if not rows:
        return found
    row = rows[0]
    return replace(found, step=row["step"], why=row["why"], is_blocked=bool(row["is_blocked"]))


def _offboarding(lookup: Lookup, customer_id: str, asked: Asked) -> Letter:
    found = read_dossier(lookup, customer_id)
    withheld, notice = withheld_because(found, asked.reasons), notice_of(found, asked.reasons)
    if notice is None:
        raise InputError(
            "no offboarding notice" if withheld is None else withheld.en,
            mend="see `tocsin dossier`",
        )
    return Letter(
        asked.kind,
        asked.language,
        found.customer_id,
        found.name or found.customer_id,
        day(found.as_of),
        "",
        channel_of(asked.kind, None),
        has_dispute=False,
        body=notice.zh if asked.language == "zh" else notice.en,
        sender=asked.sender,
    )
