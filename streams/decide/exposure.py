"""Exposure: what a customer owes, by currency, in the order in which a warning says it.

Nothing is converted. Amounts are compared as multiples of the amounts that the policy lists for its
currencies, those from which on its collection takes steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.facts.money import format_minor, weigh
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.policy.policy import Policy


def exposures_of(ledger: Ledger, subject: str, policy: Policy) -> tuple[Exposure, ...]:
    """What the customer of a ledger owes: never empty, first what a warning has as its own.

    That is the subject's currency where a rule has one, else the largest; of a customer without
    accounts nothing, in the reporting currency. Others follow, the largest first, none of zero.
    """
    return led_by(subject, ranked_exposures(ledger, policy), policy.reporting_currency)


def ranked_exposures(ledger: Ledger, policy: Policy) -> list[Exposure]:
    """What the customer of a ledger owes in each currency of its accounts, the most first."""
    accounts = ledger.summary.accounts.items()
    found = (Exposure(currency, account.exposure_minor) for currency, account in accounts)
    return largest_first(found, policy)


def led_by(
    subject: str, ranked: Sequence[Exposure], reporting_currency: str
) -> tuple[Exposure, ...]:
    """Ranked exposures with the one first that a warning about a subject has as its own."""
    if subject:
        own = next((one for one in ranked if one.currency == subject), Exposure(subject, 0))
    else:
        own = ranked[0] if ranked else Exposure(reporting_currency, 0)
    others = [one for one in ranked if one.exposure_minor and one.currency != own.currency]
    return (own, *others)


def largest_first(exposures: Iterable[Exposure], policy: Policy) -> list[Exposure]:
    """What is owed, the most first; then where the customer is ahead; then zeros.

    Ties are in the order of the currencies' codes.
    """
    listed, usual = policy.listed_amounts, policy.reporting_currency

    def rank(one: Exposure) -> tuple[bool, bool, int, str]:
        weight = weigh(one.exposure_minor, one.currency, listed, usual)
        return one.exposure_minor == 0, one.exposure_minor < 0, -abs(weight), one.currency

    return sorted(exposures, key=rank)


def tell_exposures(exposures: Iterable[Exposure]) -> str:
    """Exposures in words: all that are not zero, else the first."""
    found = list(exposures)
    owed = [one for one in found if one.exposure_minor] or found[:1]
    return ", ".join(format_minor(one.exposure_minor, one.currency) for one in owed)
