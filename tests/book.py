"""A book: a customer's facts as lines of text, run through a desk; shared by the domain's tests."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml

from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.assess import assess
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention, epoch_day_text
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.money import format_minor, parse_major
from tocsin.streams.facts.sources import NAMES
from tocsin.streams.ledger.documents import Account, Invoice
from tocsin.streams.ledger.ledger import ALL, Ledger
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import (
    LoadedPartition,
    PartitionState,
    changes,
    load,
    partition_change,
    policy_change,
)
from tocsin.streams.measures.scorecard import GRADES
from tocsin.streams.policy.policy import RESUMPTION_DIGEST, canonical
from tocsin.streams.policy.reading import load_policy

CUSTOMER = "ACME"
ZONE = "Asia/Shanghai"
EPOCH = date(1970, 1, 1)

_LINE = re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d))? (\w+) ?(.*)")
_MONEY = r"(?P<amount>[\d,.]+) (?P<currency>[A-Z]{3})"
_FORMS = {
    "invoice": re.compile(
        rf"(?P<id>\S+) {_MONEY} due (?P<due>\S+)(?: cost (?P<cost>[\d,.]+))?"
        r"(?: less (?P<less>.+?))?(?: in (?P<parts>.+?))?(?: on (?P<on>\S+))?"
    ),
    "payment": re.compile(rf"(?P<id>\S+) {_MONEY}(?: for (?P<named>[^@]*?))?(?: on (?P<on>\S+))?"),
    "credit": re.compile(rf"(?P<id>\S+) {_MONEY} (?P<reason>[A-Z_]+)(?: for (?P<named>\S+))?"),
    "refund": re.compile(rf"(?P<id>\S+) {_MONEY}(?: of (?P<payment>\S+))?"),
    "silence": re.compile(r"(?P<id>\S+)(?: of (?P<rule>\S+))? until (?P<until>\S+) (?P<why>.+)"),
    "profile": re.compile(r"(?:segment (?P<segment>\S+))? ?(?:country (?P<country>\S+))?"),
    "limit": re.compile(rf"(?:none|{_MONEY})(?: prepay (?P<prepay>\d+)%)?"),
    "dispute": re.compile(
        rf"(?P<id>\S+) {_MONEY} of (?P<named>\S+) (?P<reason>[A-Z]+)(?P<own> own)?"
    ),
    "complaint": re.compile(r"(?P<id>\S+) (?P<kind>[A-Z]+)(?: about (?P<about>\S+))?"),
    "service": re.compile(rf"(?P<id>\S+) (?P<minutes>\d+) minutes(?: cost {_MONEY})?"),
    "accounts": re.compile(
        r"(?P<on>\S+) (?P<currency>[A-Z]{3})(?: equity (?P<equity>-?\d+))?"
        r"(?: liabilities (?P<liabilities>\d+))?(?: income (?P<income>-?\d+))?"
    ),
    "decide": re.compile(
        rf"(?P<id>\S+) (?P<kind>[A-Z]+)(?: (?P<outcome>APPROVED|REJECTED))?(?: {_MONEY})?"
        r"(?: prepay (?P<prepay>\d+)%)?(?: until (?P<until>\S+))?"
    ),
    "promise": re.compile(rf"(?P<id>\S+) {_MONEY} by (?P<due>\S+)(?: for (?P<named>.+))?"),
    "plan": re.compile(r"(?P<id>\S+) (?P<currency>[A-Z]{3}) (?P<parts>.+)"),
    "order": re.compile(rf"(?P<id>\S+) {_MONEY}(?: delivered (?P<delivered>[\d,.]+))?"),
}


def day(text: str) -> int:
    """An ISO date as an epoch day."""
    return (date.fromisoformat(text) - EPOCH).days


def instant(text: str, clock: str = "12:00", zone: str = ZONE) -> int:
    """A local date and time as epoch milliseconds."""
    local = datetime.fromisoformat(f"{text} {clock}").replace(tzinfo=ZoneInfo(zone))
    return int(local.timestamp()) * 1000


def minor(amount: str, currency: str) -> int:
    """Major units as text to minor units."""
    found = parse_major(amount, currency)
    assert found is not None, amount
    return found


def parse_line(line: str, customer: str = CUSTOMER) -> tuple[int, int, events.Event]:
    """One line of a book as (timestamp, topic id, event)."""
    match = _LINE.fullmatch(line.strip())
    assert match, f"no fact: {line!r}"
    at = instant(match[1], match[2] or "12:00")
    return at, *_parse_fact(customer, at, match[3], match[4])


def _parse_fact(customer: str, at: int, verb: str, rest: str) -> tuple[int, events.Event]:
    parts: dict[str, Any] = {}
    if verb in _FORMS:
        form = _FORMS[verb].fullmatch(rest.strip())
        assert form, f"no {verb}: {rest!r}"
        parts = form.groupdict()
    words = rest.split()
    on = instant(parts["on"]) if parts.get("on") and verb != "accounts" else at
    named = tuple(name.strip() for name in (parts.get("named") or "").split(",") if name.strip())
    match verb:
        case "invoice":
            amount = minor(parts["amount"], parts["currency"])
            return 3, events.InvoiceIssued(
                customer,
                parts["id"],
                on,
                day(parts["due"]),
                amount,
                parts["currency"],
                minor(parts["cost"], parts["currency"]) if parts["cost"] else None,
                discounts=_discounts(parts["less"] or "", parts["currency"]),
                due_parts=_due_parts(parts["parts"] or "", parts["currency"]),
            )
        case "payment":
            amount = minor(parts["amount"], parts["currency"])
            shares = _allocations(named, parts["currency"])
            if shares:
                named = ()
            return 4, events.PaymentReceived(
                customer, parts["id"], on, amount, parts["currency"], named, shares
            )
        case "credit":
            amount = minor(parts["amount"], parts["currency"])
            return 3, events.CreditNoteIssued(
                customer,
                parts["id"],
                at,
                amount,
                parts["currency"],
                parts["reason"],
                named[0] if named else None,
            )
        case "limit":
            has = parts["amount"] is not None
            limit = minor(parts["amount"], parts["currency"]) if has else None
            return 2, events.CustomerUpdated(
                customer,
                at,
                credit_limit_minor=limit,
                credit_limit_currency=parts["currency"],
                prepayment_basis_points=int(parts["prepay"]) * 100 if parts["prepay"] else None,
            )
        case "dispute":
            return 6, events.DisputeOpened(
                customer,
                parts["id"],
                at,
                named[0],
                minor(parts["amount"], parts["currency"]),
                parts["currency"],
                parts["reason"],
                bool(parts["own"]),
            )
        case "settle":  # a dispute: settle D-1 ACCEPTED, and "own" for the seller's fault
            return 6, events.DisputeResolved(customer, words[0], at, words[1], words[2:] == ["own"])
        case "order":
            return 6, events.OrderUpdated(
                customer,
                parts["id"],
                at,
                minor(parts["amount"], parts["currency"]),
                minor(parts["delivered"] or "0", parts["currency"]),
                parts["currency"],
            )
        case "cancel":
            return 3, events.InvoiceCancelled(customer, words[0], at)
        case "uncredit":
            return 3, events.CreditNoteCancelled(customer, words[0], at)
        case "refund":  # refund F-1 500.00 EUR of P-1
            amount = minor(parts["amount"], parts["currency"])
            return 4, events.PaymentRefunded(
                customer, parts["id"], at, amount, parts["currency"], parts["payment"]
            )
        case "reverse":  # reverse P-1 CHARGED_BACK, reverse P-1 BOUNCED part 100.00 EUR
            told, _, part = rest.partition(" part ")
            undone = minor(*part.split()) if part else None
            kind = told.split()[1] if len(told.split()) > 1 else None
            return 4, events.PaymentReversed(customer, words[0], at, kind=kind, amount_minor=undone)
        case "complaint":
            return 5, events.ComplaintOpened(
                customer, parts["id"], at, parts["kind"], parts["about"]
            )
        case "resolve":
            return 5, events.ComplaintResolved(customer, words[0], at, words[1])
        case "silence":
            until = day(parts["until"])
            return 6, events.SilenceBegan(
                customer, parts["id"], at, "lead", parts["why"], until, parts["rule"]
            )
        case "unsilence":
            return 6, events.SilenceEnded(customer, words[0], at, "lead", "settled")
        case "acknowledge":  # acknowledge overdue-age:CNY 1, the first episode of that
            return 6, events.WarningAcknowledged(customer, episode_id(customer, *words), at, "lead")
        case "verdict":  # verdict overdue-age:CNY 1 FALSE_ALARM
            name = episode_id(customer, *words[:2])
            return 6, events.VerdictGiven(customer, name, at, words[2], "lead", "looked into")
        case "retire":  # retire R-1 PROPOSED, and "by CUSTOMER", and "COLLECT"
            initiative = "CUSTOMER" if "CUSTOMER" in words else "SELLER"
            decision = next((w for w in words[2:] if w in ("COLLECT", "PLAN", "WRITE_OFF")), None)
            return 6, events.RetirementAdvanced(
                customer, words[0], at, words[1], initiative, "lead", "reasons", decision
            )
        case "promise" | "unpromise" | "plan" | "unplan":
            return 6, _parse_promised(customer, at, verb, words, parts)
        case "profile":
            return 2, events.CustomerUpdated(
                customer, at, segment=parts["segment"], country=parts["country"]
            )
        case "change" | "contact" | "service" | "breach" | "survey":
            return 6, _parse_conduct(customer, at, verb, words, parts)
        case "rating" | "accounts" | "alert" | "lift":
            return 2, _parse_standing(customer, at, verb, words, parts)
        case "decide":  # decide V-1 LIMIT REJECTED 500.00 CNY prepay 30% until 2025-03-01
            return 6, events.CreditDecided(
                customer,
                parts["id"],
                at,
                parts["kind"],
                "lead",
                "looked into",
                parts["outcome"],
                minor(parts["amount"], parts["currency"]) if parts["amount"] else None,
                parts["currency"],
                int(parts["prepay"]) * 100 if parts["prepay"] else None,
                day(parts["until"]) if parts["until"] else None,
            )
        case "close":
            return 1, events.DayClosed(at // 86_400_000, "feed")
        case "complete":  # complete payments 2025-02-10
            topic = next(number for number, name in NAMES.items() if name == words[0])
            return 1, events.SourceCompleted(topic, day(words[1]), "bank")
        case "live":
            return 1, events.WentLive("feed")
    raise AssertionError(f"no verb: {verb!r}")


def _discounts(told: str, currency: str) -> tuple[events.CashDiscount, ...]:
    """Cash discount terms: less 3% until 2025-01-10, 20.00 until 2025-01-20."""
    found = []
    for step in told.split(", ") if told else ():
        amount, until = step.split(" until ")
        if amount.endswith("%"):
            found.append(events.CashDiscount(day(until), int(amount[:-1]) * 100))
        else:
            found.append(events.CashDiscount(day(until), None, minor(amount, currency)))
    return tuple(found)


def _due_parts(told: str, currency: str) -> tuple[events.DuePart, ...]:
    """Due parts: in 400.00 by 2025-02-01; 600.00 by 2025-03-01."""
    parts = [part.split(" by ") for part in told.split("; ")] if told else []
    return tuple(events.DuePart(day(until), minor(amount, currency)) for amount, until in parts)


def _allocations(named: tuple[str, ...], currency: str) -> tuple[events.PaymentAllocation, ...]:
    """Amounts by invoice: for R-1 = 400.00, R-2 = 500.00 settling 540.00 USD."""
    found = []
    for name in named:
        invoice_id, _, told = name.partition(" = ")
        amount, _, settled = told.partition(" settling ")
        if told:
            other = minor(*settled.split()) if settled else None
            found.append(events.PaymentAllocation(invoice_id, minor(amount, currency), other))
    return tuple(found)


def episode_id(customer: str, key: str, ordinal: str) -> str:
    """The id of an episode, by rule:subject and which one of them it is."""
    rule, _, subject = key.partition(":")
    return derived_id(customer, rule, subject, ordinal)


def _parse_conduct(
    customer: str, at: int, verb: str, words: list[str], parts: dict[str, Any]
) -> events.Event:
    match verb:
        case "change":  # change H-1 QUANTITY
            return events.OrderChanged(customer, words[0], at, words[1])
        case "contact":  # contact T-1 REFUSED_TO_PAY DISPUTE, contact T-2 ANSWERED step CALL
            told, _, step = " ".join(words).partition(" step ")
            name, outcome, *reason = told.split()
            return events.ContactLogged(
                customer, name, at, "PHONE", outcome, *reason, step=step or None
            )
        case "service":  # service S-1 90 minutes cost 100.00 CNY
            cost = minor(parts["amount"], parts["currency"]) if parts["amount"] else None
            return events.ServiceRecorded(
                customer, parts["id"], at, int(parts["minutes"]), cost, parts["currency"]
            )
        case "breach":  # breach B-1 RESALE serious
            return events.ContractBreached(
                customer, words[0], at, words[1], words[2:] == ["serious"]
            )
    return events.SatisfactionReported(customer, words[0], at, int(words[1]))


def _parse_promised(
    customer: str, at: int, verb: str, words: list[str], parts: dict[str, Any]
) -> events.Event:
    currency = parts.get("currency") or ""
    match verb:
        case "promise":  # promise Q-1 1,000.00 CNY by 2025-03-01 for INV-1, INV-2
            named = tuple(name.strip() for name in (parts["named"] or "").split(",") if name)
            amount = minor(parts["amount"], currency)
            return events.PromiseMade(
                customer, parts["id"], at, amount, currency, day(parts["due"]), named
            )
        case "unpromise":
            return events.PromiseWithdrawn(customer, words[0], at, "lead", "by agreement")
        case "plan":  # plan L-1 CNY 500.00 by 2025-03-01, 500.00 by 2025-04-01
            told = [part.split(" by ") for part in parts["parts"].split(", ")]
            instalments = tuple(
                events.Instalment(day(until), minor(amount, currency)) for amount, until in told
            )
            return events.PlanAgreed(customer, parts["id"], at, currency, instalments, "lead")
    return events.PlanEnded(customer, words[0], at, words[1], "lead", "by agreement")


def _parse_standing(
    customer: str, at: int, verb: str, words: list[str], parts: dict[str, Any]
) -> events.Event:
    match verb:
        case "rating":  # rating AGENCY 14
            return events.RatingReported(customer, at, words[0], int(words[1]))
        case "accounts":  # accounts 2024-12-31 CNY equity 100 liabilities 900 income -20
            figures = [
                None if parts[name] is None else int(parts[name]) * 100
                for name in ("equity", "liabilities", "income")
            ]
            return events.FinancialsReported(
                customer, at, day(parts["on"]), parts["currency"], *figures
            )
        case "alert":  # alert A-1 COURT
            return events.AlertRaised(customer, words[0], at, words[1])
    return events.AlertLifted(customer, words[0], at)


@cache
def default_document() -> str:
    """The packaged default policy as canonical JSON, but for whom it tells: everything is told.

    Whom it tells is seen in tests/streams/decide/test_muting.py.
    """
    policy, document, problems = read_policy(default_policy_text(), 400)
    assert policy is not None, problems
    plain = msgspec.json.decode(document)
    del plain["telling"]
    for rule in plain["rules"].values():
        rule.pop("told_from", None)
        rule.pop("audience", None)
    return canonical(plain)


def audited(*lines: str, document: str | None = None) -> Book:
    """A book whose totals agree with its documents, before and after a restart."""
    found = Book(document)
    for line in lines:
        found.add(line)
        audit(found.ledger)
    found.restart()
    audit(found.ledger)
    return found


def each_for_itself() -> str:
    """The default policy without the rule of arrears that mutes what says the same."""
    plain = msgspec.json.decode(default_document())
    leading = "arrears-beyond-habit"
    del plain["rules"][leading]
    for rule in plain["rules"].values():
        named = rule.get("inhibited_by", [])
        left = [name for name in ([named] if isinstance(named, str) else named) if name != leading]
        if left:
            rule["inhibited_by"] = left
        else:
            rule.pop("inhibited_by", None)
    return canonical(plain)


def patched(document: str, patch: str) -> str:
    """A policy document with some parts replaced, as the next version of it."""
    plain = msgspec.json.decode(document)
    merge(plain, yaml.safe_load(patch))
    plain["version"] += 1
    found = canonical(plain)
    policy, problems = load_policy(found, 400)
    assert policy is not None, problems
    return found


def merge(plain: dict[str, Any], patch: dict[str, Any]) -> None:
    """Replace parts of a mapping, mapping by mapping; null drops a part."""
    for key, value in patch.items():
        if value is None:
            plain.pop(key)
        elif isinstance(value, dict) and isinstance(plain.get(key), dict):
            merge(plain[key], value)
        else:
            plain[key] = value


class Book:
    """A desk that is fed lines; `warnings` are all that it ever decided."""

    def __init__(self, document: str | None = None, convention: Convention | None = None) -> None:
        self.convention = convention or Convention(zone=ZONE)
        self.desk = DecisionEngine(self.convention, Ledgers(), PartitionState(), {})
        self.offset = 0
        self.warnings: list[RiskWarning] = []
        self.store: dict[bytes, bytes | None] = {}
        self.log: list[bytes] = []
        self.publish(default_document() if document is None else document)

    def publish(self, document: str, at: int = 631_152_000_000, effective_from: int = 0) -> None:
        """Publish a policy document."""
        plain = msgspec.json.decode(document)
        published = events.PolicyPublished(
            plain["name"], plain["version"], effective_from, document, ""
        )
        assert self.take(at, 0, published) is Step.DONE

    def take(
        self, at: int, topic_id: int, event: events.Event, budget: int = 10**9
    ) -> Step | Refusal:
        """Take one event, in as many slices as the budget asks for, writing state after each."""
        while True:
            self.desk.begin(budget)
            outcome = self.desk.process(topic_id, 0, self.offset, at, event)
            self.warnings += self.desk.warnings
            self.write()
            if outcome is not Step.UNFINISHED:
                self.offset += 1
                return outcome

    def add(self, *lines: str) -> list[RiskWarning]:
        """Take lines that must be accepted; returns the warnings that they brought."""
        before = len(self.warnings)
        for line in lines:
            outcome = self.take(*parse_line(line))
            assert outcome is Step.DONE, f"{line}: {outcome}"
        return self.warnings[before:]

    def write(self) -> None:
        """Put what the slice changed into the store, as the changelog would."""
        found = [partition_change(self.desk.state)]
        for customer_id, ledger in self.desk.touched.items():
            written = changes(customer_id, ledger)
            if written:
                assert written[0][2] == msgspec.msgpack.encode(ledger.summary)
            found += written
        for policy_hash in self.desk.touched_policies:
            found.append(policy_change(policy_hash, self.desk.policies.get(policy_hash)))
        for key, kind, body in found:
            self.store[key] = body
            self.log.append(key + b"|" + kind.encode() + b"|" + (body or b"-"))

    def restart(self) -> None:
        """Go on with what the store holds, as a new process would."""
        loaded = self._read_back()
        assert loaded.state is not None
        self.desk = DecisionEngine(self.convention, loaded.ledgers, loaded.state, loaded.policies)

    def overlooked(self) -> list[tuple[str, str, int | None]]:
        """What is found by assessing everything from scratch, over ledgers that were read back."""
        policy = self.desk._policy
        assert policy is not None
        rules, found = policy.plan(ALL, frozenset()), []
        for customer_id, ledger in self._read_back().ledgers.items():
            assert changes(customer_id, ledger) == []
            ledger.affected = ALL
            found += assess(ledger, rules, self.desk.state.business_date)
        return [(finding.rule.name, finding.subject, finding.value) for finding in found]

    def _read_back(self) -> LoadedPartition:
        loaded = LoadedPartition()
        for key in sorted(self.store):
            load(loaded, key, 1, self.store[key])
        loaded.finish()
        return loaded

    @property
    def ledger(self) -> Ledger:
        """The customer's ledger."""
        return self.desk.ledgers[CUSTOMER]


def tell(warning: RiskWarning) -> str:
    """A warning as one line that a credit controller can read."""
    value = str(warning.value)
    match warning.unit:
        case "MINOR":
            value = format_minor(warning.value, warning.subject)
        case "DAYS":
            value += " days"
        case "BASIS_POINTS":
            value = f"{warning.value // 100}.{warning.value % 100:02d}%"
        case "GRADE":
            value = f"grade {GRADES[warning.value]}"
    ids = ", ".join(evidence.id for evidence in warning.evidence) or (
        warning.subject if not warning.customer_id else ""
    )
    said = (
        f"{epoch_day_text(warning.as_of)} {warning.transition} {warning.rule} "
        f"{warning.severity} {value} {warning.reason}" + (f" [{ids}]" if ids else "")
    )
    said += f" missing {warning.missing}" if warning.missing else ""
    said += f" muted by {warning.muted_by}" if warning.muted_by else ""
    return said + (f": {warning.text_en}" if warning.rule == RESUMPTION_DIGEST else "")


def audit(ledger: Ledger) -> None:
    """Fail if a ledger's totals differ from its documents, or money got lost or made."""
    for currency, account in ledger.summary.accounts.items():
        invoices = {k: i for k, i in ledger.invoices.items() if i.currency == currency}
        funds = {k: f for k, f in ledger.funds.items() if f.currency == currency}
        loose = sum(due.loose_minor for due in account.due.values())
        assert account.open_minor == sum(i.open_minor for i in invoices.values()) + loose
        assert account.open_minor == sum(due.open_minor for due in account.due.values())
        parked = sum(f.unapplied_minor for f in funds.values())
        assert account.unapplied_minor == parked + account.loose_minor
        assert all(due.count > 0 and due.open_minor > 0 for due in account.due.values())
        for invoice_id, invoice in invoices.items():
            applied = sum((invoice.applied or {}).values())
            if not invoice.is_cancelled:
                assert invoice.open_minor + applied == invoice.amount_minor
                assert (invoice.open_minor == 0) == bool(invoice.closed_on)
            for key, amount in (invoice.applied or {}).items():
                if key in funds:
                    assert (funds[key].applied or {})[invoice_id] == amount
        for key, money in funds.items():
            if not money.is_reversed:
                used = sum((money.applied or {}).values())
                assert money.unapplied_minor + used == money.amount_minor
            for target in (money.applied or {}).keys() & invoices.keys():
                assert key in (invoices[target].applied or {})
                assert (money.unapplied_minor == 0) == bool(money.closed_on)
        _audit_disputes(ledger, account, invoices)
        orders = [order for order in ledger.orders.values() if order.currency == currency]
        assert account.ordered_minor == sum(order.open_minor for order in orders)
        assert account.delivered_minor == sum(order.delivered_minor for order in orders)
        shelf = ledger.shelves[currency]
        assert shelf.days == sorted(account.due)
        if shelf.idle:
            assert account.open_minor == account.disputed_minor, "idle money beside open items"


def _audit_disputes(ledger: Ledger, account: Account, invoices: dict[str, Invoice]) -> None:
    assert account.disputed_minor == sum(i.disputed_minor for i in invoices.values())
    assert account.disputed_minor == sum(due.disputed_minor for due in account.due.values())
    for invoice_id, invoice in invoices.items():
        claims = sum(
            dispute.amount_minor
            for dispute in ledger.disputes.values()
            if dispute.invoice_id == invoice_id
            and dispute.currency == invoice.currency
            and dispute.outcome in ("", "ACCEPTED")
        )
        assert 0 <= invoice.disputed_minor <= min(claims, invoice.open_minor)
