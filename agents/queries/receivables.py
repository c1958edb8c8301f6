"""What is owed invoice by invoice, for demands and provisions: the history, folded as of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.streams.facts.convention import Convention
from tocsin.streams.receivables.invoice_history import ReceivablesAccount, receivables_account_of
from tocsin.streams.receivables.provision import Parameters, Provision, provision_of, window_of


class Difference(Struct, frozen=True):
    """Open minor units of a currency by the worker's standing and by the history, where unequal."""

    currency: str
    standing_minor: int
    history_minor: int


class KnownAccount(Struct, frozen=True):
    """A customer's invoices as of a business day (epoch day), and where the worker differs."""

    account: ReceivablesAccount
    as_of: int
    differences: tuple[Difference, ...]


class KnownProvision(Struct, frozen=True):
    """Expected credit losses as of a day, and where the worker's standing differs."""

    provision: Provision
    differences: tuple[Difference, ...]


def read_account(
    lookup: Lookup, convention: Convention, customer_id: str, as_of: int | None
) -> KnownAccount:
    """A customer's invoices at the end of a business day; of the latest one without `as_of`.

    Only the latest is compared with the worker's standing. Raises InputError for a stranger,
    ConfigurationError where no day is known.
    """
    day = _day_of(lookup, as_of)
    customer_id = lookup.customer(customer_id)
    facts = dict(lookup.receivable_facts(customer_id)).get(customer_id, [])
    if not facts and lookup.standing(customer_id) is None:
        raise lookup.unknown_customer(customer_id)
    account = receivables_account_of(customer_id, facts, convention, day)
    open_minor: Counter[str] = Counter()
    for receivable in account.receivables:
        open_minor[receivable.currency] += receivable.open_minor
    known = lookup.total_due(customer_id) if as_of is None else None
    return KnownAccount(account, day, differences(open_minor, known))


def read_provision(
    lookup: Lookup,
    convention: Convention,
    as_of: int | None,
    window_days: int,
    loss_days: int,
    parameters: Parameters,
) -> KnownProvision:
    """Expected credit losses over all customers; days as in `read_account`.

    `window_days` is how many days of past due dates count, `loss_days` after how many past due an
    invoice counts as lost. Raises ConfigurationError where no day is known.
    """
    day = _day_of(lookup, as_of)
    accounts = (
        receivables_account_of(customer_id, facts, convention, day)
        for customer_id, facts in lookup.receivable_facts()
    )
    found = provision_of(accounts, window_of(day, window_days, loss_days), day, parameters)
    open_minor: Counter[str] = Counter()
    for group, cells in found.matrix.items():
        open_minor[group.currency] += sum(cell.open_minor for cell in cells)
    known = lookup.total_due() if as_of is None else None
    return KnownProvision(found, differences(open_minor, known))


def differences(
    history_minor: Mapping[str, int], standing_minor: Mapping[str, int] | None
) -> tuple[Difference, ...]:
    """Currencies in which the history and the worker's standing differ; none if that is None."""
    if standing_minor is None:
        return ()
    both = (
        Difference(currency, standing_minor.get(currency, 0), history_minor.get(currency, 0))
        for currency in sorted({*history_minor, *standing_minor})
    )
    return tuple(one for one in both if one.standing_minor != one.history_minor)


def _day_of(lookup: Lookup, as_of: int | None) -> int:
    day = lookup.business_date() if as_of is None else as_of
    if day is None:
        raise ConfigurationError(
            "no business date is known yet", mend="load some events first, or give --as-of"
        )
    return day
