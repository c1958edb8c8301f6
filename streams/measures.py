"""The table of all measures, by the name under which a policy's rules speak of them."""

from __future__ import annotations

from tocsin.streams.measure import Measure
from tocsin.streams.measures_buying import BUYING_MEASURES
from tocsin.streams.measures_cases import CASE_MEASURES
from tocsin.streams.measures_conduct import CONDUCT_MEASURES
from tocsin.streams.measures_credit import CREDIT_MEASURES
from tocsin.streams.measures_delivery import UNPAID_SINCE_DELIVERY
from tocsin.streams.measures_events import EVENT_MEASURES
from tocsin.streams.measures_money import MONEY_MEASURES
from tocsin.streams.measures_retirement import RETIREMENT_MEASURES
from tocsin.streams.measures_settled import SETTLED_MEASURES
from tocsin.streams.measures_signs import WORSENING_SIGNS
from tocsin.streams.measures_standing import STANDING_MEASURES
from tocsin.streams.measures_turnover import TURNOVER_MEASURES

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
        *RETIREMENT_MEASURES,
        WORSENING_SIGNS,
    )
}
