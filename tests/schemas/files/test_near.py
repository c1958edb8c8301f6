"""Did you mean: a slip or two away, and nothing far-fetched."""

from __future__ import annotations

import pytest

from tocsin.agents.commands.cli import COMMANDS
from tocsin.agents.settings.settings import NAMES
from tocsin.schemas.files.near import did_you_mean, near, slips


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("warnigs", "warnings"),
        ("wranings", "warnings"),
        ("Warnings", "warnings"),
        ("custmer", "customer"),
        ("dead-leters", "dead-letters"),
        ("dead_letters", "dead-letters"),
        ("golive", "go-live"),
        ("workr", "worker"),
        ("pu", "up"),
    ],
)
def test_a_slip_is_understood(written: str, meant: str) -> None:
    assert near(written, COMMANDS) == meant


@pytest.mark.parametrize(
    "written", ["status", "doc", "start", "list", "help", "x", "", "invoices", "leaders", "orders"]
)
def test_nothing_far_fetched_is_proposed(written: str) -> None:
    assert near(written, COMMANDS) is None
    assert did_you_mean(written, COMMANDS) == ""


@pytest.mark.parametrize("written", ["port", "host", "user", "timeout", "web", "kafka_url"])
def test_a_setting_that_only_shares_letters_is_not_meant(written: str) -> None:
    assert near(written, NAMES) is None


def test_two_letters_that_changed_places_are_one_slip() -> None:
    assert slips("ab", "ba") == 1
    assert slips("", "abc") == 3
    assert slips("kitten", "sitting") == 3
