"""Classes of customers by cut points that the policy fixes: ABC, RFM and RFA.

ABC is by turnover. RFM (recency, frequency, money of purchases) and RFA (how late, how often late,
which share of the exposure is past due) are three digits each, 5 the best; RFM is of Hughes,
Strategic Database Marketing (1994), whose quintiles these digits are. Cut points are of the
policy, since no partition knows the population; a value equal to one belongs to the better class.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec import Struct

from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters
from tocsin.streams.measures.severity import Ladder

ABC = "ABC"
BEST = 5
CUTS = BEST - 1
WHOLE_BASIS_POINTS = 10_000
UNKNOWN = "-"
"""The digit of what can't be told: never bought, too few settled invoices."""

BEST_VALUE, BEST_VALUE_ON = "abc_best", "abc_best_on"
BEST_VALUE_DAYS = 365
"""How long a customer's best class is remembered against its present one."""

_NO_LADDER = Ladder((), 2**62, 2**62)

MoneyCuts = dict[str, tuple[int, ...]]
"""Rising cut points by currency, in minor units."""


class Abc(Struct, frozen=True):
    """From which turnover (of `window_days`) on a customer is B, and A."""

    window_days: int
    cuts: MoneyCuts


class Rfm(Struct, frozen=True):
    """Days since the last invoice, invoices and turnover within `window_days`."""

    window_days: int
    recency: tuple[int, ...]
    frequency: tuple[int, ...]
    amount: MoneyCuts


class Rfa(Struct, frozen=True):
    """Days past due of the oldest item, share of the last settled paid late, share past due."""

    age_measure: Measure
    late_measure: Measure
    late: Parameters
    age: tuple[int, ...]
    late_share: tuple[int, ...]
    overdue_share: tuple[int, ...]


class Classes(Struct, frozen=True):
    """What a policy classifies by; None: not by that."""

    abc: Abc | None
    rfm: Rfm | None
    rfa: Rfa | None


def more_is_better(value: int, cuts: tuple[int, ...]) -> int:
    """1 below the lowest cut point, one more from each on."""
    return 1 + bisect_right(cuts, value)


def less_is_better(value: int, cuts: tuple[int, ...]) -> int:
    """5 up to the lowest cut point, one less above each."""
    return BEST - bisect_left(cuts, value)


def classify(ledger: Ledger, classes: Classes | None, as_of: int) -> bool:
    """Put a customer into its classes as of an epoch day; whether anything changed by it."""
    summary = ledger.summary
    before = (summary.abc, summary.rfm, summary.rfa)
    if classes is None:
        after = ("", "", "")
    else:
        after = (
            "" if classes.abc is None else _abc(ledger, classes.abc, as_of),
            "" if classes.rfm is None else _rfm(ledger, classes.rfm, as_of),
            "" if classes.rfa is None else _rfa(ledger, classes.rfa, as_of),
        )
    summary.abc, summary.rfm, summary.rfa = after
    return _remember_best(ledger, after[0], as_of) or before != after


def turnover(ledger: Ledger, currency: str, window_days: int, as_of: int) -> int:
    """Invoiced within the window up to and with a day, in minor units."""
    invoiced = ledger.tallied(f"invoiced:{currency}")
    return 0 if invoiced is None else invoiced.total(window_days, as_of)


def value_fall(ledger: Ledger) -> int | None:
    """Classes (of ABC) that a customer lies below its best of the last year."""
    summary = ledger.summary
    if not summary.abc:
        return None
    return max(ABC.index(summary.abc) - summary.figures.get(BEST_VALUE, 0), 0)


def _remember_best(ledger: Ledger, abc: str, as_of: int) -> bool:
    figures = ledger.summary.figures
    if not abc:
        has_any = figures.pop(BEST_VALUE, None) is not None
        figures.pop(BEST_VALUE_ON, None)
        return has_any
    place = ABC.index(abc)
    is_old = as_of - figures.get(BEST_VALUE_ON, 0) > BEST_VALUE_DAYS
    if BEST_VALUE in figures and place > figures[BEST_VALUE] and not is_old:
        return False
    figures[BEST_VALUE], figures[BEST_VALUE_ON] = place, as_of
    return True


def _abc(ledger: Ledger, abc: Abc, as_of: int) -> str:
    best = 0
    for currency, cuts in abc.cuts.items():
        best = max(best, bisect_right(cuts, turnover(ledger, currency, abc.window_days, as_of)))
    return ABC[len(ABC) - 1 - best]


def _rfm(ledger: Ledger, rfm: Rfm, as_of: int) -> str:
    days, frequency, amounts = rfm_values(ledger, rfm, as_of)
    if days is None:
        return UNKNOWN * 3
    amount = max([1, *(more_is_better(amounts[name], cuts) for name, cuts in rfm.amount.items())])
    recency = less_is_better(days, rfm.recency)
    return f"{recency}{more_is_better(frequency, rfm.frequency)}{amount}"


def _rfa(ledger: Ledger, rfa: Rfa, as_of: int) -> str:
    age, late, share = rfa_values(ledger, rfa, as_of)
    often = UNKNOWN if late is None else str(less_is_better(late, rfa.late_share))
    return f"{less_is_better(age, rfa.age)}{often}{less_is_better(share, rfa.overdue_share)}"


def rfm_values(ledger: Ledger, rfm: Rfm, as_of: int) -> tuple[int | None, int, dict[str, int]]:
    """Days since the last invoice (None: there was none), invoices, turnover by currency."""
    last, days = ledger.summary.last_issued_on, rfm.window_days
    return (
        as_of - last if last else None,
        ledger.issued.total(days, as_of),
        {currency: turnover(ledger, currency, days, as_of) for currency in rfm.amount},
    )


def rfa_values(ledger: Ledger, rfa: Rfa, as_of: int) -> tuple[int, int | None, int]:
    """Days past due, share of settled invoices paid late (None: too few), share past due."""
    age = share = 0
    for currency, account in ledger.summary.accounts.items():
        value, _ = rfa.age_measure.read(ledger, currency, as_of, Parameters(), _NO_LADDER)
        age = max(age, value or 0)
        if account.exposure_minor > 0:
            shelf = ledger.shelves[currency]
            overdue = shelf.due_before(as_of, account) - account.unapplied_minor
            share = max(share, max(overdue, 0) * WHOLE_BASIS_POINTS // account.exposure_minor)
    late, _ = rfa.late_measure.read(ledger, "", as_of, rfa.late, _NO_LADDER)
    return age, late, share
