"""What a ledger keeps of each document, and the summary of a customer: the persisted state.

All are MessagePack arrays: a field may only be appended, with a default (see `state.upgrade`).
Days are epoch days, instants epoch milliseconds, amounts minor units.
"""

from __future__ import annotations

from msgspec import Struct, field

NEVER = 2**31 - 1
"""A day that does not come."""

LOOSE = ""
"""Key of money without a document, among what was applied to an invoice."""

RESIDUAL = "\2"
"""Key of what is left within the tolerance, among what was applied to an invoice."""

DISCOUNT = "\3"
"""Key of a cash discount that was earned by payment in time, among what was applied."""

SETTLED_WITHOUT_MONEY = frozenset({RESIDUAL, DISCOUNT})
"""Keys of what settled an invoice and is no document."""

REFUNDED = "\4"
"""Prefix of a refund, among what money was applied to."""

FORGOTTEN = "\1"
"""Prefix of a document that is forgotten, among what was applied: its id may be used again."""


class Invoice(Struct, array_like=True, gc=False):
    """An invoice, open until paid, credited or cancelled. Without an amount, only its end is known.

    `applied` says how much of which payment or credit note (by its key) settled it; of what is
    open, `disputed_minor` is disputed. `cost_minor` None, `delivered_on` 0: not known.
    """

    occurred_at: int = 0
    issued_on: int = 0
    due_date: int = 0
    amount_minor: int = 0
    currency: str = ""
    offset: int = 0
    open_minor: int = 0
    closed_on: int = 0
    is_cancelled: bool = False
    applied: dict[str, int] | None = None
    cost_minor: int | None = None
    delivered_on: int = 0
    disputed_minor: int = 0


class Funds(Struct, array_like=True, gc=False):
    """Money that settles invoices: a payment, or a credit note (which has a `reason`).

    `applied` says how much went to which invoice. Without an amount, only its reversal is known.
    Until `is_released`, its rest waits for a named invoice that has not arrived. `is_short`: it
    left a small rest of an invoice that it names (see `short_payments`).
    """

    occurred_at: int = 0
    valued_on: int = 0
    amount_minor: int = 0
    currency: str = ""
    offset: int = 0
    invoice_ids: tuple[str, ...] = ()
    reason: str = ""
    unapplied_minor: int = 0
    closed_on: int = 0
    is_reversed: bool = False
    is_released: bool = False
    applied: dict[str, int] | None = None
    is_short: bool = False


class Complaint(Struct, array_like=True, gc=False):
    """A complaint. Without a kind, only its outcome is known so far.

    `is_again`: an earlier complaint about the same invoice had been settled before.
    """

    occurred_at: int = 0
    opened_on: int = 0
    kind: str = ""
    invoice_id: str | None = None
    offset: int = 0
    outcome: str = ""
    resolved_at: int = 0
    closed_on: int = 0
    is_again: bool = False


class Dispute(Struct, array_like=True, gc=False):
    """A disputed part of an invoice. Without an invoice, only its outcome is known so far.

    Without an outcome it goes on; `closed_on` is the day on which it was resolved.
    """

    occurred_at: int = 0
    opened_on: int = 0
    invoice_id: str = ""
    amount_minor: int = 0
    currency: str = ""
    reason: str = ""
    is_own_fault: bool = False
    offset: int = 0
    outcome: str = ""
    resolved_at: int = 0
    closed_on: int = 0


class Order(Struct, array_like=True, gc=False):
    """Where an order stands: not delivered yet, delivered and not invoiced yet."""

    occurred_at: int = 0
    open_minor: int = 0
    delivered_minor: int = 0
    currency: str = ""
    offset: int = 0
    closed_on: int = 0


class Entry(Struct, array_like=True, gc=False):
    """Something noted of a customer once: a contact, a breach, a change of order, an alert.

    `kind` is its kind or outcome, `amount` its size if it has one (minutes, rating), `content` what
    else is counted of it (a reason, a cost), `step` the collection step that it takes. Without a
    kind, only its end is known so far.
    """

    occurred_at: int = 0
    on: int = 0
    kind: str = ""
    amount: int = 0
    offset: int = 0
    closed_on: int = 0
    is_over: bool = False
    content: str = ""
    step: str = ""


class CaseStep(Struct, frozen=True, array_like=True, gc=False):
    """A step of a case: its instant (epoch ms), what it was, the offset of its event."""

    at: int
    trigger: str
    offset: int


class Part(Struct, frozen=True, array_like=True, gc=False):
    """An instalment."""

    due_date: int
    amount_minor: int


class Case(Struct, array_like=True):
    """A run of a process: a promise, a plan, a credit decision, a retirement.

    `state` is one of its machine's, reached on the day `since`; empty: it has not begun. The other
    fields are what the latest event said, at `occurred_at`: `kind`, `detail` and the rest as the
    process uses them. `kept_minor` was paid in time, `due_on` is the next day for it. A plan's
    instalments in force are those of `agreed_on`. `until` 0: no such day.
    """

    state: str = ""
    since: int = 0
    occurred_at: int = 0
    opened_on: int = 0
    due_on: int = NEVER
    amount_minor: int = 0
    currency: str = ""
    kept_minor: int = 0
    offset: int = 0
    closed_on: int = 0
    kind: str = ""
    author: str = ""
    reason: str = ""
    until: int = 0
    steps: tuple[CaseStep, ...] = ()
    parts: tuple[Part, ...] = ()
    invoice_ids: tuple[str, ...] = ()
    detail: str = ""
    agreed_on: int = 0


class Silence(Struct, array_like=True, gc=False):
    """Mutes a rule of the customer, or all rules (`rule` empty), before the day `expires_on`."""

    rule: str = ""
    began_at: int = 0
    expires_on: int = 0
    offset: int = 0
    is_over: bool = False


class Due(Struct, array_like=True, gc=False):
    """What falls due on one day: the open amount and how many items; `loose` without document."""

    open_minor: int = 0
    count: int = 0
    loose_minor: int = 0
    loose_count: int = 0
    disputed_minor: int = 0


class Account(Struct, array_like=True, gc=False):
    """One currency of a customer. `unapplied_minor` includes cash without document, `loose`.

    Orders: `ordered_minor` not delivered yet, `delivered_minor` delivered and not invoiced yet.
    """

    open_minor: int = 0
    unapplied_minor: int = 0
    loose_minor: int = 0
    due: dict[int, Due] = field(default_factory=dict)
    disputed_minor: int = 0
    ordered_minor: int = 0
    delivered_minor: int = 0

    @property
    def exposure_minor(self) -> int:
        """What the customer owes, net of money not applied yet; negative if it is ahead.

        Gross of disputes: what is disputed may have to be paid after all.
        """
        return self.open_minor - self.unapplied_minor


class Settled(Struct, array_like=True, gc=False):
    """A paid invoice: its amount, and how many days after its due date it was paid.

    The days (negative: before) are the mean over its payments, each by its amount, to the nearest
    whole. `excused_days` leaves out days on which all that was open was rightly disputed, and is 0
    where the delay was the seller's own fault.
    """

    delay_days: int
    excused_days: int
    amount_minor: int
    currency: str


class Profile(Struct, array_like=True, gc=False):
    """What is known of the customer itself, valid from `occurred_at`."""

    occurred_at: int = 0
    name: str | None = None
    segment: str | None = None
    country: str | None = None
    credit_limit_minor: int | None = None
    credit_limit_currency: str | None = None
    payment_terms_days: int | None = None
    size: str | None = None
    group_id: str | None = None
    prepayment_basis_points: int | None = None
    owner: str | None = None


class Episode(Struct, array_like=True, gc=False):
    """The latest episode of a rule and subject. Severity 0: it is over.

    `crossed`: severities that must last before they are said, by the first whole day on which they
    were reached. `muted_by`: what muted a step that no digest has told of yet. `ended_at`: the
    severity at which it was last over.
    """

    ordinal: int = 0
    severity: int = 0
    steps: int = 0
    raised_on: int = 0
    warned_on: int = 0
    crossed: dict[int, int] | None = None
    ended_at: int = 0
    muted_by: str = ""
    is_acknowledged: bool = False


class Decided(Struct, frozen=True, array_like=True, gc=False):
    """A limit or a share of prepayment as decided; `amount` None: that there is none.

    `until` is its last day; 0: until the next decision.
    """

    amount: int | None
    currency: str
    until: int
    offset: int


class Named(Struct, frozen=True, array_like=True, gc=False):
    """A decision by its id, and the offset of its event."""

    id: str
    offset: int


class Credit(Struct, array_like=True, gc=False):
    """What was decided about a customer's credit, as far as it may be in force.

    `limits` and `prepayments` hold the latest decision; where that is temporary, the lasting one
    after it. On hold from the instant `held_at` (0: not) through the day `hold_until` (0: for good)
    but not before `grace_until` is over. Days are epoch days, 0: never. `hold`, `screened_by` and
    `reviewed_by` are the decisions behind it.
    """

    limits: tuple[Decided, ...] = ()
    prepayments: tuple[Decided, ...] = ()
    held_at: int = 0
    held_on: int = 0
    hold_until: int = 0
    grace_until: int = 0
    hold: Named | None = None
    screening: str = ""
    screened_at: int = 0
    screened_by: Named | None = None
    reviewed_on: int = 0
    reviewed_by: Named | None = None


class Collecting(Struct, array_like=True, gc=False):
    """Where the collection of money past due stands, in arrears since the day `since`.

    The next `step` (empty: none) falls due on `due_on`, `why` says by what. It is not taken before
    `blocked_until` (0: not blocked). `free_on`: the last day on which something blocked it.
    `amount_minor` is past due in the currency of the leading invoice. `turn`: the next day on which
    this may be otherwise without any event.
    """

    since: int = 0
    step: str = ""
    due_on: int = NEVER
    blocked_until: int = 0
    why: str = ""
    amount_minor: int = 0
    currency: str = ""
    invoice_id: str = ""
    free_on: int = 0
    turn: int = NEVER


class Summary(Struct, array_like=True):
    """All that is judged of a customer; the documents behind it are kept beside it."""

    partition: int = 0
    next_date: int = NEVER
    prune_on: int = NEVER
    repeat_on: int = NEVER
    document_count: int = 0
    folded_count: int = 0
    last_issued_on: int = 0
    open_episodes: int = 0
    profile: Profile = field(default_factory=Profile)
    accounts: dict[str, Account] = field(default_factory=dict)
    issued: dict[int, int] = field(default_factory=dict)
    returns: dict[int, int] = field(default_factory=dict)
    complaints: dict[int, int] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    episodes: dict[str, Episode] = field(default_factory=dict)
    tallies: dict[str, dict[int, int]] = field(default_factory=dict)
    """Counts or sums per day, by name: what happened how often in a rolling window."""
    figures: dict[str, int] = field(default_factory=dict)
    """Single numbers by name, such as an agency's latest rating."""
    silences: dict[str, Silence] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    """Days on which rules may be crossed by time alone, by the rules' numbers."""
    score: int | None = None
    grade: str = ""
    known_since: int = 0
    """Business date of the first fact."""
    points: list[int] = field(default_factory=list)
    """Of the score, by component in the order of their names (see `scorecard`)."""
    score_on: int = NEVER
    """Day on which a component may give other points without any event."""
    abc: str = ""
    rfm: str = ""
    rfa: str = ""
    """Classes by the cut points of the policy, as of the last review."""
    first_issued_on: int = 0
    """Since when invoices are known, whatever became of the first."""
    credit: Credit | None = None
    """What was decided about its credit; None if nothing ever was."""
    collecting: Collecting | None = None
    """The next step of collection; None while nothing is past due, or the policy has no ladder."""


Document = Invoice | Funds | Complaint | Dispute | Order | Entry | Case
"""A ledger's documents are keyed by a letter and their id: i invoice, p payment, c credit note,
k complaint, d dispute, o order; entries m terms and u due parts of an invoice (by its id),
w amounts by invoice of a payment (by its id), f refund,
z reversal (by the payment's id), h change, s service,
t contact, b breach, y survey, a alert, v verdict (by the episode's id); cases q promise, l plan,
g credit decision, r retirement."""
