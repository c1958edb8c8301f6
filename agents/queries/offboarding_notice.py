"""The notice that ends the business with a customer: brief, in both languages, not before its step.

It names what a person chose from the standards met, in words that may leave the house: no figures
of a day that has passed, nothing of our own failures, internal grades or agencies' ratings. Money
in dispute is not asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tocsin.agents.queries.dossier_rules import Dossier
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import day, money
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.retirement import BY_CUSTOMER, NOTICE_STAGE, STAGES

REASONS_MAX: Final = 3

REASONS: Final[dict[str, Text]] = {
    "overdue-amount": Text(
        "considerable amounts stayed unpaid after they were due", "大额款项到期后长期未付"
    ),
    "overdue-age": Text("invoices stayed unpaid long after they were due", "发票到期后长期未付"),
    "arrears-beyond-habit": Text(
        "invoices stayed unpaid long after they were due", "发票到期后长期未付"
    ),
    "late-share": Text("payments came late again and again", "多次逾期付款"),
    "days-beyond-terms": Text("payments came late again and again", "多次逾期付款"),
    "delay-trend": Text("payments came later and later", "付款日益迟延"),
    "short-payments": Text("invoices were paid short", "多次少付货款"),
    "bounced-payments": Text("payments were returned unpaid", "付款被退回"),
    "deductions": Text("amounts were deducted without agreement", "未经同意扣减货款"),
    "promise-broken": Text("promised payments did not come", "未履行付款承诺"),
    "promises-unreliable": Text("promised payments did not come", "未履行付款承诺"),
    "plan-in-arrears": Text("agreed instalments did not come", "未按分期计划付款"),
    "prepayment-missing": Text("agreed prepayments did not come", "未按约定预付款"),
    "reminded-in-vain": Text("reminders remained without effect", "多次催款无果"),
    "relapse-after-repayment": Text("after arrears were settled, new ones arose", "清偿后再次拖欠"),
    "refusal-to-pay": Text("payment was refused", "拒绝付款"),
    "refusal-in-difficulty": Text("payment was refused", "拒绝付款"),
    "contract-breach": Text("the contract was not kept", "违反合同约定"),
    "serious-breach": Text("the contract was seriously broken", "严重违反合同"),
    "unco-operative": Text("our enquiries led to no cooperation", "沟通中不予配合"),
    "unreachable": Text("we could not reach you", "多次联系未果"),
    "complaints-unfounded": Text(
        "complaints proved to be unfounded again and again", "投诉多次查无实据"
    ),
    "unreasonable-demands": Text(
        "demands went beyond the contract again and again", "多次提出合同以外的要求"
    ),
    "order-changes": Text("orders were changed again and again", "订单多次变更"),
    "unclear-requirements": Text("requirements remained unclear again and again", "需求多次不明确"),
    "return-share": Text("goods were returned again and again", "多次退货"),
    "return-rate": Text("goods were returned again and again", "多次退货"),
    "low-turnover": Text("the volume agreed on was not reached", "交易量未达要求"),
    "interest-lost": Text("you no longer wished for our goods", "贵方已无合作意愿"),
}
"""What a rule's standard is called towards the customer; a rule without words names no reason."""


def reasons_to_choose(dossier: Dossier) -> list[str]:
    """Rules whose standards are met now and that a notice may name, in the order of the dossier."""
    met = (warning.rule for warning in dossier.standards)
    return [rule for rule in dict.fromkeys(met) if rule in REASONS]


def withheld_because(dossier: Dossier, chosen: Sequence[str]) -> Text | None:
    """Why no notice can be printed yet; None if one can. Raises InputError for a wrong choice."""
    known = reasons_to_choose(dossier)
    wrong = [rule for rule in chosen if rule not in known]
    if wrong:
        raise InputError(
            f"{', '.join(wrong)}: no standard that is met and may be named to the customer",
            mend=f"choose from: {', '.join(known) or 'none is met'}",
        )
    if len(chosen) > REASONS_MAX:
        raise InputError(
            f"a notice names {REASONS_MAX} reasons at most", mend="choose the gravest of them"
        )
    is_wished = dossier.initiative == BY_CUSTOMER
    needed = "EVALUATED" if is_wished else "RETENTION_TRIED"
    reached = STAGES.get(dossier.state, 0)
    if reached < STAGES[needed]:
        return Text(
            f"no notice before its step: the retirement has to reach {needed} first, "
            f"and is at {dossier.state or 'none'}",
            f"未到通知步骤：须先达到{needed}，目前为{dossier.state or '尚未启动'}",
        )
    if not is_wished and not chosen:
        return Text(
            f"choose its reasons from the standards met: {', '.join(known) or 'none is met'}",
            f"请从已触及的标准中选择理由：{'、'.join(known) or '无'}",
        )
    return None


def notice_of(dossier: Dossier, chosen: Sequence[str] = ()) -> Text | None:
    """The notice; None while it can't be printed. Raises InputError for a wrong choice."""
    if withheld_because(dossier, chosen) is not None:
        return None
    is_wished = dossier.initiative == BY_CUSTOMER
    reasons = list(dict.fromkeys(REASONS[rule] for rule in chosen))
    name = dossier.name or dossier.customer_id
    opening = (
        Text("as you wished, we end our business with you.", "根据贵方意愿，双方业务终止。")
        if is_wished and not reasons
        else Text(
            "after we had tried to find a way to go on, we end our business with you. Our reasons:",
            "经多次沟通，我方决定终止合作，理由如下：",
        )
    )
    is_given = STAGES.get(dossier.state, 0) >= NOTICE_STAGE
    open_orders = Text(
        "Orders that were confirmed before this notice are delivered against payment; "
        "new ones are not taken.",
        "本通知之前已确认的订单款到发货，不再接受新订单。",
    )
    data = Text(
        "Your personal data are deleted or barred, except for what the law makes us keep.",
        "除法律要求保存者外，贵方个人资料将予以删除或封存。",
    )
    copy = Text("(a copy: the notice was given)", "（副本：通知已发出）")
    owed = _owed(dossier)
    english = [
        f"To {name}: {opening.en}",
        *(f"- {reason.en}" for reason in reasons),
        f"As of {day(dossier.as_of)}: {owed.en}",
        open_orders.en,
        data.en,
        *([copy.en] if is_given else []),
    ]
    chinese = [
        f"致{name}：{opening.zh}",
        *(f"- {reason.zh}" for reason in reasons),
        f"截至{day(dossier.as_of)}：{owed.zh}",
        open_orders.zh,
        data.zh,
        *([copy.zh] if is_given else []),
    ]
    return Text("\n".join(english), "\n".join(chinese))


def _owed(dossier: Dossier) -> Text:
    """What is asked for as of now, without what is in dispute; what we hold is paid back."""
    disputed: Counter[str] = Counter()
    for dispute in dossier.disputes:
        disputed[dispute.currency] += dispute.amount_minor
    asked, ours = [], []
    for left in dossier.exposures:
        undisputed = left.owed_minor - disputed[left.currency]
        if undisputed > 0:
            asked.append(money(undisputed, left.currency))
        if left.owed_minor < 0:
            ours.append(money(-left.owed_minor, left.currency))
    english = [f"{', '.join(asked)} are still to be paid." if asked else "Nothing is to be paid."]
    chinese = [f"尚需支付{'、'.join(asked)}。" if asked else "无应付款项。"]
    if disputed:
        english.append("What is in dispute is not asked for here and is settled apart.")
        chinese.append("争议款项不在此列，另行处理。")
    if ours:
        english.append(f"We pay back {', '.join(ours)} that we hold for you.")
        chinese.append(f"我方将退还所持款项{'、'.join(ours)}。")
    return Text(" ".join(english), "".join(chinese))
