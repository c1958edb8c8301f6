"""Amounts as text, and back."""

from __future__ import annotations

import pytest

from tocsin.streams.facts.money import MINOR_DIGITS, format_minor, parse_major


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (1234567, "CNY", "12,345.67 CNY"),
        (5, "EUR", "0.05 EUR"),
        (-150, "EUR", "-1.50 EUR"),
        (1234567, "JPY", "1,234,567 JPY"),
        (1234, "BHD", "1.234 BHD"),
        (0, "USD", "0.00 USD"),
    ],
)
def test_an_amount_is_written_in_major_units(amount_minor: int, currency: str, text: str) -> None:
    assert format_minor(amount_minor, currency) == text


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("12,345.67", "CNY", 1234567),
        ("12_345", "CNY", 1234500),
        ("0.5", "EUR", 50),
        ("100", "JPY", 100),
        ("100.5", "JPY", None),
        ("1.001", "EUR", None),
        ("-1", "EUR", None),
        ("", "EUR", None),
        ("1", "XXX", None),
        ("99999999999999999999", "EUR", None),
    ],
)
def test_an_amount_is_read_exactly_or_not_at_all(
    text: str, currency: str, amount_minor: int | None
) -> None:
    assert parse_major(text, currency) == amount_minor


def test_every_currency_has_three_capitals_and_at_most_four_decimals() -> None:
    assert all(len(code) == 3 and code.isupper() for code in MINOR_DIGITS)
    assert set(MINOR_DIGITS.values()) == {0, 2, 3, 4}
