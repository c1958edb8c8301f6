"""What the law gives on late payment: which statute applies to an invoice, from when, how much.

Two statutes are known. China, State Council order 802 of 2025, protection of payments to small and
medium enterprises: public bodies pay within 60 days of delivery at most, large enterprises too
unless the contract says otherwise; interest is what was agreed but not below the loan prime rate of
one year, without agreement 0.05 % a day. The European Union, Directive 2011/7: the reference rate
of each half year and 8 points (article 2), in Germany more, and EUR 40 flat for each invoice
(article 6). What a statute gives are dated data that name where they were read; what was not read
gives nothing. Which applies, and why not the other, is said by reasons, never guessed: what is not
known is named. Counsel must confirm a claim.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct

from tocsin.streams.receivables.interest import Rate

_EPOCH = date(1970, 1, 1)
ECB, LPR = "ecb-main-refinancing", "lpr-1y"

CN_SELLERS = ("MICRO", "SMALL", "MEDIUM")
CN_BUYERS = ("LARGE", "PUBLIC")

EU_FLAT_CURRENCY = "EUR"
CN_TERM_PUBLIC, CN_TERM_LARGE = "cn-term-public", "cn-term-large"
CN_DAILY_RATE, CN_RATE_FLOOR = "cn-daily-rate", "cn-rate-floor"
EU_POINTS, EU_FLAT_SUM, EU_TERM, DE_POINTS = "eu-points", "eu-flat-sum", "eu-term", "de-points"
_GAPS = (
    "known only",
    "floor not known",
    "own reference rate",
)  # reasons for which interest may be too low
_EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU_COUNTRIES = frozenset(_EU.split())
_OWN_MONEY = frozenset(
    ["CZ", "DK", "HU", "PL", "RO", "SE"]
)  # their reference rates are their own banks'
_EURO_SINCE = {"LV": 2014, "LT": 2015, "HR": 2023, "BG": 2026}  # from 1 January, since 2013


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
        return self.name, iso(self.first), iso(self.until)


class LegalDatum(Struct, frozen=True):
    """One thing that a text of law gives, as it was read.

    It speaks for the days (epoch days) `from_day` to `until`; None: for ever. `value` is days,
    millionths, or cents of a euro. `read_on` is the day on which the text was read, `confirm` what
    counsel must confirm before anything is claimed by it.
    """

    act: str
    act_zh: str
    article: str
    gives: str
    from_day: int
    until: int | None
    value: int
    read_at: str
    read_on: int
    confirm: str
    confirm_zh: str


class Law(Struct, frozen=True):
    """What the law on late payment gives, by name, and the SHA-256 of the file."""

    data: Mapping[str, LegalDatum]
    hash: str

    def at(self, name: str, day: int) -> LegalDatum | None:
        """What was read under a name and speaks for a day; None: nothing may be claimed by it."""
        datum = self.data.get(name)
        if datum is None or day < datum.from_day:
            return None
        return datum if datum.until is None or day <= datum.until else None


class Reference(Struct, frozen=True):
    """All reference rates by name, the SHA-256 of the file that they come from, and the law."""

    series: dict[str, Series]
    hash: str
    law: Law


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
    all. Days are epoch days. `law` names the data of the law that it rests on.
    """

    rule: str
    due_day: int
    rates: tuple[Rate, ...]
    flat_minor: int
    because: tuple[Reason, ...]
    until: int | None = None
    law: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all reference rates that it builds on are known."""
        return not any(reason.code in _GAPS for reason in self.because)


class Dated(Struct, frozen=True):
    """The dates of an invoice, epoch days; `delivered_on` None: not known."""

    issued_on: int
    due_day: int
    delivered_on: int | None = None


def earliest_due(dated: Dated, law: Law) -> int:
    """The earliest day (epoch day) that may count as the due day under any statute."""
    term = law.data.get(CN_TERM_PUBLIC)
    if dated.delivered_on is None or term is None:
        return dated.due_day
    return min(dated.due_day, dated.delivered_on + term.value)


def basis_of(dated: Dated, parties: Parties, reference: Reference, as_of: int) -> Basis:
    """By what an invoice bears interest up to a day, and why."""
    against_cn = _against_cn(dated, parties, reference.law)
    if not against_cn:
        return _by_cn(dated, parties, reference)
    against_eu = _against_eu(dated, parties, reference.law)
    if not against_eu:
        return _by_eu(dated, parties, reference, as_of)
    against = (*against_cn, *against_eu)
    if parties.agreed is not None:
        rate = Rate(dated.due_day, parties.agreed.millionths, parties.agreed.is_daily)
        return Basis("CONTRACT", dated.due_day, (rate,), 0, (Reason("agreed"), *against))
    return Basis("NONE", dated.due_day, (), 0, (Reason("not agreed"), *against))


def _against_cn(dated: Dated, parties: Parties, law: Law) -> tuple[Reason, ...]:
    """Why China's order does not apply; empty if it does."""
    found = [
        *_country("CN_802", "seller_country", parties.seller_country, ("CN",)),
        *_country("CN_802", "buyer_country", parties.buyer_country, ("CN",)),
    ]
    if found:
        return _weightiest(found)
    found += _size("seller_size", parties.seller_size, CN_SELLERS)
    found += _size("buyer_size", parties.buyer_size, CN_BUYERS)
    day = dated.issued_on if dated.delivered_on is None else dated.delivered_on
    found += _unread("CN_802", (CN_TERM_PUBLIC, CN_TERM_LARGE, CN_DAILY_RATE), law, day)
    return tuple(found)


def _by_cn(dated: Dated, parties: Parties, reference: Reference) -> Basis:
    because = [Reason("CN_802", (str(parties.seller_size), str(parties.buyer_size)))]
    is_public = parties.buyer_size == "PUBLIC"
    term = CN_TERM_PUBLIC if is_public else CN_TERM_LARGE
    due_day, days = dated.due_day, reference.law.data[term].value
    if dated.delivered_on is None:
        because.append(Reason("no delivery date"))
    elif is_public and dated.delivered_on + days < due_day:
        due_day = dated.delivered_on + days
        because.append(Reason("60 days from delivery", (str(days),)))
    elif dated.delivered_on + days < due_day:
        because.append(Reason("agreed term", (str(days),)))
    agreed = parties.agreed
    if agreed is None:
        daily = reference.law.data[CN_DAILY_RATE].value
        rate = Rate(due_day, daily, is_daily=True)
        because.append(Reason("statutory daily rate", (percent(daily),)))
        return Basis("CN_802", due_day, (rate,), 0, tuple(because), law=(term, CN_DAILY_RATE))
    rate = Rate(due_day, agreed.millionths, agreed.is_daily)
    floor = reference.series[LPR].at(dated.issued_on)
    if floor is None or CN_RATE_FLOOR not in reference.law.data:  # what was agreed is owed at least
        because.append(Reason("floor not known", reference.series[LPR].reach))
    elif agreed.millionths * (365 if agreed.is_daily else 1) < floor:
        rate = Rate(due_day, floor)
        because.append(Reason("below the floor", (percent(floor),)))
    else:
        because.append(Reason("not below the floor", (percent(floor),)))
    return Basis("CN_802", due_day, (rate,), 0, tuple(because), law=(term, CN_RATE_FLOOR))


def _against_eu(dated: Dated, parties: Parties, law: Law) -> tuple[Reason, ...]:
    """Why the Union's directive does not apply; empty if it does."""
    found = [
        *_country("EU_2011_7", "seller_country", parties.seller_country, EU_COUNTRIES),
        *_country("EU_2011_7", "buyer_country", parties.buyer_country, EU_COUNTRIES),
    ]
    if not found:
        found += _unread("EU_2011_7", (EU_POINTS,), law, dated.issued_on)
    return _weightiest(found)


def _by_eu(dated: Dated, parties: Parties, reference: Reference, as_of: int) -> Basis:
    because = [Reason("EU_2011_7", (str(parties.seller_country), str(parties.buyer_country)))]
    first, law, used = dated.due_day + 1, reference.law, list[str]()
    term, flat = law.at(EU_TERM, dated.issued_on), law.at(EU_FLAT_SUM, dated.issued_on)
    if term is not None and dated.due_day - dated.issued_on > term.value:
        because.append(Reason("more than 60 days", (str(term.value),)))
        used.append(EU_TERM)
    used += [] if flat is None else [EU_FLAT_SUM]
    flat_minor = 0 if flat is None else flat.value
    if as_of < first:
        return Basis("EU_2011_7", dated.due_day, (), flat_minor, tuple(because), law=tuple(used))
    series, points = reference.series[ECB], EU_POINTS
    if (parties.seller_country, parties.buyer_country) == ("DE", "DE"):
        points = EU_POINTS if law.at(DE_POINTS, dated.issued_on) is None else DE_POINTS
    rates: tuple[Rate, ...] = ()
    if _has_own_money(str(parties.seller_country), first):
        because.append(Reason("own reference rate", (str(parties.seller_country),)))
        if parties.agreed is not None:
            rates = (Rate(first, parties.agreed.millionths, parties.agreed.is_daily),)
            because.append(Reason("agreed"))
            return Basis(
                "EU_2011_7", dated.due_day, rates, flat_minor, tuple(because), law=tuple(used)
            )
    else:
        rates = series.rates(first, as_of, law.data[points].value)
        used.insert(0, points)
        if points == DE_POINTS:
            because.append(Reason("more in Germany"))
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
    return Basis(
        "EU_2011_7", dated.due_day, rates, flat_minor, tuple(because), series.until, tuple(used)
    )


def _weightiest(found: list[Reason]) -> tuple[Reason, ...]:
    """Of reasons against a statute: that it is of other countries, else all."""
    elsewhere = tuple(reason for reason in found if reason.code == "elsewhere")
    return elsewhere or tuple(found)


def _has_own_money(country: str, day: int) -> bool:
    """Whether a member state's money was not the euro on a day: its reference rate is not ours."""
    since = _EURO_SINCE.get(country)
    joined_on = 0 if since is None else (date(since, 1, 1) - _EPOCH).days
    return country in _OWN_MONEY or day < joined_on


def _unread(statute: str, names: tuple[str, ...], law: Law, day: int) -> list[Reason]:
    """Why what a statute gives may not be claimed for a day: not in force yet, or never read."""
    for name in names:
        datum = law.data.get(name)
        if datum is None:
            return [Reason("not read", (statute, name))]
        if law.at(name, day) is None:
            code, bound = ("before", datum.from_day)
            if day >= datum.from_day and datum.until is not None:
                code, bound = "after", datum.until
            return [Reason(code, (statute, iso(bound)))]
    return []


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


def iso(day: int) -> str:
    """An epoch day as an ISO date."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def percent(millionths: int) -> str:
    """A rate as percent without needless zeros: 121500 is `12.15`."""
    whole, part = divmod(millionths, 10_000)
    return f"{whole}.{part:04}".rstrip("0").rstrip(".")
