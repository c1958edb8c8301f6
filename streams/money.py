"""Exact amounts: integers in minor units of an ISO 4217 currency, and their text.

Nothing here rounds: an amount with more decimals than its currency has is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

AMOUNT_MAX_MINOR = 10**15
"""No single document is worth more; sums of ten thousand such still fit in 64 bits."""

_TWO_DIGITS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD "
    "PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC "
    "SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW "
    "ZWG"
)
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS = "CLF UYW"

MINOR_DIGITS: dict[str, int] = {
    code: digits
    for digits, codes in ((2, _TWO_DIGITS), (0, _NO_DIGITS), (3, _THREE_DIGITS), (4, _FOUR_DIGITS))
    for code in codes.split()
}
"""Every active ISO 4217 currency with the number of decimals of its major unit."""

_WEIGHT_PARTS = 1_000_000

_MAJOR = re.compile(r"(\d[\d,_]*)(?:\.(\d+))?")


def format_minor(amount_minor: int, currency: str) -> str:
    """Write an amount for people: `1234567` and `CNY` give `12,345.67 CNY`."""
    digits = MINOR_DIGITS[currency]
    sign = "-" if amount_minor < 0 else ""
    whole, part = divmod(abs(amount_minor), 10**digits)
    decimals = f".{part:0{digits}d}" if digits else ""
    return f"{sign}{whole:,}{decimals} {currency}"


def weigh(amount_minor: int, currency: str, listed: Mapping[str, int], usual: str) -> int:
    """An amount in millionths of what is listed for its currency, to compare several currencies.

    `listed` are amounts in minor units that are worth about the same. A currency that is not listed
    counts like `usual`, unit for unit; if that is not listed either, against one unit.
    """
    base = listed.get(currency)
    if base is None:
        digits = MINOR_DIGITS.get(currency, 2)
        base = listed.get(usual, 10 ** MINOR_DIGITS.get(usual, 2)) * 10**digits
        base //= 10 ** MINOR_DIGITS.get(usual, 2)
    return amount_minor * _WEIGHT_PARTS // max(base, 1)


def parse_major(text: str, currency: str) -> int | None:
    """Read `12,345.67` as minor units; None if it is no amount or has too many decimals."""
    digits = MINOR_DIGITS.get(currency)
    match = _MAJOR.fullmatch(text.strip())
    if digits is None or match is None:
        return None
    whole, part = match.group(1).replace(",", "").replace("_", ""), match.group(2) or ""
    if len(part) > digits:
        return None
    amount = int(whole) * 10**digits + int(part.ljust(digits, "0") or "0")
    return amount if amount <= AMOUNT_MAX_MINOR else None
