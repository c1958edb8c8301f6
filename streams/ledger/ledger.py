"""A customer's ledger: summary, documents, and the indexes that make an event cheap.

The worker owns it and changes it in place. What is persisted is the summary and the documents;
the indexes (open items by due day, money not applied yet) are rebuilt from them by `index`. Every
change of an open amount goes through `raise_open` and `lower_open`, so that
totals can't drift apart.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from tocsin.streams.ledger import allocations
from tocsin.streams.ledger.allocations import ALLOCATIONS, Allocated
from tocsin.streams.ledger.commitment_payments import CommitmentIndex
from tocsin.streams.ledger.delay_habit import note_paid, note_unpaid
from tocsin.streams.ledger.documents import (
    NEVER,
    SETTLED_WITHOUT_MONEY,
    Account,
    Case,
    Complaint,
    Dispute,
    Document,
    Due,
    Entry,
    Funds,
    Invoice,
    Order,
    Settled,
    Summary,
)
from tocsin.streams.ledger.due_parts import DUE_PARTS, DueParts, from_content
from tocsin.streams.ledger.rolling_windows import Window
from tocsin.streams.ledger.settled_items import SETTLED_MAX, map_header, pack, pack_all

# What an event affected, as bits: rules over other measures need not be looked at.
LIMITED = 1  # what a credit limit is compared with
OVERDUE = 2
SETTLED = 4
ISSUED = 8
COMPLAINTS = 16
RETURNS = 32
FOLDED = 64
PROFILE = 128
COMPLAINT_RATE = 256  # one more invoice: the rate can only fall
RETURN_RATE = 512
CONDUCT = 1024  # a tally of what the customer did, or how it met us
ORDERS = 2048
STANDING = 4096  # what others say: ratings, accounts, alerts
TURNOVER = 8192  # sums of what was invoiced, what it cost, what was paid
OPEN = 16384  # what is open, or money at hand
EXPOSURE = LIMITED | OPEN
SCORE = 32768  # score, grade or class
BACKDATED = 65536  # an invoice issued more than `RECENT_DAYS` before it was known
CASES = 131072  # a promise, a plan, another process
COLLECTION = 262144  # the next step of collection
LOSS = 524288  # money of a customer to whom a debt was once written off
ALL = 1048575

RECENT_DAYS = 7

CUTS_MAX = 4
"""Days before which sums are kept: one per grace period in use, and then they start afresh."""

PRUNE_INTERVAL_DAYS = 50
"""Documents are kept up to this much longer than the horizon, so that pruning is rare."""


class OpenItems:
    """Open items of one currency: due days in order, and per day the invoice ids in order."""

    __slots__ = ("_before", "days", "idle", "items", "largest")

    def __init__(self) -> None:
        self._before: dict[int, int] = {}  # what is due before some days, kept up to date
        self.days: list[int] = []
        self.items: dict[int, list[str]] = {}
        self.idle: list[tuple[int, str]] = []  # money that waits for no named invoice
        self.largest: tuple[int, str] | None = None  # open item; None: to be looked for

    def change(self, day: int, amount_minor: int) -> None:
        """Note that what is due on a day and not disputed changed."""
        for before in self._before:
            if day < before:
                self._before[before] += amount_minor

    def due_before(self, day: int, account: Account) -> int:
        """What is due before a day and not disputed; cheap for days asked for again and again."""
        total = self._before.get(day)
        if total is None:
            early = [account.due[date] for date in self.days[: bisect_left(self.days, day)]]
            total = sum([due.open_minor - due.disputed_minor for due in early])
            if len(self._before) >= CUTS_MAX:
                self._before.clear()
            self._before[day] = total
        return total


class Ledger:
    """One customer. Invariant: idle money never stands beside anything open and undisputed."""

    __slots__ = (
        "_tallies",
        "about",
        "affected",
        "allocated",
        "awaited",
        "cases",
        "cases_of",
        "commitment_index",
        "complained",
        "complaints",
        "customer_id",
        "delays",
        "dirty",
        "disputed",
        "disputes",
        "entries",
        "funds",
        "invoices",
        "is_touched",
        "issued",
        "near",
        "open_rules",
        "orders",
        "packed",
        "parted",
        "residuals",
        "returned",
        "shelves",
        "short",
        "summary",
        "waiting",
    )

    def __init__(self, customer_id: str, summary: Summary | None = None) -> None:
        self.customer_id = customer_id
        self.summary = Summary() if summary is None else summary
        self.invoices: dict[str, Invoice] = {}
        self.funds: dict[str, Funds] = {}  # by "p" + payment id or "c" + credit note id
        self.complaints: dict[str, Complaint] = {}
        self.disputes: dict[str, Dispute] = {}
        self.orders: dict[str, Order] = {}
        self.entries: dict[str, Entry] = {}  # by kind letter + id
        self.cases: dict[str, Case] = {}  # by kind letter + id
        self.cases_of: dict[str, dict[str, Case]] = {}  # the same by kind letter
        self.shelves: dict[str, OpenItems] = {}
        self.awaited: dict[str, list[tuple[int, str]]] = {}  # money by the invoice it waits for
        self.about: dict[str, list[str]] = {}  # complaints by the invoice that they name
        self.near: dict[tuple[int, int], Window] = {}  # complaints near due dates, as last counted
        self.disputed: dict[str, list[str]] = {}  # ids of disputes by the invoice they are about
        self.allocated: dict[str, dict[str, Allocated]] = {}  # by payment: amounts by invoice
        self.parted: dict[str, DueParts] = {}  # the invoices that fall due in parts
        self.residuals: set[str] = set()  # invoices that something else than money settled
        self.short: set[str] = set()  # short payments, by their keys
        self.dirty: dict[str, Document | None] = {}  # by kind letter + id; None: forgotten
        self.commitment_index: CommitmentIndex | None = (
            None  # what promises and plans have got; None: to be built
        )
        self.waiting: tuple[Case, ...] | None = None  # what collection waits for; None: to be built
        self.packed: bytes | None = None  # settled items, without a head; None: to be packed
        self.is_touched = False
        self.affected = 0
        self._index_summary()

    def account(self, currency: str) -> Account:
        """The account of a currency, opened at its first document."""
        account = self.summary.accounts.get(currency)
        if account is None:
            account = self.summary.accounts[currency] = Account()
            self.shelves[currency] = OpenItems()
        return account

    def add_case(self, key: str, case: Case) -> None:
        """Take a new case, by kind letter + id."""
        self.cases[key] = case
        self.cases_of.setdefault(key[0], {})[key] = case

    def tally(self, name: str) -> Window:
        """The rolling window of a name; opened when it is first asked for."""
        window = self._tallies.get(name)
        if window is None:
            window = self._tallies[name] = Window(self.summary.tallies.setdefault(name, {}))
        return window

    def tallied(self, name: str) -> Window | None:
        """The rolling window of a name for a look; None if nothing was ever counted there."""
        return self.tally(name) if name in self.summary.tallies else None

    def forget_tallies(self, last: int) -> None:
        """Drop the days up to and with `last` of all rolling windows by name."""
        for name in list(self.summary.tallies):
            self.tally(name).forget(last)
            if not self.summary.tallies[name]:
                del self.summary.tallies[name], self._tallies[name]

    def schedule_assessment(self, day: int) -> None:
        """Have the customer assessed at the opening of `day`, unless it is earlier anyhow."""
        if day < self.summary.next_date:
            self.summary.next_date = day

    def schedule_repeat(self, day: int) -> None:
        """Have an open episode said again on `day`."""
        if day < self.summary.repeat_on:
            self.summary.repeat_on = day
        self.schedule_assessment(day)

    def remember(self, key: str, document: Document, today: int, horizon_days: int) -> None:
        """Count a new document and see to it that it is forgotten in time."""
        summary = self.summary
        summary.document_count += 1
        self.dirty[key] = document
        if summary.prune_on == NEVER:
            self.schedule_expiry(today + horizon_days + 1)

    def is_newly_past_due(self, today: int) -> bool:
        """Whether an open item fell due on the day before `today`."""
        return any(today - 1 in shelf.items for shelf in self.shelves.values())

    def next_past_due(self, today: int) -> int:
        """The next day after `today` on which an open item begins to be past due."""
        found = NEVER
        for shelf in self.shelves.values():
            place = bisect_left(shelf.days, today)
            if place < len(shelf.days) and shelf.days[place] + 1 < found:
                found = shelf.days[place] + 1
        return found

    def schedule_expiry(self, day: int) -> None:
        """Have what is too old forgotten on `day`, unless that happens earlier anyhow."""
        if day < self.summary.prune_on:
            self.summary.prune_on = day
            self.schedule_assessment(day)

    def raise_open(self, invoice_id: str, invoice: Invoice, amount_minor: int, today: int) -> None:
        """Raise an invoice's open amount."""
        if invoice_id in self.parted:
            self._move_parts(invoice_id, invoice, amount_minor, today)
            return
        account, day = self.account(invoice.currency), invoice.due_date
        shelf = self.shelves[invoice.currency]
        due = account.due.get(day) or self._due(account, shelf, day)
        if invoice.open_minor == 0:
            due.count += 1
            insort(shelf.items[day], invoice_id)
        invoice.open_minor += amount_minor
        due.open_minor += amount_minor
        account.open_minor += amount_minor
        if shelf.largest is not None and invoice.open_minor >= shelf.largest[0]:
            shelf.largest = max(shelf.largest, (invoice.open_minor, invoice_id))
        if day < today:
            shelf.change(day, amount_minor)
            self.affected |= EXPOSURE | OVERDUE
        else:
            self.affected |= EXPOSURE
            if day + 1 < self.summary.next_date:
                self.summary.next_date = day + 1
        if invoice_id in self.disputed:
            self.note_disputed(invoice_id, invoice, today)

    def lower_open(self, invoice_id: str, invoice: Invoice, amount_minor: int, today: int) -> None:
        """Lower an invoice's open amount."""
        if invoice_id in self.parted:
            self._move_parts(invoice_id, invoice, -amount_minor, today)
            return
        account, day = self.summary.accounts[invoice.currency], invoice.due_date
        shelf = self.shelves[invoice.currency]
        due = account.due[day]
        invoice.open_minor -= amount_minor
        due.open_minor -= amount_minor
        account.open_minor -= amount_minor
        if day < today:
            shelf.change(day, -amount_minor)
            self.affected |= EXPOSURE | OVERDUE
        else:
            self.affected |= EXPOSURE
        if shelf.largest is not None and shelf.largest[1] == invoice_id:
            shelf.largest = None
        if invoice_id in self.disputed:
            self.note_disputed(invoice_id, invoice, today)
        if invoice.open_minor == 0:
            due.count -= 1
            ids = shelf.items[day]
            del ids[bisect_left(ids, invoice_id)]
            if due.count == 0:
                _clear_day(account, shelf, day)

    def note_disputed(self, invoice_id: str, invoice: Invoice, today: int) -> None:
        """Bring the disputed part of an open invoice up to date with its disputes and credits."""
        if invoice_id in self.parted:
            self._move_parts(invoice_id, invoice, 0, today)
            return
        account, day = self.account(invoice.currency), invoice.due_date
        change = min(self._claimed(invoice_id, invoice), invoice.open_minor)
        change -= invoice.disputed_minor
        if change:
            invoice.disputed_minor += change
            account.due[day].disputed_minor += change
            account.disputed_minor += change
            self.shelves[invoice.currency].change(day, -change)
            self.affected |= EXPOSURE | OVERDUE if day < today else EXPOSURE
            self.dirty["i" + invoice_id] = invoice

    def _move_parts(self, invoice_id: str, invoice: Invoice, change: int, today: int) -> None:
        """Change the open amount of an invoice in parts, and what is disputed of it."""
        account, shelf = self.account(invoice.currency), self.shelves[invoice.currency]
        before = self.shares_of(invoice_id, invoice)
        was_open, was_disputed = invoice.open_minor, invoice.disputed_minor
        invoice.open_minor += change
        if invoice_id in self.disputed:
            invoice.disputed_minor = min(self._claimed(invoice_id, invoice), invoice.open_minor)
        account.open_minor += invoice.open_minor - was_open
        account.disputed_minor += invoice.disputed_minor - was_disputed
        after = self.shares_of(invoice_id, invoice)
        for old, new in zip(before, after, strict=True):
            if old != new:
                self._move_part(invoice_id, account, shelf, old, new, today)
        shelf.largest = None
        self.dirty["i" + invoice_id] = invoice

    def _move_part(
        self,
        invoice_id: str,
        account: Account,
        shelf: OpenItems,
        old: tuple[int, int, int],
        new: tuple[int, int, int],
        today: int,
    ) -> None:
        day, was_open, was_disputed = old
        _, is_open, is_disputed = new
        due = account.due.get(day) or self._due(account, shelf, day)
        due.open_minor += is_open - was_open
        due.disputed_minor += is_disputed - was_disputed
        shelf.change(day, is_open - was_open - is_disputed + was_disputed)
        self.affected |= EXPOSURE | OVERDUE if day < today else EXPOSURE
        if day >= today and is_open and day + 1 < self.summary.next_date:
            self.summary.next_date = day + 1
        ids = shelf.items[day]
        if not was_open:
            due.count += 1
            insort(ids, invoice_id)
        elif not is_open:
            due.count -= 1
            del ids[bisect_left(ids, invoice_id)]
            if due.count == 0:
                _clear_day(account, shelf, day)

    def shares_of(self, invoice_id: str, invoice: Invoice) -> list[tuple[int, int, int]]:
        """The days on which an invoice falls due, what is open then, what of it is disputed."""
        parts = self.parted.get(invoice_id)
        if parts is None:
            return [(invoice.due_date, invoice.open_minor, invoice.disputed_minor)]
        settled = invoice.amount_minor - invoice.open_minor
        return parts.shares(settled, invoice.disputed_minor)

    def undisputed_on(self, day: int, invoice_id: str, invoice: Invoice) -> int:
        """What of an open invoice falls due on a day of it and is not disputed."""
        if invoice_id not in self.parted:
            return invoice.open_minor - invoice.disputed_minor
        return sum(
            is_open - held
            for due, is_open, held in self.shares_of(invoice_id, invoice)
            if due == day
        )

    def _claimed(self, invoice_id: str, invoice: Invoice) -> int:
        """What is claimed of an invoice by disputes that go on or were accepted.

        Credit notes on it since the first of them are part of their settlement: a dispute that was
        accepted holds the amount back until its credit note has come.
        """
        disputes = [
            dispute
            for dispute in map(self.disputes.__getitem__, self.disputed.get(invoice_id, ()))
            if dispute.outcome in ("", "ACCEPTED") and dispute.currency == invoice.currency
        ]
        if not disputes:
            return 0
        claimed = sum([dispute.amount_minor for dispute in disputes])
        since = min([dispute.occurred_at for dispute in disputes])
        for key, amount in (invoice.applied or {}).items():
            if key.startswith("c") and key in self.funds and self.funds[key].occurred_at >= since:
                claimed -= amount
        return max(claimed, 0)

    def raise_open_undocumented(
        self, currency: str, day: int, amount_minor: int, count: int, today: int
    ) -> None:
        """Raise what is owed without a document; `count` says how many items that adds."""
        account = self.account(currency)
        due = self._due(account, self.shelves[currency], day)
        if due.loose_minor == 0:
            count = max(count, 1)
        due.count += count
        due.loose_count += count
        due.open_minor += amount_minor
        due.loose_minor += amount_minor
        account.open_minor += amount_minor
        self.shelves[currency].change(day, amount_minor)
        self._stir_due(day, today)

    def lower_open_undocumented(
        self, currency: str, day: int, amount_minor: int, today: int
    ) -> None:
        """Lower what is owed without a document."""
        account, shelf = self.summary.accounts[currency], self.shelves[currency]
        due = account.due[day]
        due.open_minor -= amount_minor
        due.loose_minor -= amount_minor
        account.open_minor -= amount_minor
        shelf.change(day, -amount_minor)
        if due.loose_minor == 0:
            due.count -= due.loose_count
            due.loose_count = 0
            if due.count == 0:
                _clear_day(account, shelf, day)
        self.affected |= EXPOSURE if day >= today else EXPOSURE | OVERDUE

    def change_unapplied(self, currency: str, amount_minor: int, today: int) -> None:
        """Change the unapplied money of a currency by an amount of either sign."""
        account = self.account(currency)
        account.unapplied_minor += amount_minor
        if account.ordered_minor or account.delivered_minor:
            self.affected |= ORDERS
        days = self.shelves[currency].days
        self.affected |= EXPOSURE | OVERDUE if days and days[0] < today else EXPOSURE

    def index_unapplied(self, key: str, funds: Funds) -> None:
        """Index unapplied money by what it waits for, or as idle."""
        entry = (funds.occurred_at, key)
        if funds.is_released:
            insort(self.shelves[funds.currency].idle, entry)
            return
        for invoice_id in dict.fromkeys(funds.invoice_ids):
            if invoice_id not in self.invoices:
                insort(self.awaited.setdefault(invoice_id, []), entry)

    def unindex_unapplied(self, key: str, funds: Funds) -> None:
        """Take money out of the indexes of unapplied money, wherever it is."""
        entry = (funds.occurred_at, key)
        if funds.is_released:
            idle = self.shelves[funds.currency].idle
            position = bisect_left(idle, entry)
            if position < len(idle) and idle[position] == entry:
                del idle[position]
            return
        for invoice_id in funds.invoice_ids:
            waiting = self.awaited.get(invoice_id)
            if waiting is not None and entry in waiting:
                waiting.remove(entry)
                if not waiting:
                    del self.awaited[invoice_id]

    def index(self) -> None:
        """Build all indexes from summary and documents, after a restore."""
        self.shelves = {}
        self.awaited = {}
        self.allocated = {
            "p" + key[1:]: allocations.from_content(entry.content)
            for key, entry in self.entries.items()
            if key[0] == ALLOCATIONS and entry.content
        }
        self.parted = {
            key[1:]: from_content(entry.content, entry.amount)
            for key, entry in self.entries.items()
            if key[0] == DUE_PARTS and entry.content
        }
        self.residuals = set()
        self.short = set()
        self.commitment_index = None
        self.waiting = None
        self.cases_of = {}
        for key, case in self.cases.items():
            self.cases_of.setdefault(key[0], {})[key] = case
        self._index_summary()
        for currency, account in self.summary.accounts.items():
            shelf = self.shelves[currency] = OpenItems()
            shelf.days = sorted(account.due)
            shelf.items = {day: [] for day in shelf.days}
        for invoice_id, invoice in self.invoices.items():
            if invoice.open_minor:
                shelf = self.shelves[invoice.currency]
                for day, is_open, _ in self.shares_of(invoice_id, invoice):
                    if is_open:
                        shelf.items[day].append(invoice_id)
            if invoice.applied and not SETTLED_WITHOUT_MONEY.isdisjoint(invoice.applied):
                self.residuals.add(invoice_id)
        for shelf in self.shelves.values():
            for ids in shelf.items.values():
                ids.sort()
        for key, funds in self.funds.items():
            if funds.unapplied_minor:
                self.index_unapplied(key, funds)
            if funds.is_short:
                self.short.add(key)
        self.about = {}
        self.near = {}
        for complaint_id, complaint in self.complaints.items():
            if complaint.invoice_id is not None:
                self.about.setdefault(complaint.invoice_id, []).append(complaint_id)
        self.disputed = {}
        for dispute_id, dispute in self.disputes.items():
            if dispute.invoice_id:
                insort(self.disputed.setdefault(dispute.invoice_id, []), dispute_id)

    def _index_summary(self) -> None:
        self.open_rules: set[str] = set()  # keys of rules with open episodes
        summary = self.summary
        self.issued = Window(summary.issued)
        self.returned = Window(summary.returns)
        self.complained = Window(summary.complaints)
        self._tallies: dict[str, Window] = {}
        self.note_delays()
        self.note_open_rules()

    def remember_settled(self, invoice_id: str, item: Settled) -> None:
        """Take a settled item as the latest, and forget the oldest of too many."""
        kept = self.summary.settled
        kept[invoice_id] = item
        note_paid(self.summary, item)
        self.delays.append(item.excused_days)
        begin = 0
        if len(kept) > SETTLED_MAX:
            oldest = next(iter(kept))
            begin = len(pack(oldest, kept.pop(oldest)))
            del self.delays[0]
        if self.packed is not None:
            self.packed = self.packed[begin:] + pack(invoice_id, item)

    def forget_settled(self, invoice_id: str) -> bool:
        """Drop an item that is settled no more; whether it was kept."""
        item = self.summary.settled.pop(invoice_id, None)
        if item is None:
            return False
        note_unpaid(self.summary, item)
        self.note_delays()
        return True

    def excuse(self, item: Settled, excused_days: int) -> None:
        """Give a settled item another delay without what is excused of it."""
        note_unpaid(self.summary, item)
        item.excused_days = excused_days
        note_paid(self.summary, item)
        self.note_delays()

    def packed_settled(self) -> bytes:
        """All settled items as the summary's MessagePack has them."""
        settled = self.summary.settled
        if self.packed is None:
            self.packed = pack_all(settled)
        return map_header(len(settled)) + self.packed

    def note_delays(self) -> None:
        """Index the excused delays of settled items, the latest last, after one changed or went."""
        self.delays = [settled.excused_days for settled in self.summary.settled.values()]
        self.packed = None

    def note_open_rules(self) -> None:
        """Index the rules with open or awaited episodes, after one began or ended."""
        episodes = self.summary.episodes
        self.open_rules = {
            key[: key.index(":") + 1]
            for key, episode in episodes.items()
            if episode.severity or episode.crossed
        }

    def _due(self, account: Account, shelf: OpenItems, day: int) -> Due:
        due = account.due.get(day)
        if due is None:
            due = account.due[day] = Due()
            insort(shelf.days, day)
            shelf.items[day] = []
        return due

    def _stir_due(self, day: int, today: int) -> None:
        if day < today:
            self.affected |= EXPOSURE | OVERDUE
        else:
            self.affected |= EXPOSURE
            if day < self.summary.next_date:
                self.schedule_assessment(day + 1)


def _clear_day(account: Account, shelf: OpenItems, day: int) -> None:
    del account.due[day]
    del shelf.items[day]
    del shelf.days[bisect_left(shelf.days, day)]
