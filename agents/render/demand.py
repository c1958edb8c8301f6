"""A demand in words, ready to paste into a letter, in English and Chinese."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import to_builtins

from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import day, measure, money
from tocsin.streams.receivables.demand import Demand, Item
from tocsin.streams.receivables.interest import Line, Order, Rate
from tocsin.streams.receivables.statutory import ECB, LPR, Reason, percent

STATUTES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "CN_802": "State Council order 802 of China",
        "EU_2011_7": "Directive 2011/7/EU on late payment",
        "CONTRACT": "the agreed rate",
    },
    "zh": {
        "CN_802": "《保障中小企业款项支付条例》（国务院令第802号）",
        "EU_2011_7": "欧盟第2011/7/EU号逾期付款指令",
        "CONTRACT": "约定利率",
    },
}
NAMES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "seller_country": "the seller's country",
        "seller_size": "the seller's size",
        "buyer_country": "the customer's country",
        "buyer_size": "the customer's size",
        ECB: "the rate of the European Central Bank for its main refinancing operations",
        LPR: "the one-year loan prime rate",
    },
    "zh": {
        "seller_country": "卖方所在国",
        "seller_size": "卖方规模",
        "buyer_country": "客户所在国",
        "buyer_size": "客户规模",
        ECB: "欧洲中央银行主要再融资操作利率",
        LPR: "一年期LPR",
    },
}
REASONS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "CN_802": "the seller is {0}, the customer {1}",
        "EU_2011_7": "seller in {0}, customer in {1}",
        "no delivery date": "the delivery date is not known: the invoice's own due date counts",
        "60 days from delivery": "due {0} days after delivery, whatever the invoice says",
        "agreed term": "the invoice is due later than {0} days after delivery, which is taken as "
        "agreed",
        "statutory daily rate": "no rate was agreed: {0} % a day",
        "below the floor": "the agreed rate is below the one-year loan prime rate, {0} %, which "
        "counts in its place",
        "not below the floor": "the agreed rate, not below the one-year loan prime rate of {0} %",
        "floor not known": "the agreed rate; whether it is below {0} is not judged, which is known "
        "only from {1} to {2}",
        "known only": "{0} is known only from {1} to {2}: no interest is reckoned for other days",
        "more than 60 days": "a term of more than {0} days holds only if it was expressly agreed",
        "own reference rate": "the reference rate of {0} is that of its own central bank, which "
        "is not known here",
        "more in Germany": "in Germany nine points above the base rate",
        "no working day": "due on {0}, no working day: {1} counts",
        "agreed more": "the agreed rate, which is higher",
        "agreed less": "the agreed rate is not higher and does not count",
        "agreed": "as agreed",
        "not agreed": "no statute applies and no rate was agreed",
        "unknown": "{0} is not judged: {1} is not known",
        "elsewhere": "{0} does not apply: {1} is {2}",
        "other size": "{0} does not apply: {1} is {2}",
        "before": "{0} does not apply before {1}",
        "after": "{0} was read for days up to {1} only",
        "not read": "{0} is not claimed by: {1} was not read",
    },
    "zh": {
        "CN_802": "卖方为{0}，客户为{1}",
        "EU_2011_7": "卖方在{0}，客户在{1}",
        "no delivery date": "交付日期未知，以发票到期日为准",
        "60 days from delivery": "自交付之日起{0}日到期，不论发票所载日期",
        "agreed term": "发票到期日晚于交付后{0}日，视为双方约定",
        "statutory daily rate": "未约定利率，按每日{0}%计",
        "below the floor": "约定利率低于一年期LPR（{0}%），按LPR计",
        "not below the floor": "约定利率，不低于一年期LPR（{0}%）",
        "floor not known": "按约定利率；{0}仅知{1}至{2}，是否低于该利率未予判断",
        "known only": "{0}仅知{1}至{2}：其余日期未计利息",
        "more than 60 days": "超过{0}日的付款期限须经明确约定",
        "own reference rate": "{0}的参考利率为其本国中央银行利率，此处未知",
        "more in Germany": "在德国为基础利率加九个百分点",
        "no working day": "到期日{0}非工作日，以{1}为准",
        "agreed more": "约定利率较高，按约定计",
        "agreed less": "约定利率不高于法定利率，不适用",
        "agreed": "按约定",
        "not agreed": "无适用法规，亦未约定利率",
        "unknown": "{0}无法判断：{1}未知",
        "elsewhere": "{0}不适用：{1}为{2}",
        "other size": "{0}不适用：{1}为{2}",
        "before": "{0}自{1}起施行，不适用",
        "after": "{0}仅查阅至{1}",
        "not read": "未依据{0}主张：{1}未查阅",
    },
}
WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "title": "Statement of claims as of {0}: {1}",
        "paid late": "Still owed for invoices that were paid late:",
        "invoice": "Invoice {0} of {1}, due {2}: {3}",
        "paid": "{0} of {1}: {2}, of which principal {3}, interest {4}, costs {5}",
        "payment": "payment {0}",
        "credit": "credit note {0}",
        "residual": "cash discount, or rest within the tolerance",
        "residuals": "Settled within the tolerance, not demanded: {0}, {1} of {2}.",
        "disputed": "disputed and left out: {0}",
        "principal": "principal still owed, {0} past due: {1}",
        "interest": "interest {0} to {1}, {2} on {3} at {4}: {5}",
        "owed": "interest still owed: {0}",
        "flat": "flat sum for the costs of recovery: {0}",
        "penalty": "agreed penalty: {0}",
        "basis": "by {0}: {1}",
        "no basis": "no interest: {0}",
        "total": "Total in {0}: principal {1}, interest {2}, costs {3}, penalty {4}; together {5}",
        "nothing": "Nothing is past due, and no interest is owed.",
        "not due": "Not past due yet, not demanded: {0} of {1}, due {2}.",
        "at hand": "Money at hand that no invoice was found for, deducted from the oldest items: "
        "{0} of {1}.",
        "at hand by": "  {0} of {1}: {2}",
        "names": ", which names {0}",
        "covered": "Covered by money at hand, not demanded: {0}, {1}, due {2}.",
        "law": "Law as read on {4}: {0}, article {1}, from {2}: {3}",
        "confirm": "Counsel must confirm: {0}.",
        "how": "Reckoned {0}; money pays {1}; each line rounded half up.",
        "rates": "Reference rates: file with SHA-256 {0}.",
        "journal": "Made of the records up to {0}",
        "a year": "{0} % a year",
        "a day": "{0} % a day",
        "; ": "; ",
    },
    "zh": {
        "title": "截至{0}的债权说明：{1}",
        "paid late": "逾期付清的发票，尚欠利息和费用：",
        "invoice": "发票{0}，开具于{1}，到期日{2}：{3}",
        "paid": "{0}，{1}：{2}，其中本金{3}、利息{4}、费用{5}",
        "payment": "付款{0}",
        "credit": "贷项通知{0}",
        "residual": "现金折扣或容差内尾差",
        "residuals": "容差内尾差已结清，不予催收：{0}，{2}中的{1}。",
        "disputed": "有争议部分，未计入：{0}",
        "principal": "尚欠本金，逾期{0}：{1}",
        "interest": "利息{0}至{1}，{2}，本金{3}，按{4}计：{5}",
        "owed": "尚欠利息：{0}",
        "flat": "追收费用定额补偿：{0}",
        "penalty": "约定违约金：{0}",
        "basis": "依据{0}：{1}",
        "no basis": "不计利息：{0}",
        "total": "{0}合计：本金{1}，利息{2}，费用{3}，违约金{4}；总计{5}",
        "nothing": "无逾期款项，亦无应付利息。",
        "not due": "尚未逾期，未催收：{0}，{1}，到期日{2}。",
        "at hand": "已收到但未核销至发票的款项{1}，其中{0}已抵扣最早到期的款项。",
        "at hand by": "  {0}，{1}：{2}",
        "names": "，注明{0}",
        "covered": "已由上述款项覆盖，未催收：{0}，{1}，到期日{2}。",
        "law": "所依法规（{4}查阅）：{0}第{1}条，自{2}起施行，见{3}",
        "confirm": "须经律师确认：{0}。",
        "how": "计算方法{0}；付款先后为{1}；每行四舍五入。",
        "rates": "参考利率文件SHA-256：{0}。",
        "journal": "所依记录截至{0}",
        "a year": "年利率{0}%",
        "a day": "日利率{0}%",
        "; ": "；",
    },
}
ORDERS: Final[Mapping[Language, Mapping[Order, str]]] = {
    "en": {order: order.value for order in Order},
    "zh": {Order.COSTS_FIRST: "费用、利息、本金", Order.PRINCIPAL_FIRST: "本金、利息、费用"},
}


def demand_text(demand: Demand, name: str, language: Language, journal: str = "") -> Iterator[str]:
    """The lines of a demand on a customer, by id and name.

    `journal` is the mark of the journal that `tocsin verify --mark` accepts.
    """
    words = WORDS[language]
    yield words["title"].format(day(demand.as_of), f"{demand.customer_id} {name}".rstrip())
    for item in demand.items:
        if not item.is_paid:
            yield ""
            yield from _tell_item(item, language)
    if any(item.is_paid for item in demand.items):
        yield ""
        yield words["paid late"]
    for item in demand.items:
        if item.is_paid:
            yield ""
            yield from _tell_item(item, language)
    yield ""
    for total in demand.totals:
        parts = (
            total.principal_minor,
            total.interest_minor,
            total.costs_minor,
            total.penalty_minor,
            total.total_minor,
        )
        amounts = [money(part, total.currency) for part in parts]
        yield words["total"].format(total.currency, *amounts)
    if not demand.items:
        yield words["nothing"]
    for receivable in demand.not_due:
        amount = money(receivable.open_minor, receivable.currency)
        yield words["not due"].format(receivable.invoice_id, amount, day(receivable.due_date))
    for receivable in demand.residuals:
        currency = receivable.currency
        amounts = [money(m, currency) for m in (receivable.residual_minor, receivable.amount_minor)]
        yield words["residuals"].format(receivable.invoice_id, *amounts)
    yield from _tell_at_hand(demand, language)
    conditions = demand.conditions
    yield words["how"].format(conditions.day_count.value, ORDERS[language][conditions.order])
    yield words["rates"].format(demand.reference_hash)
    yield from _tell_law(demand, language)
    if journal:
        yield words["journal"].format(journal)


def _tell_at_hand(demand: Demand, language: Language) -> Iterator[str]:
    words = WORDS[language]
    for currency, amount_minor in demand.unapplied_minor.items():
        deducted = demand.deducted_minor.get(currency, 0)
        yield words["at hand"].format(money(deducted, currency), money(amount_minor, currency))
        for each in demand.at_hand:
            if each.currency == currency and each.document_id:
                kind = words["payment"].format(each.document_id)
                named = words["names"].format(", ".join(each.invoice_ids))
                amount = money(each.amount_minor, currency)
                told = words["at hand by"].format(kind, day(each.day), amount)
                yield told + (named if each.invoice_ids else "")
    for receivable in demand.covered:
        amount = money(receivable.open_minor, receivable.currency)
        yield words["covered"].format(receivable.invoice_id, amount, day(receivable.due_date))


def _tell_law(demand: Demand, language: Language) -> Iterator[str]:
    """What of the law the items rest on, where it was read, and what counsel must confirm."""
    words, is_chinese = WORDS[language], language == "zh"
    for datum in demand.law.values():
        act = datum.act_zh if is_chinese else datum.act
        yield words["law"].format(
            act, datum.article, day(datum.from_day), datum.read_at, day(datum.read_on)
        )
    asked = (datum.confirm_zh if is_chinese else datum.confirm for datum in demand.law.values())
    for question in dict.fromkeys(asked):
        yield words["confirm"].format(question)


def ground_text(reason: Reason, language: Language) -> str:
    """Why something applies or does not, in words."""
    known = {**STATUTES[language], **NAMES[language]}
    return REASONS[language][reason.code].format(
        *(known.get(value, value) for value in reason.values)
    )


def rate_text(rate: Rate, language: Language) -> str:
    """A rate in percent, a year or a day."""
    return WORDS[language]["a day" if rate.is_daily else "a year"].format(percent(rate.millionths))


def _tell_item(item: Item, language: Language) -> Iterator[str]:
    words, receivable, statement = WORDS[language], item.receivable, item.statement
    currency = receivable.currency
    due, issued = day(item.basis.due_day), day(receivable.issued_on)
    amount = money(receivable.amount_minor, currency)
    yield words["invoice"].format(receivable.invoice_id, issued, due, amount)
    for applied in statement.applied:
        receipt = applied.receipt
        kind = words["credit" if receipt.is_credit else "payment"].format(receipt.document_id)
        if not receipt.document_id:
            kind = words["residual"]
        parts = (applied.principal_minor, applied.interest_minor, applied.costs_minor)
        amounts = [money(part, currency) for part in (receipt.amount_minor, *parts)]
        yield "  " + words["paid"].format(kind, day(receipt.day), *amounts)
    if receivable.disputed_minor:
        yield "  " + words["disputed"].format(money(receivable.disputed_minor, currency))
    if statement.principal_minor:
        principal = money(statement.principal_minor, currency)
        yield "  " + words["principal"].format(_days(item.days_past_due, language), principal)
    for line in statement.lines:
        yield "  " + _tell_line(line, currency, language)
    if statement.lines:
        yield "  " + words["owed"].format(money(statement.interest_minor, currency))
    flat, flat_currency = statement.costs_minor, currency
    if item.flat_minor:
        flat, flat_currency = item.flat_minor, "EUR"
    if flat:
        yield "  " + words["flat"].format(money(flat, flat_currency))
    if item.penalty_minor:
        yield "  " + words["penalty"].format(money(item.penalty_minor, currency))
    # A statute of other countries is no business of this customer's: programs are told of it.
    told = [reason for reason in item.basis.because if reason.code != "elsewhere"]
    why = words["; "].join(ground_text(reason, language) for reason in told)
    if item.basis.rates:
        yield "  " + words["basis"].format(STATUTES[language][item.basis.rule], why)
    else:
        yield "  " + words["no basis"].format(why)


def _tell_line(line: Line, currency: str, language: Language) -> str:
    return WORDS[language]["interest"].format(
        day(line.after + 1),
        day(line.until),
        _days(line.days, language),
        money(line.balance_minor, currency),
        rate_text(line.rate, language),
        money(line.interest_minor, currency),
    )


def _days(count: int, language: Language) -> str:
    return f"{count}天" if language == "zh" else measure(count, "DAYS")


def demand_json(demand: Demand, language: Language) -> dict[str, Any]:
    """A demand as programs get it; reasons in words of the language."""
    return {
        "customer_id": demand.customer_id,
        "as_of": day(demand.as_of),
        "items": [_item_json(item, language) for item in demand.items],
        "not_due": [receivable.invoice_id for receivable in demand.not_due],
        "totals": [
            to_builtins(total) | {"total_minor": total.total_minor} for total in demand.totals
        ],
        "residuals": [
            {
                "invoice_id": receivable.invoice_id,
                "currency": receivable.currency,
                "residual_minor": receivable.residual_minor,
            }
            for receivable in demand.residuals
        ],
        "unapplied_minor": demand.unapplied_minor,
        "deducted_minor": demand.deducted_minor,
        "at_hand": [to_builtins(each) | {"day": day(each.day)} for each in demand.at_hand],
        "covered": [receivable.invoice_id for receivable in demand.covered],
        "law": {
            name: to_builtins(datum)
            | {
                "from_day": day(datum.from_day),
                "until": day(datum.until),
                "read_on": day(datum.read_on),
            }
            for name, datum in demand.law.items()
        },
        "parties": to_builtins(demand.parties),
        "conditions": to_builtins(demand.conditions),
        "reference_rates_sha256": demand.reference_hash,
    }


def _item_json(item: Item, language: Language) -> dict[str, Any]:
    receivable, statement = item.receivable, item.statement
    return {
        "invoice_id": receivable.invoice_id,
        "currency": receivable.currency,
        "amount_minor": receivable.amount_minor,
        "disputed_minor": receivable.disputed_minor,
        "issued_on": day(receivable.issued_on),
        "due_on": day(item.basis.due_day),
        "days_past_due": item.days_past_due,
        "basis": item.basis.rule,
        "is_interest_complete": item.basis.is_complete,
        "because": [ground_text(reason, language) for reason in item.basis.because],
        "applied": [
            {
                "document_id": applied.receipt.document_id,
                "on": day(applied.receipt.day),
                "amount_minor": applied.receipt.amount_minor,
                "is_credit": applied.receipt.is_credit,
                "principal_minor": applied.principal_minor,
                "interest_minor": applied.interest_minor,
                "costs_minor": applied.costs_minor,
            }
            for applied in statement.applied
        ],
        "lines": [
            {
                "from": day(line.after + 1),
                "until": day(line.until),
                "days": line.days,
                "balance_minor": line.balance_minor,
                "rate_millionths": line.rate.millionths,
                "is_daily": line.rate.is_daily,
                "interest_minor": line.interest_minor,
            }
            for line in statement.lines
        ],
        "principal_minor": statement.principal_minor,
        "interest_minor": statement.interest_minor,
        "costs_minor": statement.costs_minor,
        "flat_sum_eur_minor": item.flat_minor,
        "penalty_minor": item.penalty_minor,
    }
