"""What measures and families of events are called in texts, in both languages."""

from __future__ import annotations

from tocsin.streams.facts.texts import Text
from tocsin.streams.measures.measure import Measure, Parameters

_COUNTS_A_FAMILY = frozenset({"event_count", "event_rate"})

FAMILY_NAMES = {
    "answers": Text("answers", "答复"),
    "bounced": Text("payments taken back", "被退回的付款"),
    "breaches": Text("breaches of contract", "违约"),
    "complaints": Text("complaints", "投诉"),
    "contacts": Text("contacts", "联系"),
    "disputes": Text("disputes", "争议"),
    "invoices": Text("invoices", "发票"),
    "order_changes": Text("order changes", "订单变更"),
    "ratings_lost": Text("notches lost in ratings", "外部评级下调级数"),
    "refusals": Text("refusals to pay", "拒付"),
    "returns": Text("returns", "退货"),
    "service_minutes": Text("minutes of service", "服务分钟数"),
    "short_paid": Text("short payments", "少付"),
    "surveys": Text("surveys", "满意度调查"),
}
"""By the first part of the family's name; a kind of it may stand behind a colon."""

MEASURE_NAMES = {
    "amount_share": Text("share of what was invoiced", "占开票额比例"),
    "arrears_days": Text("average days past due", "平均逾期天数"),
    "broken_promises": Text("broken promises", "未履行的付款承诺"),
    "complaint_count": Text("complaints", "投诉"),
    "complaint_near_due": Text("complaints near a due date", "临近到期日的投诉"),
    "complaint_rate": Text("complaints by invoice", "每张发票的投诉率"),
    "credit_utilisation": Text("use of the credit limit", "信用额度使用率"),
    "days_since_repayment": Text("days since the last repayment", "距上次还款天数"),
    "days_unvisited": Text("days without a visit", "未拜访天数"),
    "delay_over_habit": Text("days beyond the usual delay", "超出惯常迟付的天数"),
    "delay_trend": Text("rise of the delay", "迟付天数的上升"),
    "discontent": Text("discontent", "不满意度"),
    "dispute_rate": Text("disputes by invoice", "每张发票的争议率"),
    "documents_beyond_limit": Text("documents beyond the limit", "超出上限的单据"),
    "event_count": Text("events", "事件"),
    "event_rate": Text("rate of events", "事件比率"),
    "habit_delay": Text("usual delay in days", "惯常迟付天数"),
    "habit_late_share": Text("usual share paid late", "惯常迟付比例"),
    "invoiced_despite": Text("invoices in spite of a decision", "违反决定开具的发票"),
    "largest_item_share": Text("share of the largest open item", "最大未付单据占比"),
    "late_share": Text("share paid late", "迟付比例"),
    "liabilities_share": Text("liabilities by assets", "资产负债率"),
    "loss_share": Text("share of loss", "亏损比例"),
    "open_alerts": Text("open alerts", "未解除的警示"),
    "overdue_age": Text("days past due", "逾期天数"),
    "overdue_amount": Text("past due", "逾期金额"),
    "overdue_share": Text("past due by sales of half a year", "逾期额占近半年销售额比例"),
    "payment_index": Text("below the best payment index", "低于最佳付款指数"),
    "plan_arrears": Text("arrears with a plan", "还款计划欠款"),
    "prepayment_missing": Text("missing prepayment", "缺少的预付款"),
    "promise_broken_share": Text("share of promises broken", "承诺未履行比例"),
    "promise_broken_value": Text("value of promises broken", "未履行承诺的金额"),
    "purchase_decline": Text("decline of buying", "采购下降"),
    "purchase_gap": Text("days between purchases", "采购间隔天数"),
    "rating_notch": Text("agency's rating", "外部评级"),
    "retirement_blocked": Text("retirement that is blocked", "受阻的终止合作"),
    "retirement_stage": Text("steps of retirement", "终止合作的步骤"),
    "return_rate": Text("returns by invoice", "每张发票的退货率"),
    "short_payments": Text("short payments", "少付"),
    "silent_days": Text("days without an invoice", "无发票天数"),
    "sold_after_write_off": Text("owed since the write-off", "核销后的欠款"),
    "step_age": Text("days since the collection step fell due", "催收步骤超期天数"),
    "traded_after_retirement": Text("invoices after the retirement", "终止合作后的发票"),
    "turnover_shortfall": Text("shortfall of turnover", "营业额缺口"),
    "unanswered_days": Text("days without an answer", "未答复天数"),
    "unpaid_since_delivery": Text("days unpaid since delivery", "交货后未付天数"),
    "weighted_delay": Text("days beyond terms", "超出账期天数"),
    "worsening_signs": Text("signs of worsening", "恶化迹象"),
}


def name_of(measure: Measure, parameters: Parameters) -> Text:
    """What a measure with a rule's parameters is called; by its own name if it has no other."""
    if measure.name in _COUNTS_A_FAMILY:
        family = FAMILY_NAMES.get(str(parameters.of).partition(":")[0])
        if family is not None:
            return family
    plain = measure.name.replace("_", " ")
    return MEASURE_NAMES.get(measure.name, Text(plain, plain))
