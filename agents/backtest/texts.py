"""What the tables and the page of a backtest say, in English and Chinese."""

from __future__ import annotations

from typing import Final

from tocsin.agents.render.warning_cards import Language
from tocsin.streams.facts.texts import Text

TEXTS: Final = {
    "title": Text("Backtest of warnings", "预警回测"),
    "intro": Text(
        "Every customer was judged by what was known at that moment, and by nothing later. "
        "Figures in brackets are 95 % intervals from drawing whole customers.",
        "每个客户仅依据当时已知的信息判断，绝不使用之后的信息。括号内为按客户整体重抽样得到的95%区间。",
    ),
    "events": Text("events", "事件"),
    "refused": Text("refused", "被拒绝"),
    "customers": Text("customers", "客户"),
    "period": Text("period", "期间"),
    "policy": Text("policy", "策略"),
    "policies": Text("policies", "策略"),
    "warnings": Text("warnings", "预警"),
    "digest": Text("decision digest", "决策摘要"),
    "observations": Text("judged", "已判断"),
    "harmful": Text("harm", "发生损害"),
    "base": Text("base rate", "基准率"),
    "censored": Text("outcome not known yet", "结果尚未可知"),
    "void": Text("void", "无效"),
    "largest": Text("of the largest customer", "其中最大客户"),
    "by": Text("by", "依据"),
    "at": Text("from", "起点"),
    "flagged": Text("flagged", "标记"),
    "share": Text("share", "占比"),
    "precision": Text("precision", "精确率"),
    "recall": Text("recall", "召回率"),
    "lift": Text("lift", "提升度"),
    "auc": Text("AUC", "AUC"),
    "rows": Text("with a value", "有取值"),
    "lead": Text("lead days, median", "提前天数中位数"),
    "lead10": Text("lead days, p10", "提前天数P10"),
    "error": Text("calibration error", "校准误差"),
    "all": Text("all", "全部"),
    "without_largest": Text("without the largest customer", "不含最大客户"),
    "at_most_30": Text("at most 30 a customer", "每客户至多30条"),
    "worst": Text("worst open severity", "最高未结严重度"),
    "score": Text("risk score", "风险评分"),
    "grade": Text("grade", "等级"),
    "late_share_6": Text("share late of the last 6", "最近6笔逾期占比"),
    "late_share_12": Text("share late of the last 12", "最近12笔逾期占比"),
    "mean_delay_6": Text("mean delay of the last 6", "最近6笔平均延迟"),
    "mean_delay_12": Text("mean delay of the last 12", "最近12笔平均延迟"),
    "mean_delay_all": Text("mean delay of all so far", "迄今平均延迟"),
    "weighted_delay_12": Text("weighted delay of the last 12", "最近12笔金额加权延迟"),
    "references": Text("plain references", "简单参照"),
    "ranking": Text(
        "How well it ranks (AUC; 0.5 is a coin, 1 is perfect)",
        "排序能力（AUC；0.5等同掷硬币，1为完美）",
    ),
    "rated": Text(
        "The score beside the references, where there is a score (AUC)",
        "有评分处：评分与参照对比（AUC）",
    ),
    "cuts": Text("What is flagged, and how often it is right", "标记了什么，正确率如何"),
    "alarms": Text("How much it says", "预警量"),
    "rule": Text("rule", "规则"),
    "per_month": Text("a customer and month", "每客户每月"),
    "muted": Text("muted", "被静默"),
    "episodes": Text("episodes", "事件段"),
    "ended": Text("ended", "已结束"),
    "short": Text("within a week", "一周内结束"),
    "RAISED": Text("raised", "发出"),
    "ESCALATED": Text("escalated", "升级"),
    "REPEATED": Text("repeated", "重复"),
    "EASED": Text("eased", "缓和"),
    "CLEARED": Text("cleared", "解除"),
    "total": Text("total", "合计"),
    "difference": Text("beside", "对比"),
    "unchanged": Text("the same", "相同"),
    "added": Text("added", "新增"),
    "removed": Text("removed", "减少"),
    "moved": Text("moved in time", "时间变动"),
    "moved_days": Text("days, median", "天数中位数"),
    "at_stake": Text("owed by them at most", "其最高欠款"),
    "lift_plot": Text("Lift over the base rate", "相对基准率的提升度"),
    "lift_note": Text(
        "1 means: no better than choosing at random. The line is the 95 % interval. "
        "Rules from their mildest severity on, if they flagged five customers or more.",
        "1表示与随机选择无异。横线为95%区间。规则自最轻严重度起，且至少标记五个客户。",
    ),
    "calibration_plot": Text("Predicted against observed", "预测与实际"),
    "calibration_note": Text(
        "On the diagonal, what is predicted comes true as often as it says. "
        "The score is read as hundredths.",
        "点落在对角线上表示预测与实际频率一致。评分按百分数解读。",
    ),
    "lead_plot": Text(
        "How early: days from the first warning to the harm", "提前量：首次预警至损害的天数"
    ),
    "lead_note": Text(
        "Each bar counts harms that an open warning foresaw.",
        "每个柱表示已有未结预警的损害数。",
    ),
    "sweep": Text("Sweep of levers", "参数扫描"),
    "sweep_note": Text(
        "What each setting of the swept rules is worth: flagged is a customer while an episode of "
        "any of them is open. On the front (*) no other setting has as much precision and as much "
        "lead, and more of one of them.",
        "所扫描规则的每种设置的效果：只要其中任一规则有未结事件段，客户即视为被标记。"
        "前沿（*）上的设置在精确率与提前量上不被其他设置同时超过。",
    ),
    "as_is": Text("as it is", "现状"),
    "setting": Text("setting", "设置"),
    "a_month": Text("warnings a month", "每月预警"),
    "front": Text("front", "前沿"),
    "front_plot": Text("Precision against lead time", "精确率与提前量"),
    "front_note": Text(
        "Each point is a setting; the line joins those of the front. Right and up is better.",
        "每个点为一种设置，连线为前沿。越靠右上越好。",
    ),
    "curve_plot": Text("Precision and recall by setting", "各设置的精确率与召回率"),
    "curve_note": Text(
        "Bands are 95 % intervals. Settings from left to right in the order of the table. Dashed: "
        "the policy as it is.",
        "色带为95%区间。自左至右按表中顺序排列。虚线为现状。",
    ),
    "budget": Text("Within the budget", "预算之内"),
    "budget_of": Text("warnings a month at most", "每月预警上限"),
    "recall_cost": Text("recall that it costs", "损失的召回率"),
    "harm": Text("harm", "损害"),
    "nothing_within": Text("no setting is within the budget", "没有设置在预算之内"),
    "by_grade": Text("Rules by grade of the customer", "各等级客户的规则效果"),
    "ungraded": Text("none", "无等级"),
    "gained": Text("what is gained on", "相对提升："),
    "month_plot": Text("Warnings by month and rule", "各月各规则预警数"),
    "predicted": Text("predicted", "预测"),
    "observed": Text("observed", "实际"),
    "others": Text("others", "其他"),
    "none": Text("none", "无"),
    "read": Text(
        "Precision: of what was flagged, how much came to harm. Recall: of all harm, how much was "
        "flagged. Lift: precision over the base rate. AUC: the chance that a harmful case ranks "
        "above another.",
        "精确率：被标记者中实际受损的比例。召回率：全部损害中被标记的比例。提升度：精确率除以基准率。"
        "AUC：受损案例排在其他案例之前的概率。",
    ),
}


def say(key: str, language: Language) -> str:
    """The words of a key; names that have none, such as rules, stay as they are."""
    text = TEXTS.get(key)
    if text is None:
        return key
    return text.zh if language == "zh" else text.en


def in_language(text: Text, language: Language) -> str:
    """A text of a file in one language."""
    return text.zh if language == "zh" else text.en
