"""The console's own words in both languages; texts of warnings come from the policy."""

from __future__ import annotations

from typing import Final

from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import measure
from tocsin.streams.facts.texts import Text

WORDS: Final[dict[str, Text]] = {
    "worklist": Text("Worklist", "待办清单"),
    "warnings": Text("Warnings", "预警"),
    "customers": Text("Customers", "客户"),
    "rules": Text("Rules", "规则"),
    "search": Text("Search customers", "搜索客户"),
    "skip": Text("Skip to content", "跳到正文"),
    "keys": Text(
        "Keys: / search, j and k up and down the list, Enter opens, g then w, o or r for the pages",
        "快捷键：/ 搜索，j/k 上下移动，Enter 打开，g 后按 w、o 或 r 切换页面",
    ),
    "other_language": Text("中文", "English"),
    "log_in": Text("Log in", "登录"),
    "log_out": Text("Log out", "退出"),
    "token": Text("Token", "令牌"),
    "token_hint": Text(
        "`tocsin web --new-token NAME` prints one.", "由 `tocsin web --new-token 名称` 生成。"
    ),
    "wrong_token": Text("This token is not valid.", "令牌无效。"),
    "too_many": Text("Too many wrong tokens. Try again later.", "错误次数过多，请稍后再试。"),
    "reader": Text("reads only", "只读"),
    "as_of": Text("as of", "截至"),
    "next": Text("Whom to deal with next", "接下来处理谁"),
    "nobody": Text("Nobody is to be dealt with today.", "今天没有需要处理的客户。"),
    "left": Text("Left for later", "留待以后"),
    "how_many": Text("How many", "数量"),
    "customer": Text("Customer", "客户"),
    "severity": Text("Severity", "等级"),
    "at_stake": Text("At stake", "涉及金额"),
    "what_to_do": Text("What to do", "处理"),
    "due_since": Text("Due since", "起始日"),
    "why": Text("Why", "原因"),
    "receivables": Text("Receivables", "应收账款"),
    "open_amount": Text("Open", "未结"),
    "past_due": Text("Past due", "逾期"),
    "unapplied": Text("Unapplied", "未核销"),
    "owes": Text("Owes", "欠款"),
    "limit": Text("Limit", "额度"),
    "limit_used": Text("Limit used", "额度使用"),
    "items": Text("Items", "笔数"),
    "filter": Text("Filter", "筛选"),
    "only_open": Text("Open only", "仅未解除"),
    "least": Text("At least", "最低等级"),
    "rule": Text("Rule", "规则"),
    "phase": Text("Phase", "阶段"),
    "muted": Text("Muted", "静默"),
    "any": Text("any", "全部"),
    "yes": Text("yes", "是"),
    "no": Text("no", "否"),
    "none_found": Text("Nothing found.", "没有结果。"),
    "more": Text("Next page", "下一页"),
    "step": Text("Step", "变化"),
    "value": Text("Value", "数值"),
    "threshold": Text("Threshold", "阈值"),
    "ends": Text("It ends", "解除条件"),
    "measured": Text("Measured", "测得"),
    "evidence": Text("Evidence", "证据"),
    "of_records": Text("records", "条记录"),
    "clause": Text("Clause of the policy", "政策条款"),
    "no_clause": Text("This policy is not in the history.", "历史中没有该政策。"),
    "course": Text("Course of the episode", "事件经过"),
    "reason": Text("Reason", "理由"),
    "when": Text("When", "时间"),
    "what": Text("What", "内容"),
    "event": Text("Event", "事件"),
    "id": Text("Id", "编号"),
    "record": Text("Record", "记录"),
    "by": Text("By", "经办"),
    "score": Text("Score", "评分"),
    "grade": Text("Grade", "级别"),
    "points": Text("Points", "得分"),
    "of": Text("of", "满分"),
    "not_judged": Text("not judged", "未评"),
    "lacking": Text("Not enough evidence for a score", "证据不足，无法评分"),
    "strategy": Text("Strategy", "策略"),
    "next_step": Text("Next step", "下一步"),
    "wait": Text("Nothing to do now", "目前无需处理"),
    "on_hold": Text("On hold since", "已暂停赊销，自"),
    "proposed": Text("Proposed limit", "建议额度"),
    "segment": Text("Segment", "分类"),
    "owner": Text("Owner", "负责人"),
    "country": Text("Country", "国家"),
    "terms": Text("Terms", "账期"),
    "last_paid": Text("Last paid", "最近付款"),
    "complaints": Text("Open complaints", "未结投诉"),
    "standing": Text("Standing", "往来余额"),
    "nothing_open": Text("Nothing is open.", "没有未结款项。"),
    "aging": Text("Aging", "账龄"),
    "open_warnings": Text("Open warnings", "未解除预警"),
    "no_warnings": Text("No warning is open.", "没有未解除的预警。"),
    "episodes": Text("Episodes", "预警历史"),
    "promises": Text("Promises and plans", "承诺与分期"),
    "promised": Text("Promised", "承诺金额"),
    "kept": Text("Paid", "已付"),
    "state": Text("State", "状态"),
    "until": Text("Until", "截止"),
    "contacts": Text("Contacts", "沟通记录"),
    "no_contacts": Text("No contact was logged.", "尚无沟通记录。"),
    "decisions": Text("Credit decisions", "信用决定"),
    "timeline": Text("Timeline", "时间线"),
    "log_contact": Text("Log a contact", "登记沟通"),
    "log_promise": Text("Log a promise", "登记付款承诺"),
    "silence": Text("Silence warnings", "静默预警"),
    "acknowledge": Text("I take it in hand", "由我处理"),
    "verdict": Text("Was it right?", "是否准确？"),
    "channel": Text("Channel", "渠道"),
    "outcome": Text("Outcome", "结果"),
    "collection_step": Text("Collection step", "催收步骤"),
    "text": Text("What was said", "沟通内容"),
    "note": Text("Note", "备注"),
    "amount": Text("Amount", "金额"),
    "currency": Text("Currency", "币种"),
    "by_day": Text("By", "期限"),
    "invoices": Text("For invoices (comma separated)", "对应发票（逗号分隔）"),
    "all_rules": Text("all rules", "所有规则"),
    "send": Text("Enter", "提交"),
    "entered": Text("Entered", "已登记"),
    "moved": Text("It moved", "由此变化"),
    "not_taken": Text(
        "Sent, but not decided yet. It is not lost; do not send it again.",
        "已发送，尚未判定。记录不会丢失，请勿重复提交。",
    ),
    "refused": Text("Refused", "被拒绝"),
    "read_only": Text("Your token may read only.", "您的令牌仅可读取。"),
    "policy": Text("Policy", "政策"),
    "off": Text("off", "停用"),
    "reads": Text("Reads", "读取"),
    "from": Text("From", "起点"),
    "says": Text("Says", "内容"),
    "action": Text("Action", "处理"),
    "record_of": Text("Warning record", "预警记录"),
    "journal": Text("Journal", "日志"),
    "history": Text("history", "历史"),
    "error": Text("That did not work", "操作未成功"),
    "back": Text("Back to the worklist", "返回待办清单"),
    "query_hint": Text("At least two characters of an id or a name.", "请输入至少两个字符。"),
}
VALUES: Final[dict[str, Text]] = {
    "LOW": Text("low", "低"),
    "MEDIUM": Text("medium", "中"),
    "HIGH": Text("high", "高"),
    "CRITICAL": Text("critical", "严重"),
    "RAISED": Text("raised", "触发"),
    "ESCALATED": Text("escalated", "升级"),
    "EASED": Text("eased", "缓和"),
    "REPEATED": Text("repeated", "重复"),
    "CLEARED": Text("cleared", "解除"),
    "DIGEST": Text("digest", "摘要"),
    "HISTORY": Text("history", "历史"),
    "LIVE": Text("live", "实时"),
    "CURRENT": Text("not due", "未到期"),
    "D1_30": Text("1-30 days", "1-30 天"),
    "D31_60": Text("31-60 days", "31-60 天"),
    "D61_90": Text("61-90 days", "61-90 天"),
    "D91_PLUS": Text("over 90 days", "90 天以上"),
    "PHONE": Text("phone", "电话"),
    "EMAIL": Text("e-mail", "邮件"),
    "MEETING": Text("meeting", "会议"),
    "LETTER": Text("letter", "信函"),
    "MESSAGE": Text("message", "消息"),
    "VISIT": Text("visit", "拜访"),
    "ANSWERED": Text("answered", "已接通"),
    "UNANSWERED": Text("unanswered", "未接通"),
    "COOPERATIVE": Text("cooperative", "配合"),
    "UNCOOPERATIVE": Text("uncooperative", "不配合"),
    "REFUSED_TO_PAY": Text("refused to pay", "拒绝付款"),
    "NOT_INTERESTED": Text("not interested", "无意合作"),
    "CAME_IN": Text("came in", "主动联系"),
    "DISPUTE": Text("dispute", "争议"),
    "DIFFICULTY": Text("difficulty", "资金困难"),
    "OTHER": Text("other", "其他"),
    "REMINDER": Text("reminder", "催款提醒"),
    "CALL": Text("call", "电话催收"),
    "WRITTEN_NOTICE": Text("written notice", "书面通知"),
    "LAWYER_LETTER": Text("lawyer's letter", "律师函"),
    "LAWSUIT": Text("lawsuit", "诉讼"),
    "TRUE_ALARM": Text("right", "准确"),
    "FALSE_ALARM": Text("wrong", "误报"),
}
KINDS: Final[dict[str, str]] = {
    "invoice": "发票",
    "invoice cancelled": "发票作废",
    "credit note": "贷项通知",
    "credit note cancelled": "贷项通知作废",
    "payment": "付款",
    "payment reversed": "付款撤销",
    "refund": "退款",
    "complaint": "投诉",
    "complaint resolved": "投诉解决",
    "customer data": "客户资料",
    "accounts": "财务报表",
    "alert": "警示",
    "alert lifted": "警示解除",
    "breach": "违约",
    "contact": "沟通",
    "credit decision": "信用决定",
    "dispute": "争议",
    "dispute resolved": "争议解决",
    "order": "订单",
    "order changed": "订单变更",
    "plan": "分期计划",
    "plan ended": "分期结束",
    "promise": "付款承诺",
    "promise withdrawn": "承诺撤回",
    "rating": "评级",
    "retirement": "终止合作",
    "satisfaction": "满意度",
    "service": "服务",
    "silence": "静默",
    "silence ended": "静默结束",
    "verdict": "判定",
    "warning acknowledged": "预警已受理",
}
"""What `events_told` calls events, in Chinese."""


LABELS: Final[dict[str, str]] = {
    "measure": "指标",
    "reads": "数据来源",
    "ends below": "低于此值解除",
    "sign": "迹象",
    "when": "同时满足",
    "dwell": "持续",
    "quiet": "间隔",
    "muted by": "被抑制于",
    "incomplete": "数据不全时",
    "repeated": "重复",
}
"""What `rule_cards` calls the lines of a card, in Chinese."""


def word(name: str, language: Language) -> str:
    """A word of the console's own."""
    found = WORDS[name]
    return found.zh if language == "zh" else found.en


def value_word(name: str, language: Language) -> str:
    """What people call a value of a field; the value itself where it has no word."""
    found = VALUES.get(name)
    if found is None:
        return name.lower().replace("_", " ")
    return found.zh if language == "zh" else found.en


def kind_word(kind: str, language: Language) -> str:
    """What people call a kind of event."""
    return KINDS.get(kind, kind) if language == "zh" else kind


def label_word(label: str, language: Language) -> str:
    """What people call a line of a rule's card."""
    return LABELS.get(label, label) if language == "zh" else label


def measure_word(value: int, unit: str, currency: str | None, language: Language) -> str:
    """A measured value with its unit."""
    if language == "zh" and unit == "DAYS":
        return f"{value} 天"
    if language == "zh" and unit == "POINTS":
        return f"{value} 分"
    return measure(value, unit, currency)
