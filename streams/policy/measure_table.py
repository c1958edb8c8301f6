"""The table of all measures, by the name under which a policy's rules speak of them."""

from __future__ import annotations

from tocsin.streams.measures.buying import BUYING_MEASURES
from tocsin.streams.measures.conduct import CONDUCT_MEASURES
from tocsin.streams.measures.credit_decisions import CREDIT_MEASURES
from tocsin.streams.measures.credit_information import STANDING_MEASURES
from tocsin.streams.measures.delivery import UNPAID_SINCE_DELIVERY
from tocsin.streams.measures.events import EVENT_MEASURES
from tocsin.streams.measures.measure import Measure
from tocsin.streams.measures.money_owed import MONEY_MEASURES
from tocsin.streams.measures.payment_delay import SETTLED_MEASURES
from tocsin.streams.measures.process_cases import CASE_MEASURES
from tocsin.streams.measures.retirement import RETIREMENT_MEASURES
from tocsin.streams.measures.short_payments import SHORT_PAYMENTS
from tocsin.streams.measures.sold_after_write_off import SOLD_AFTER_WRITE_OFF
from tocsin.streams.measures.turnover import TURNOVER_MEASURES
from tocsin.streams.policy.worsening_signs import WORSENING_SIGNS

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        *MONEY_MEASURES,
        *SETTLED_MEASURES,
        *TURNOVER_MEASURES,
        *CONDUCT_MEASURES,
        *EVENT_MEASURES,
        *CASE_MEASURES,
        *BUYING_MEASURES,
        *STANDING_MEASURES,
        *CREDIT_MEASURES,
        UNPAID_SINCE_DELIVERY,
        SHORT_PAYMENTS,
        SOLD_AFTER_WRITE_OFF,
        *RETIREMENT_MEASURES,
        WORSENING_SIGNS,
    )
}
