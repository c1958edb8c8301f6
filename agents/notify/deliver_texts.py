"""The words of a delivery, in English and Chinese: a title, and a paragraph for each warning.

Templates of one's own name values in braces, from a closed list; nothing in them is executed, and
what a value contains is never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tocsin.agents.notify.outbox import Notice
from tocsin.agents.render.warning_cards import (
    Language,
    WarningView,
    action_of,
    clears_when,
    exposure_text,
    text_of,
)
from tocsin.agents.render.warning_cards import threshold_of as threshold
from tocsin.agents.render.warning_cards import value_of as value
from tocsin.agents.settings.formats import clean, day
from tocsin.streams.measures.severity import SEVERITIES

LINE_NAMES: Final = (
    "severity", "customer", "customer_id", "rule", "transition", "owner", "segment", "country",
    "grade", "as_of", "value", "threshold", "owes", "text", "action", "clears_when",
    "warning_id", "episode_id",
)  # fmt: skip
TITLE_NAMES: Final = ("count", *LINE_NAMES)  # of the gravest warning, where there are several
PACKAGED: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "one": "{severity}: {customer}, {rule} ({transition})",
        "many": "{count} warnings, gravest {severity}",
        "line": "{severity} {transition} {as_of}: {text}\n"
        "Do: {action}\n{clears_when}\nOwner: {owner}. See: tocsin explain {warning_id}",
    },
    "zh": {
        "one": "{severity}：{customer}，{rule}（{transition}）",
        "many": "{count} 条预警，最高级别 {severity}",
        "line": "{severity} {transition} {as_of}：{text}\n"
        "处理：{action}\n{clears_when}\n负责人：{owner}。详情：tocsin explain {warning_id}",
    },
}
WORDS_ZH: Final = {
    "LOW": "低", "MEDIUM": "中", "HIGH": "高", "CRITICAL": "严重",
    "RAISED": "新增", "ESCALATED": "升级", "EASED": "缓和", "REPEATED": "重复",
    "CLEARED": "解除", "DIGEST": "汇总",
}  # fmt: skip
_NAMED: Final = re.compile(r"\{(\w*)\}")


def unknown_names(part: str, template: str) -> list[tuple[str, Sequence[str]]]:
    """Names in braces that a template's part (title or line) does not have, and those it has."""
    known = TITLE_NAMES if part == "title" else LINE_NAMES
    return [(name, known) for name in _NAMED.findall(template) if name not in known]


def title_of(notices: Sequence[Notice], language: Language, own: str, view: WarningView) -> str:
    """The title of a delivery, in one line."""
    gravest = max(notices, key=lambda notice: SEVERITIES.get(notice.warning.severity, 0))
    packaged = PACKAGED[language]["one" if len(notices) == 1 else "many"]
    values = {**_values(gravest, language, view), "count": str(len(notices))}
    return clean(_filled(own or packaged, values))


def line_of(notice: Notice, language: Language, own: str, view: WarningView) -> str:
    """What is said of one warning: a few lines, without control characters.

    A line of the template that names values, all of them empty, is left out.
    """
    values = _values(notice, language, view)
    lines = (own or PACKAGED[language]["line"]).split("\n")
    text = "\n".join(_filled(line, values) for line in lines if not _is_void(line, values))
    return "\n".join(clean(line) for line in text.splitlines())


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _NAMED.sub(lambda found: values.get(found[1], ""), template)


def _is_void(line: str, values: Mapping[str, str]) -> bool:
    names = _NAMED.findall(line)
    return bool(names) and all(values.get(name) == "" for name in names)


def _values(notice: Notice, language: Language, view: WarningView) -> dict[str, str]:
    warning = notice.warning
    name = view.names.get(warning.customer_id, "")
    words = WORDS_ZH if language == "zh" else {}
    return {
        "severity": words.get(warning.severity, warning.severity),
        "transition": words.get(warning.transition, warning.transition.lower()),
        "customer": f"{warning.customer_id} {name}".strip() or warning.subject,
        "customer_id": warning.customer_id,
        "rule": warning.rule,
        "owner": notice.owner or "-",
        "segment": notice.segment or "-",
        "country": notice.country or "-",
        "grade": warning.grade or "-",
        "as_of": day(warning.as_of),
        "value": value(warning),
        "threshold": threshold(warning),
        "owes": exposure_text(warning),
        "text": text_of(warning, language),
        "action": action_of(warning, language),
        "clears_when": clears_when(warning, language),
        "warning_id": warning.warning_id,
        "episode_id": warning.episode_id,
    }
