"""`tocsin demand` and `tocsin provision`: what is owed by law and contract, and losses expected."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any

import click

from tocsin.agents.commands.options import GivenPath, Named, connected, language_option
from tocsin.agents.commands.values import Day
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.queries.journal_marks import latest_mark
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.queries.receivables import Difference, read_account, read_provision
from tocsin.agents.queries.working_days import following_of
from tocsin.agents.render.demand import demand_json, demand_text
from tocsin.agents.render.provision import provision_json, show_provision
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import money
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX
from tocsin.schemas.policies.reference_rates import ReferenceRatesError, packaged_rates, read_rates
from tocsin.streams.facts.checks import SIZES
from tocsin.streams.receivables.demand import Conditions, Demand, demand_of
from tocsin.streams.receivables.interest import MILLION, DayCount, Order, Rate
from tocsin.streams.receivables.provision import (
    BUCKET_ITEMS_MIN_DEFAULT,
    ITEMS_MIN_DEFAULT,
    LOSS_DAYS_DEFAULT,
    WINDOW_DAYS_DEFAULT,
    Parameters,
)
from tocsin.streams.receivables.statutory import Parties, Reference

ORDERS = {"principal-first": Order.PRINCIPAL_FIRST, "costs-first": Order.COSTS_FIRST}
DAY_COUNTS = {count.value: count for count in DayCount}


class Percent(click.ParamType):
    """Percent with up to four decimals, read as millionths."""

    name = "percent"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Millionths of `12.5`."""
        try:
            millionths = Decimal(value) * 10_000
            is_rate = 0 <= millionths <= 100 * MILLION and millionths == int(millionths)
        except DecimalException:  # also of NaN, which compares with nothing
            is_rate = False
        if not is_rate:
            self.fail(f"{value!r} is no rate; write percent, such as 12.5", param, ctx)
        return int(millionths)


as_of_option = click.option(
    "--as-of",
    type=Day(),
    help="As of the end of this day; the latest business date if not given.",
)


@click.command("demand")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@as_of_option
@click.option("--seller-country", metavar="CC", help="Where the seller is, ISO 3166.")
@click.option("--seller-size", type=click.Choice(sorted(SIZES)), help="How large the seller is.")
@click.option("--agreed-rate", type=Percent(), metavar="PERCENT", help="Agreed interest a year.")
@click.option("--agreed-daily", type=Percent(), metavar="PERCENT", help="Agreed interest a day.")
@click.option("--penalty-daily", type=Percent(), metavar="PERCENT", help="Agreed penalty a day.")
@click.option("--penalty-cap", type=Percent(), metavar="PERCENT", help="Of the principal, at most.")
@click.option(
    "--day-count", type=click.Choice(list(DAY_COUNTS)), default="ACT/365", show_default=True
)
@click.option(
    "--order",
    type=click.Choice(list(ORDERS)),
    default="principal-first",
    show_default=True,
    help="What a partial payment pays first.",
)
@click.option("--open-only", is_flag=True, help="Leave out invoices that were paid late.")
@click.option("--rates", type=GivenPath(), help="Reference rates in place of the packaged ones.")
@language_option
@connected
def demand(
    settings: Settings, terminal: Terminal, /, customer_id: str, language: Language, **given: Any
) -> None:
    """What may be demanded of a customer: principal, interest, costs, by invoice, and why.

    Interest is what the law gives on late payment (China's order 802, Directive 2011/7/EU) by the
    countries and sizes of seller and customer, else what was agreed. A due day on which either
    country does not work counts as the next one; money at hand is deducted. Counsel must confirm.
    """
    if given["agreed_rate"] is not None and given["agreed_daily"] is not None:
        raise click.UsageError("give --agreed-rate or --agreed-daily, not both")
    reference = _reference(given["rates"])
    with open_lookup(settings) as lookup:
        known = read_account(lookup, convention_of(settings), customer_id, given["as_of"])
        mark = latest_mark(settings, lookup, known.account.customer_id)
    profile = known.account.profile
    parties = Parties(
        given["seller_country"],
        given["seller_size"],
        profile.country,
        profile.size,
        _agreed(given["agreed_rate"], given["agreed_daily"]),
    )
    conditions = Conditions(
        DAY_COUNTS[given["day_count"]],
        ORDERS[given["order"]],
        given["penalty_daily"] or 0,
        given["penalty_cap"],
        given["open_only"],
    )
    following = following_of((parties.seller_country, parties.buyer_country))
    found = demand_of(known.account, parties, reference, conditions, known.as_of, following)
    journal = None if mark is None else str(mark)
    terminal.result(demand_json(found, language) | {"journal": journal})
    for line in demand_text(found, profile.name or "", language, journal or ""):
        terminal.say(line)
    _tell_gaps(terminal, found)
    _tell_differences(terminal, known.differences)


@click.command("provision")
@as_of_option
@click.option(
    "--window",
    "window_days",
    type=click.IntRange(30, 36_500),
    default=WINDOW_DAYS_DEFAULT,
    show_default=True,
    metavar="DAYS",
    help="How many days of past due dates count.",
)
@click.option(
    "--loss-after",
    "loss_days",
    type=click.IntRange(91, 3_650),
    default=LOSS_DAYS_DEFAULT,
    show_default=True,
    metavar="DAYS",
    help="Days past due after which what is unpaid counts as lost.",
)
@click.option(
    "--minimum",
    "items_min",
    type=click.IntRange(1),
    default=ITEMS_MIN_DEFAULT,
    show_default=True,
    metavar="N",
    help="Past invoices that a segment needs for rates of its own.",
)
@click.option(
    "--bucket-minimum",
    "bucket_items_min",
    type=click.IntRange(1),
    default=BUCKET_ITEMS_MIN_DEFAULT,
    show_default=True,
    metavar="N",
    help="Past invoices that must have reached a bucket for its rate.",
)
@click.option(
    "--outlook",
    type=Percent(),
    default="100",
    show_default=True,
    metavar="PERCENT",
    help="Forward-looking multiplier of every rate, as declared by you.",
)
@connected
def provision(
    settings: Settings,
    terminal: Terminal,
    *,
    as_of: int | None,
    window_days: int,
    loss_days: int,
    items_min: int,
    bucket_items_min: int,
    outlook: int,
) -> None:
    """Expected credit losses: the provision matrix, and how its rates follow from the history.

    IFRS 9, simplified: by bucket of age and segment, what was finally lost of what reached it.
    """
    parameters = Parameters(items_min, outlook, bucket_items_min)
    with open_lookup(settings) as lookup:
        found = read_provision(
            lookup, convention_of(settings), as_of, window_days, loss_days, parameters
        )
    terminal.result(provision_json(found.provision))
    show_provision(terminal, found.provision)
    _tell_differences(terminal, found.differences)


def _reference(path: Path | None) -> Reference:
    text = packaged_rates() if path is None else read_given(path, POLICY_BYTES_MAX, "--rates")
    try:
        return read_rates(text)
    except ReferenceRatesError as error:
        raise InputError(str(error), mend="mend the file given with --rates") from error


def _agreed(yearly: int | None, daily: int | None) -> Rate | None:
    if daily is not None:
        return Rate(0, daily, is_daily=True)
    return None if yearly is None else Rate(0, yearly)


def _tell_gaps(terminal: Terminal, found: Demand) -> None:
    """Say of how many invoices the interest may be too low, for want of a reference rate."""
    incomplete = sum(not item.basis.is_complete for item in found.items)
    if incomplete:
        terminal.note(
            f"the interest of {incomplete} of {len(found.items)} invoices may be too low: a "
            "reference rate is not known for all days; give a file with these rates (--rates), or "
            "an earlier --as-of"
        )


def _tell_differences(terminal: Terminal, found: Iterable[Difference]) -> None:
    """Say where the history, folded anew, and the worker's standing differ."""
    for one in found:
        terminal.note(
            f"the worker's standing says {money(one.standing_minor, one.currency)} open, the "
            f"history here {money(one.history_minor, one.currency)}: see `tocsin verify`"
        )
