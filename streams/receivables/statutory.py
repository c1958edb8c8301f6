"""What the law gives on late payment: which statute applies to an invoice, from when, how much.

Two statutes are known. China, State Council order 802 of 2025, protection of payments to small and
medium enterprises: large enterprises and public bodies pay within 60 days of delivery; interest is
what was agreed but not below the loan prime rate of one year, without agreement 0.05 % a day. The
European Union, Directive 2011/7: the reference rate of each half year and 8 points (article 2), and
EUR 40 flat for each invoice (article 6). Which applies, and why not the other, is said by reasons,
never guessed: what is not known is named. Counsel must confirm a claim.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta

from msgspec import Struct

from tocsin.streams.receivables.interest import Rate

_EPOCH = date(1970, 1, 1)
ECB, LPR = "ecb-main-refinancing", "lpr-1y"

CN_IN_FORCE = (date(2025, 6, 1) - _EPOCH).days
CN_TERM_DAYS = 60
CN_DAILY_MILLIONTHS = 500  # 0.05 % a day
CN_SELLERS = ("MICRO", "SMALL", "MEDIUM")
CN_BUYERS = ("LARGE", "PUBLIC")

EU_IN_FORCE = (date(2013, 3, 16) - _EPOCH).days
EU_POINTS_MILLIONTHS = 80_000
EU_FLAT_MINOR, EU_FLAT_CURRENCY = 40_00, "EUR"
EU_TERM_DAYS = 60
_GAPS = ("known only", "floor not known")  # reasons for which interest may be too low
_EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU_COUNTRIES = frozenset(_EU.split())


class Series(Struct, frozen=True):
    """A reference rate: `points` are the days (epoch days) of its changes, with millionths.

    It speaks for days from its first point up to and with `until`, and never guesses another.
    """

    name: str
    what: str
    what_zh: str
    source: str
    until: int
    points: tuple[tuple[int, int], ...]

    @property
    def first(self) -> int:
        """The first day (epoch day) that it speaks for."""
        return self.points[0][0]

    def at(self, day: int) -> int | None:
        """The rate in force on a day, in millionths a year; None if it is not known."""
        place = bisect_right(self.points, day, key=lambda point: point[0])
        return self.points[place - 1][1] if place and day <= self.until else None

    def rates(self, first: int, until: int, plus: int = 0) -> tuple[Rate, ...]:
        """What is known of the rates in force from one day to another, with `plus` millionths."""
        changes = [day for day, _ in self.points if first < day <= until]
        found = ((day, self.at(day)) for day in (first, *changes))
        return tuple(Rate(day, rate + plus) for day, rate in found if rate is not None)

    def covers(self, first: int, until: int) -> bool:
        """Whether it speaks for all days from one to another."""
        return self.first <= first and until <= self.until

    @property
    def reach(self) -> tuple[str, str, str]:
        """Its name, the first and the last day that it speaks for, as texts to be told."""
        return self.name, _iso(self.first), _iso(self.until)


class Reference(Struct, frozen=True):
    """All reference rates by name, and the SHA-256 of the file that they come from."""

    series: dict[str, Series]
    hash: str


class Parties(Struct, frozen=True):
    """Who sells to whom: countries as ISO 3166 codes, sizes as in CustomerUpdated; None: unknown.

    `agreed` is the rate of the contract for late payment, in millionths, if there is one.
    """

    seller_country: str | None = None
    seller_size: str | None = None
    buyer_country: str | None = None
    buyer_size: str | None = None
    agreed: Rate | None = None


class Reason(Struct, frozen=True):
    """Why something applies or does not: a code, and the values to be told with it."""

    code: str
    values: tuple[str, ...] = ()


class Basis(Struct, frozen=True):
    """By what an invoice bears interest.

    `rule` is CN_802, EU_2011_7, CONTRACT or NONE. `due_day` is the day that counts: the statute may
    set an earlier one than the invoice. The rates speak for days up to and with `until`; None: for
    all. Days are epoch days.
    """

    rule: str
    due_day: int
    rates: tuple[Rate, ...]
    flat_minor: int
    because: tuple[Reason, ...]
    until: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all reference rates that it builds on are known."""
        return not any(reason.code in _GAPS for reason in self.because)


class Dated(Struct, frozen=True):
    """The dates of an invoice, epoch days; `delivered_on` None: not known."""

    issued_on: int
    due_day: int
    delivered_on: int | None = None


def earliest_due(dated: Dated) -> int:
    """The earliest day (epoch day) that may count as the due day under any statute."""
    if dated.delivered_on is None:
        return dated.due_day
    return min(dated.due_day, dated.delivered_on + CN_TERM_DAYS)


def basis_of(dated: Dated, parties: Parties, reference: Reference, as_of: int) -> Basis:
    """By what an invoice bears interest up to a day, and why."""
    against_cn = _against_cn(dated, parties)
    if not against_cn:
        return _by_cn(dated, parties, reference)
    against_eu = _against_eu(dated, parties)
    if not against_eu:
        return _by_eu(dated, parties, reference, as_of)
    against = (*against_cn, *against_eu)
    if parties.agreed is not None:
        rate = Rate(dated.due_day, parties.agreed.millionths, parties.agreed.is_daily)
        return Basis("CONTRACT", dated.due_day, (rate,), 0, (Reason("agreed"), *against))
    return Basis("NONE", dated.due_day, (), 0, (Reason("not agreed"), *against))


def _against_cn(dated: Dated, parties: Parties) -> tuple[Reason, ...]:
    """Why China's order does not apply; empty if it does."""
    found = [
        *_country("CN_802", "seller_country", parties.seller_country, ("CN",)),
        *_country("CN_802", "buyer_country", parties.buyer_country, ("CN",)),
    ]
    if found:
        return tuple(found)
    found += _size("seller_size", parties.seller_size, CN_SELLERS)
    found += _size("buyer_size", parties.buyer_size, CN_BUYERS)
    day = dated.issued_on if dated.delivered_on is None else dated.delivered_on
    if day < CN_IN_FORCE:
        found.append(Reason("before", ("CN_802", "2025-06-01")))
    return tuple(found)


def _by_cn(dated: Dated, parties: Parties, reference: Reference) -> Basis:
    because = [Reason("CN_802", (str(parties.seller_size), str(parties.buyer_size)))]
    due_day = dated.due_day
    if dated.delivered_on is None:
        because.append(Reason("no delivery date"))
    elif dated.delivered_on + CN_TERM_DAYS < due_day:
        due_day = dated.delivered_on + CN_TERM_DAYS
        because.append(Reason("60 days from delivery"))
    agreed = parties.agreed
    if agreed is None:
        rate = Rate(due_day, CN_DAILY_MILLIONTHS, is_daily=True)
        return Basis("CN_802", due_day, (rate,), 0, (*because, Reason("0.05 % a day")))
    rate = Rate(due_day, agreed.millionths, agreed.is_daily)
    floor = reference.series[LPR].at(dated.issued_on)
    if floor is None:  # the agreed rate is owed at least
        because.append(Reason("floor not known", reference.series[LPR].reach))
    elif agreed.millionths * (365 if agreed.is_daily else 1) < floor:
        rate = Rate(due_day, floor)
        because.append(Reason("below the floor", (percent(floor),)))
    else:
        because.append(Reason("not below the floor", (percent(floor),)))
    return Basis("CN_802", due_day, (rate,), 0, tuple(because))


def _against_eu(dated: Dated, parties: Parties) -> tuple[Reason, ...]:
    """Why the Union's directive does not apply; empty if it does."""
    found = [
        *_country("EU_2011_7", "seller_country", parties.seller_country, EU_COUNTRIES),
        *_country("EU_2011_7", "buyer_country", parties.buyer_country, EU_COUNTRIES),
    ]
    if not found and dated.issued_on < EU_IN_FORCE:
        found.append(Reason("before", ("EU_2011_7", "2013-03-16")))
    return tuple(found)


def _by_eu(dated: Dated, parties: Parties, reference: Reference, as_of: int) -> Basis:
    because = [Reason("EU_2011_7", (str(parties.seller_country), str(parties.buyer_country)))]
    first = dated.due_day + 1
    if dated.due_day - dated.issued_on > EU_TERM_DAYS:
        because.append(Reason("more than 60 days"))
    if as_of < first:
        return Basis("EU_2011_7", dated.due_day, (), EU_FLAT_MINOR, tuple(because))
    series = reference.series[ECB]
    rates = series.rates(first, as_of, EU_POINTS_MILLIONTHS)
    if not series.covers(first, as_of):
        because.append(Reason("known only", series.reach))
    agreed = parties.agreed
    if agreed is not None and rates:
        higher = agreed.millionths * (365 if agreed.is_daily else 1)
        if all(higher > rate.millionths for rate in rates):
            rates = (Rate(first, agreed.millionths, agreed.is_daily),)
            because.append(Reason("agreed more"))
        else:
            because.append(Reason("agreed less"))
    return Basis("EU_2011_7", dated.due_day, rates, EU_FLAT_MINOR, tuple(because), series.until)


def _country(
    statute: str, name: str, country: str | None, wanted: tuple[str, ...] | frozenset[str]
) -> list[Reason]:
    if country is None:
        return [Reason("unknown", (statute, name))]
    return [] if country in wanted else [Reason("elsewhere", (statute, name, country))]


def _size(name: str, size: str | None, wanted: tuple[str, ...]) -> list[Reason]:
    if size is None:
        return [Reason("unknown", ("CN_802", name))]
    return [] if size in wanted else [Reason("other size", ("CN_802", name, size))]


def _iso(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def percent(millionths: int) -> str:
    """A rate as percent without needless zeros: 121500 is `12.15`."""
    whole, part = divmod(millionths, 10_000)
    return f"{whole}.{part:04}".rstrip("0").rstrip(".")
