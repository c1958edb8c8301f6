"""The fold that forgets nothing: what customers owe by it, against the worker's ledgers."""

from __future__ import annotations

import json
from collections import defaultdict

from tests.book import default_document
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.queries.lookup import RECEIVABLE_KINDS
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import CustomerEvent, PolicyPublished
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState
from tocsin.streams.policy.policy import canonical
from tocsin.streams.receivables.invoice_history import receivables_account_of

CONVENTION = Convention(horizon_days=60)  # much is forgotten by the worker
KEPT = ("ledger-limit-exceeded",)


def short_policy() -> str:
    """The default policy without what looks back further than the horizon."""
    document = json.loads(default_document())
    kept = {name: document["rules"][name] for name in KEPT}
    names = ("name", "version", "reporting_currency", "texts", "sources")
    return canonical({name: document[name] for name in names} | {"rules": kept})


def test_what_is_open_is_what_the_worker_says_though_it_forgets() -> None:
    ledgers, known = Ledgers(), defaultdict[str, list[tuple[int, CustomerEvent]]](list)
    desk = DecisionEngine(CONVENTION, ledgers, PartitionState(), {})
    desk.process(POLICIES.topic_id, 0, 0, 0, PolicyPublished("default", 1, 0, short_policy(), ""))
    facts = Portfolio(Request(customers=12, days=300), CONVENTION).facts()
    for offset, fact in enumerate(facts):
        desk.begin(10**9)
        desk.process(fact.topic_id, 0, offset, fact.instant, fact.event)
        if type(fact.event).__name__ in RECEIVABLE_KINDS:
            known[fact.event.customer_id].append((fact.instant, fact.event))

    assert len(known) >= 12
    forgotten = 0
    for customer_id, story in known.items():
        ledger = ledgers.find(customer_id)
        assert ledger is not None
        standing = receivables_account_of(customer_id, story, CONVENTION, desk.state.business_date)
        by_currency: dict[str, int] = defaultdict(int)
        for receivable in standing.receivables:
            by_currency[receivable.currency] += receivable.open_minor
            paid = sum(paid.amount_minor for paid in receivable.paid)
            assert paid + receivable.open_minor == receivable.amount_minor
        accounts = ledger.summary.accounts.items()
        assert {currency: owed for currency, owed in by_currency.items() if owed} == {
            currency: account.open_minor for currency, account in accounts if account.open_minor
        }
        assert standing.unapplied_minor == {
            currency: account.unapplied_minor
            for currency, account in accounts
            if account.unapplied_minor
        }
        forgotten += len(standing.receivables) - len(ledger.invoices)
    assert forgotten > 100
