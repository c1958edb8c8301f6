"""What the steps of collection are called, and what moves or blocks them, for people."""

from __future__ import annotations

from typing import Final

from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words

REMINDER, CALL, WRITTEN_NOTICE = "REMINDER", "CALL", "WRITTEN_NOTICE"
HOLD, PLAN = "HOLD", "PLAN"
LAWYER_LETTER, LAWSUIT = "LAWYER_LETTER", "LAWSUIT"
NEGOTIATE, FRIENDLY_NOTICE = "NEGOTIATE", "FRIENDLY_NOTICE"
FILE_CLAIM = "FILE_CLAIM"

STEPS: Final = (REMINDER, CALL, WRITTEN_NOTICE, HOLD, PLAN, LAWYER_LETTER, LAWSUIT)
"""Steps that a policy may put into its ladder, from the mildest to the gravest."""

STEP_WORDS: Final[dict[str, Text]] = {
    FRIENDLY_NOTICE: Text("send a friendly notice before the due date", "到期前发送友好提示"),
    REMINDER: Text("send a reminder", "发送催款提醒"),
    CALL: Text("call", "电话催收"),
    WRITTEN_NOTICE: Text("send a written notice", "发送书面催款通知"),
    HOLD: Text("put on hold", "暂停供货"),
    PLAN: Text("agree on instalments", "协商分期付款"),
    NEGOTIATE: Text("talk to the customer before going to law", "诉前与客户协商"),
    LAWYER_LETTER: Text("have a lawyer write", "发送律师函"),
    LAWSUIT: Text("sue", "提起诉讼"),
    FILE_CLAIM: Text("file the claim in the insolvency", "向破产管理人申报债权"),
}

SETTLED: Final = "SETTLED"
_PAID: Final = "PAID"
_LADDER: Final = (BEFORE, *STEPS)

COLLECTION: Final = Machine(
    "collection",
    "",
    {
        **{step: Words(STEP_WORDS[step].en, STEP_WORDS[step].zh) for step in STEPS},
        SETTLED: Words("nothing past due", "无逾期款项"),
    },
    {
        **{step: Words(STEP_WORDS[step].en, STEP_WORDS[step].zh) for step in STEPS},
        _PAID: Words("paid, credited or written off", "付款、贷记或核销"),
    },
    {
        **{
            (before, step): step
            for place, before in enumerate(_LADDER)
            for step in _LADDER[place + 1 :]
        },
        **{(before, _PAID): SETTLED for before in _LADDER},
    },
    (SETTLED,),
)
"""The ladder: a state is the gravest step taken. Milder ones do not come after it."""

BY_AGE, QUIET, CAPPED, PROMISED = "AGE", "QUIET_DAYS", "CONTACT_CAP", "PROMISE_PENDING"
PLANNED, DISPUTED, NEGOTIATE_FIRST = "PLAN_IN_ORDER", "DISPUTED", "NEGOTIATE_FIRST"
DONE, BEFORE_DUE, INSOLVENT = "LADDER_DONE", "BEFORE_DUE", "INSOLVENT"

WHY_WORDS: Final[dict[str, Text]] = {
    BEFORE_DUE: Text("it falls due soon", "即将到期"),
    BY_AGE: Text("by the age of the leading invoice", "按主导发票的逾期天数"),
    QUIET: Text("quiet days after the step before it", "上一步骤后的静默期"),
    CAPPED: Text("enough contacts for now", "近期联系已达上限"),
    PROMISED: Text("a promise is not due yet", "承诺付款尚未到期"),
    PLANNED: Text("an instalment plan is in order", "分期计划正常履行"),
    DISPUTED: Text("all that is past due is disputed", "逾期款项均有争议"),
    NEGOTIATE_FIRST: Text("nobody spoke with the customer yet", "尚未与客户沟通"),
    DONE: Text("every step was taken", "所有步骤均已完成"),
    INSOLVENT: Text("insolvency is reported", "已出现破产信息"),
}


def fill_step_name(text: Text, step: str) -> Text:
    """A text with `{step}` replaced by what each language calls the step, if there is one."""
    if "{step}" not in text.en + text.zh:
        return text
    words = STEP_WORDS.get(step, NO_TEXT)
    return Text(text.en.replace("{step}", words.en), text.zh.replace("{step}", words.zh))
