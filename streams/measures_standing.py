"""Measures of what others say of a customer: ratings, its accounts, courts and registries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tocsin.streams import ledger as parts
from tocsin.streams.checks_engagements import ALERT_KINDS
from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import Ledger
from tocsin.streams.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.severity import Ladder
from tocsin.streams.sources import CUSTOMERS
from tocsin.streams.standing import ALERT

SHARE_MAX = 1_000_000
"""Basis points that stand for any debt where nothing is owned, and any loss without equity."""


def _figures(ledger: Ledger, kind: str) -> Iterator[tuple[str, int]]:
    """Figures of a kind, each with its agency or currency."""
    prefix = kind + ":"
    for name, figure in ledger.summary.figures.items():
        if name.startswith(prefix):
            yield name[len(prefix) :], figure


def _rating_notch(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return max((notch for _, notch in _figures(ledger, "rating")), default=None), NEVER


def _share_of_equity(
    name: str, share: Callable[[int, int], int]
) -> Callable[[Ledger, str, int, Parameters, Ladder], Reading]:
    """The gravest share over the currencies, of a figure and the equity beside it."""

    def read(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        equities = dict(_figures(ledger, "equity"))
        found = [
            share(figure, equities[currency])
            for currency, figure in _figures(ledger, name)
            if currency in equities
        ]
        return max(found, default=None), NEVER

    return read


def _liabilities_share(liabilities: int, equity: int) -> int:
    if not liabilities and equity >= 0:
        return 0
    owned = liabilities + equity
    return min(liabilities * 10_000 // owned, SHARE_MAX) if owned > 0 else SHARE_MAX


def _loss_share(income: int, equity: int) -> int:
    if income >= 0:
        return 0
    return min(-income * 10_000 // equity, SHARE_MAX) if equity > 0 else SHARE_MAX


def _open_alerts(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    figures = ledger.summary.figures
    if not parameters.include:
        return figures.get("alerts", 0), NEVER
    return sum(figures.get(f"alerts:{kind}", 0) for kind in parameters.include), NEVER


def _ratings(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    figures = ledger.summary.figures
    for agency, notch in _figures(ledger, "rating"):
        yield notch, agency, CUSTOMERS, figures[f"rating_offset:{agency}"]


def _accounts(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    figures = ledger.summary.figures
    for currency, offset in _figures(ledger, "accounts_offset"):
        yield figures[f"period_end:{currency}"], ledger.customer_id, CUSTOMERS, offset


def _alerts(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for key, entry in ledger.entries.items():
        if (
            key.startswith(ALERT)
            and entry.kind
            and not entry.is_over
            and (not parameters.include or entry.kind in parameters.include)
        ):
            yield entry.on, key[1:], CUSTOMERS, entry.offset


_FROM_OUTSIDE = frozenset({CUSTOMERS})

STANDING_MEASURES = (
    Measure(
        "rating_notch",
        Unit.COUNT,
        _rating_notch,
        _ratings,
        parts.STANDING,
        _FROM_OUTSIDE,
    ),
    Measure(
        "liabilities_share",
        Unit.BASIS_POINTS,
        _share_of_equity("liabilities", _liabilities_share),
        _accounts,
        parts.STANDING,
        _FROM_OUTSIDE,
    ),
    Measure(
        "loss_share",
        Unit.BASIS_POINTS,
        _share_of_equity("income", _loss_share),
        _accounts,
        parts.STANDING,
        _FROM_OUTSIDE,
    ),
    Measure(
        "open_alerts",
        Unit.COUNT,
        _open_alerts,
        _alerts,
        parts.STANDING,
        _FROM_OUTSIDE,
        optional=("include",),
        words={"include": ALERT_KINDS},
    ),
)
