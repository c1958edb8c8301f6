"""Families of portfolios: a policy tuned on one is tried on the others.

What each assumes is told in docs/portfolios.md. The ledger's figures are quantiles over customers;
no customer of it can be found again in them.
"""

from __future__ import annotations

from tocsin.agents.generate.assumptions import Assumptions, Regime

DEFAULT = "standard"

_LEDGER = Assumptions(
    invoices_per_customer_day=0.0915,
    volume=(
        (0.0, 1.0), (0.4, 2.0), (0.5, 3.0), (0.6, 5.0), (0.7, 9.0), (0.8, 20.0), (0.9, 52.0),
        (0.95, 103.0), (0.98, 336.0), (0.99, 432.0), (1.0, 1225.0),
    ),
    giant_share=0.39,
    giant_delay_days=-2.4,
    giant_spread_days=6.0,
    joined_later_share=0.5,
    ln_amount_mean=9.5,
    ln_amount_spread_between=1.17,
    ln_amount_spread_within=1.0,
    terms_days=(15, 30, 10, 12, 20, 60),
    terms_shares=(0.79, 0.06, 0.05, 0.04, 0.03, 0.03),
    second_currency_share=0.0,
    no_limit_share=1.0,
    no_credit_share=0.0,
    habits=(
        (0.0, -27.0), (0.01, -14.0), (0.05, -6.7), (0.1, -4.6), (0.25, -0.9), (0.5, 0.8),
        (0.75, 3.3), (0.9, 7.6), (0.95, 11.4), (0.99, 42.0), (1.0, 72.0),
    ),
    habit_spreads=(
        (0.0, 0.0), (0.05, 0.8), (0.1, 1.1), (0.25, 2.0), (0.5, 4.0), (0.75, 9.0), (0.9, 14.5),
        (0.95, 18.0), (0.99, 25.0), (1.0, 41.0),
    ),
    delay_shape=(
        (0.0, -1.54), (0.05, -1.11), (0.1, -0.88), (0.25, -0.5), (0.5, -0.11), (0.75, 0.38),
        (0.9, 1.0), (0.95, 1.34), (0.99, 1.88), (1.0, 2.04),
    ),
    never_paid_share=0.0,
    regimes=(
        Regime("DETERIORATES", 0.06, ramp_days=60, delays_days=(30, 60, 60, 90, 180), activity=0.9),
        Regime("RECOVERS", 0.05, ramp_days=20, lasts_days=60, delays_days=(20, 35)),
        Regime("IMPROVES", 0.03, delays_days=(30, 60), is_reversed=True),
        Regime("FALLS_SILENT", 0.05, activity=0.0),
        Regime("PAUSES", 0.03, lasts_days=150, activity=0.0),
    ),
    batch_payer_share=0.0,
    prepaid_share=0.0,
    partial_share=0.0,
    overpaid_share=0.0,
    underpaid_share=0.0,
    unnamed_share=0.0,
    reversed_share=0.0,
    month_end_share=0.0,
    month_end_activity=1.0,
    complaint_share=0.0,
    credit_note_share=0.0,
    cancelled_share=0.0,
    corrected_share=0.0,
    dispute_share=0.0,
    order_share=0.0,
    prepayment_share=0.0,
    change_share=0.0,
    service_share=0.0,
    cost_known_share=0.0,
    delivery_known_share=0.0,
    contact_ages_days=(),
    promise_share=0.0,
    plan_share=0.0,
    attempt_ages_days=(),
    survey_share=0.0,
    rated_share=0.0,
    rated_if_changing_share=0.0,
    accounts_share=0.0,
    rumour_share=0.0,
    breach_share=0.0,
    grouped_share=0.0,
    acknowledged_share=0.0,
    judged_share=0.0,
    silenced_share=0.0,
    duplicate_share=0.0,
    late_share=0.0,
)  # fmt: skip

_ADVERSARIAL = Assumptions(
    giant_share=0.25,
    giant_delay_days=-1.0,
    giant_spread_days=6.0,
    seasonal_share=0.15,
    quarterly_share=0.10,
    month_end_payer_share=0.20,
    good_faith_share=0.10,
    terms_change_share=0.15,
    regimes=tuple(
        Regime(
            "RECOVERS", 0.12, ramp_days=20, lasts_days=60, delays_days=(20, 35), partials=2.0,
            notches=4, discontent=2, alert_share=0.4, breach_share=0.2,
        )
        if regime.kind == "RECOVERS"
        else regime
        for regime in Assumptions().regimes
    ),
)  # fmt: skip

FAMILIES: dict[str, Assumptions] = {
    DEFAULT: Assumptions(),
    "ledger": _LEDGER,
    "adversarial": _ADVERSARIAL,
}
"""By name: a trading house that tells all, a ledger of invoices and payments, hard cases."""
