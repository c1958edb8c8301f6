"""What the generator assumes of a portfolio; no default here is measured, each may be replaced.

A YAML file with any of these names replaces them for one run (`read_assumptions`), so that results
can be tried under others. Shares are fractions of 1, delays are days after the due date.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from tocsin.agents.settings.errors import InputError, UnavailableError


class Payer(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of payer: delays are normal around each customer's own mean, which varies too."""

    name: str
    share: float
    delay_days: float
    spread_days: float  # of the customers' means around `delay_days`
    never_late: bool = False


class Regime(Struct, frozen=True, forbid_unknown_fields=True):
    """A change in a customer's behaviour at one date; the truth that warnings are judged by.

    What it multiplies or adds holds from that date on, in full after `ramp_days`, until
    `lasts_days` later if that is given.
    """

    kind: str
    share: float  # of all customers
    ramp_days: int = 0
    lasts_days: int = 0  # 0: for good
    delays_days: tuple[int, ...] = (0,)  # added to delays; one of these per customer
    activity: float = 1.0  # times as many invoices
    complaints: float = 1.0  # times as many complaints
    returns: float = 1.0  # times as many credit notes
    partials: float = 1.0  # times as many payments in parts
    reversals: float = 1.0  # times as many payments that bounce
    disputes: float = 1.0  # times as many disputes
    changes: float = 1.0  # times as many changes of orders
    service: float = 1.0  # times as much service
    margin_percent: float = 0.0  # added to the margin of each invoice
    notches: int = 0  # by which an agency rates it worse, from some weeks before
    discontent: int = 0  # points of satisfaction lost
    alert_share: float = 0.0  # of such customers, about whom a court or registry speaks
    breach_share: float = 0.0  # of such customers, who break the contract
    is_reversed: bool = False  # holds before the date instead of after it


Quantiles = tuple[tuple[float, float], ...]
"""A distribution: shares of 1, rising, each with the value that this share does not exceed."""


class Assumptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that shapes a generated portfolio except its size, dates and seed."""

    invoices_per_customer_day: float = 0.15  # mean; with all that follows above 0.2 events
    zipf_exponent: float = 1.2  # of 10,000 customers the largest has about a fifth, ten half
    volume: Quantiles = ()  # invoices of a customer, only their proportions; instead of Zipf's law
    giant_share: float = 0.0  # of all invoices, by one customer without a regime
    giant_delay_days: float = 0.0
    giant_spread_days: float = 5.0
    joined_later_share: float = 0.15
    ln_amount_mean: float = 9.5  # of whole currency units
    ln_amount_spread_between: float = 1.3  # between customers; with the next one about 1.7
    ln_amount_spread_within: float = 1.1
    amount_max: int = 650_000  # whole currency units
    terms_days: tuple[int, ...] = (15, 30, 60, 65)
    terms_shares: tuple[float, ...] = (0.2, 0.5, 0.2, 0.1)
    other_terms_share: float = 0.01  # invoices with terms that were not agreed
    second_currency_share: float = 0.05  # customers who trade in another currency
    no_limit_share: float = 0.10
    no_credit_share: float = 0.01  # limit 0: they pay in advance
    limit_cover: float = 5.0  # credit limit as a multiple of the usual exposure
    limit_change_share: float = 0.05

    payers: tuple[Payer, ...] = (
        Payer("NEVER_LATE", 0.25, -10.0, 2.0, never_late=True),
        Payer("SOMETIMES_LATE", 0.50, -3.0, 3.0),
        Payer("MOSTLY_LATE", 0.25, 15.0, 4.0),
    )
    delay_spread_days: float = 7.0  # within a customer
    habits: Quantiles = ()  # a customer's own mean delay in days; instead of `payers`
    habit_spreads: Quantiles = ()  # standard deviation within a customer, in days
    delay_shape: Quantiles = ()  # of one delay around the habit, in such deviations
    never_paid_share: float = 0.004
    unpaid_after_days: int = 150  # a delay above it is mostly no payment at all
    unpaid_share: float = 0.8
    regimes: tuple[Regime, ...] = (
        Regime(
            "DETERIORATES", 0.06, ramp_days=60, delays_days=(30, 60, 60, 90, 180), activity=0.9,
            complaints=3.0, partials=4.0, reversals=5.0, disputes=2.0, notches=6, discontent=4,
            alert_share=0.6, breach_share=0.4,
        ),
        Regime(
            "RECOVERS", 0.05, ramp_days=20, lasts_days=60, delays_days=(20, 35), partials=2.0,
            notches=4, discontent=2, alert_share=0.4, breach_share=0.2,
        ),
        Regime(
            "IMPROVES", 0.03, delays_days=(30, 60), partials=3.0, notches=4, discontent=3,
            is_reversed=True,
        ),
        Regime("FALLS_SILENT", 0.05, activity=0.0, discontent=3),
        Regime("PAUSES", 0.03, lasts_days=150, activity=0.0),
        Regime("OUTGROWS_LIMIT", 0.03, ramp_days=40, activity=4.0),
        Regime("COMPLAINS", 0.03, complaints=12.0, disputes=3.0, discontent=4),
        Regime("RETURNS", 0.03, returns=7.0),
        Regime("CHANGES_ORDERS", 0.03, lasts_days=120, changes=120.0, service=4.0),
        Regime("LOSES_MONEY", 0.04, lasts_days=60, service=24.0, margin_percent=-60.0),
        Regime("DISPUTES", 0.03, lasts_days=120, disputes=10.0, discontent=3),
    )  # fmt: skip

    seasonal_share: float = 0.0  # customers who buy in some months of the year only
    season_months: tuple[int, ...] = (3, 4, 5)  # how many; one of these per customer
    quarterly_share: float = 0.0  # customers who buy in the second half of a quarter's last month
    month_end_payer_share: float = 0.0  # customers who pay all that is due on a month's last day
    good_faith_share: float = 0.0  # customers who dispute with reason, and pay what is right
    good_faith_disputes: float = 0.15  # of their invoices
    good_faith_own_fault: float = 0.9  # of these disputes
    terms_change_share: float = 0.0  # customers whose terms are changed once
    terms_follow_days: int = 90  # until who has shorter terms pays by them

    batch_payer_share: float = 0.20  # customers who pay what is due in one weekly run
    prepaid_share: float = 0.02
    partial_share: float = 0.08
    parts_max: int = 4
    overpaid_share: float = 0.01
    underpaid_share: float = 0.01  # a residue stays open
    unnamed_share: float = 0.15  # payments that name no invoice
    reversed_share: float = 0.007
    paid_again_share: float = 0.85  # of reversed payments
    month_end_share: float = 0.15  # payments held back to the month's last working day
    month_end_activity: float = 2.5  # invoices on the last three working days of a month
    complaint_share: float = 0.03  # of invoices
    complaint_delay_days: float = 13.0
    complaint_again_share: float = 0.08  # of complaints: about the same invoice, once settled
    credit_note_share: float = 0.05
    return_share: float = 0.70  # of credit notes
    cancelled_share: float = 0.01
    corrected_share: float = 0.02

    dispute_share: float = 0.025  # of invoices; 2 to 5 percent are usual
    dispute_delay_days: float = 13.0
    own_fault_share: float = 0.35  # of disputes
    order_share: float = 0.12  # of invoices of those who buy less than weekly: told before
    order_days_max: int = 20
    delivered_early_share: float = 0.3  # of orders, the day before their invoice
    prepayment_share: float = 0.02  # of customers
    change_share: float = 0.015  # of invoices
    service_share: float = 0.015  # of invoices
    parts_used_share: float = 0.05  # of the invoice: what service uses up at most beside time
    cost_known_share: float = 0.8  # of customers
    margin_percent: float = 22.0
    margin_spread_percent: float = 6.0
    loss_making_share: float = 0.04  # of customers
    repriced_share: float = 0.5  # of these, after some time
    delivery_known_share: float = 0.6  # of invoices
    delivered_before_days_max: int = 5
    contact_ages_days: tuple[int, ...] = (7, 21, 45, 75, 105)  # past due
    contact_share: float = 0.10  # at each of these ages
    contact_share_bad: float = 0.4  # more, of those who fail
    promise_share: float = 0.12  # of invoices, if still unpaid some days past due
    promise_named_share: float = 0.7  # of promises, for one invoice
    promise_kept_share: float = 0.7  # of promises by those who pay within a month
    promise_withdrawn_share: float = 0.04
    promise_again_share: float = 0.6  # of broken promises, after which another is made
    plan_share: float = 0.2  # of invoices unpaid for weeks
    attempt_ages_days: tuple[int, ...] = (45, 75, 105)  # of silence
    survey_share: float = 0.45  # answered, of one a quarter
    rated_share: float = 0.25  # of customers
    rated_if_changing_share: float = 0.9
    rating_leads_days: tuple[int, ...] = (45, 20)  # half of the fall, and the whole, before
    accounts_share: float = 0.15  # of small customers; three times as many of others
    weak_accounts_share: float = 0.04
    rumour_share: float = 0.05  # of customers, harmless alerts
    lifted_share: float = 0.5  # of alarms that had a reason: requests are dismissed, debts paid
    breach_share: float = 0.07  # of customers, once without a reason
    serious_share: float = 0.35  # of breaches
    grouped_share: float = 0.08  # of customers
    group_size: float = 4.0
    judged_rule: str = "overdue-amount"  # whose first episode clerks take in hand and judge
    acknowledged_share: float = 0.4  # of customers who come to pay late
    judged_share: float = 0.3
    silenced_rules: tuple[str, ...] = ("overdue-amount", "overdue-age", "late-share")
    silenced_share: float = 0.03  # of customers
    silence_lifted_share: float = 0.35

    duplicate_share: float = 0.01  # of all events
    late_share: float = 0.03  # of all events
    late_days_max: int = 3

    holidays: tuple[str, ...] = ("01-01", "05-01", "10-01", "10-02", "10-03", "12-25")  # MM-DD


def read_assumptions(path: Path) -> Assumptions:
    """Read a YAML file of assumptions that differ. Raises InputError, UnavailableError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return msgspec.convert(content or {}, Assumptions)
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}; mend the path") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply") from error
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise InputError(
            f"{path}: {error}; the names are those of "
            "tocsin.agents.generate.assumptions.Assumptions"
        ) from error
