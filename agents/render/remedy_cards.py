"""What ends a warning as of now, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import day, money
from tocsin.streams.decide.remedy import (
    DAYS_AHEAD,
    NO_PAYMENT,
    NOT_JUDGED,
    NOT_OPEN,
    TOO_LARGE,
    Remedy,
)
from tocsin.streams.facts.texts import Text

NO_EPISODE = "NO_EPISODE"
NO_STATE = "NO_STATE"
"""Why nothing is said, beside the reasons of `Remedy`: see `tocsin.agents.queries.remedies`."""

_PAYMENT = Text(
    "As of {as_of} a payment of {amount} ends it, and no smaller one.",
    "截至{as_of}，支付{amount}即可解除，少一分则不能。",
)
_LATEST = Text(
    "It is enough up to {day}, if nothing else becomes known.",
    "如无其他变化，此金额在{day}之前（含当日）有效。",
)
_ANY_DAY = Text(
    "It stays enough for the next {days} days, if nothing else becomes known.",
    "如无其他变化，此金额在今后{days}天内均有效。",
)
_BY_ITSELF = Text(
    "If nothing else becomes known, it ends by itself on {day}.",
    "如无其他变化，{day}自行解除。",
)
_NOT_BY_ITSELF = Text(
    "Nor does it end by itself within {days} days.",
    "今后{days}天内也不会自行解除。",
)
_REASONS = {
    NO_PAYMENT: Text(
        "As of {as_of} no payment ends it: all that is owed, ordered and promised was tried.",
        "截至{as_of}，任何付款都不能解除：已按全部欠款、订单及承诺金额试算。",
    ),
    NOT_OPEN: Text("It has ended.", "已解除。"),
    NOT_JUDGED: Text(
        "Not said: a source that its rule reads is on hold or incomplete, so it is not judged now.",
        "暂不能说明：该规则所依据的数据源已暂停或不完整，目前不作判断。",
    ),
    TOO_LARGE: Text(
        "Not said: the customer has too many documents or open items to try payments on.",
        "暂不能说明：该客户单据或未结项目过多，无法逐笔试算。",
    ),
    NO_EPISODE: Text(
        "Not said: it is not about one rule of one customer, so there is nothing to pay.",
        "不适用：此预警并非针对单一客户的单一规则。",
    ),
    NO_STATE: Text(
        "Not said: the worker's state cannot be read: {detail}",
        "暂不能说明：无法读取处理程序的状态：{detail}",
    ),
}


def sentences(remedy: Remedy | None, reason: str, detail: str, language: Language) -> Iterator[str]:
    """What ends a warning: the payment, until when, and whether time does; or why it is not said.

    `reason` and `detail` are as `read_remedy` gives them.
    """

    def say(text: Text, **values: object) -> str:
        return (text.zh if language == "zh" else text.en).format_map(values)

    as_of = "" if remedy is None else day(remedy.as_of)
    if reason:
        yield say(_REASONS[reason], as_of=as_of, detail=detail)
    if remedy is None or reason not in ("", NO_PAYMENT):
        return
    if remedy.amount_minor is not None:
        yield say(_PAYMENT, as_of=as_of, amount=money(remedy.amount_minor, remedy.currency))
        if remedy.latest_on is None:
            yield say(_ANY_DAY, days=DAYS_AHEAD)
        else:
            yield say(_LATEST, day=day(remedy.latest_on))
    if remedy.ends_on is not None:
        yield say(_BY_ITSELF, day=day(remedy.ends_on))
    elif remedy.amount_minor is None:
        yield say(_NOT_BY_ITSELF, days=DAYS_AHEAD)
