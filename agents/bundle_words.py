"""What a bundle says of itself, in both languages, and which table tells of which event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SECTIONS: Final[Mapping[str, str]] = {
    "ContactLogged": "contacts",
    "DisputeOpened": "disputes",
    "DisputeResolved": "disputes",
    "PromiseMade": "promises",
    "PromiseWithdrawn": "promises",
    "PlanAgreed": "promises",
    "PlanEnded": "promises",
    "CreditDecided": "decisions",
    "RetirementAdvanced": "retirement",
    "SilenceBegan": "handling",
    "SilenceEnded": "handling",
    "WarningAcknowledged": "handling",
    "VerdictGiven": "handling",
}
"""Other events stand in the table that bears the name of their topic."""

README: Final = """\
What is known of one customer, as evidence
==========================================

*.csv            for people: what happened, when it became known, and where it is recorded
warnings.csv     every warning: value, threshold, policy, and the records behind it
policies/*.yaml  every version of the policy, as its author wrote it; policies.csv says since when
raw/*.jsonl      the records themselves, byte by byte (base64), each with its SHA-256
manifest.json    the SHA-256 of every file here, and one digest over all records

How to check it

1. `tocsin bundle --verify FILE` makes every table again from the raw records and compares; where
   the deployment can be reached, it compares each record with the topic that it came from.
2. Without tocsin: `sha256sum` of each file equals the one in manifest.json. The `sha256` of a line
   in raw/ is that of its decoded `value_base64`. `record_digest` is the SHA-256 of these lines, in
   the order of raw/records.jsonl, raw/warnings.jsonl, raw/policies.jsonl:
       RECORD TIMESTAMP_MS KEY_BASE64 SHA256
   with a single space between and a line feed after each.
3. Of files attached to a contact only the SHA-256 is kept: compare it with that of the file.

Silences, verdicts, refused records and every version of the policy are in it: what was muted or
changed can be seen. Instants are UTC. Nothing in this file depends on when it was made.


客户资料证据包
==============

*.csv            供阅读：发生了什么、何时得知、记录在何处
warnings.csv     每一条预警：数值、阈值、所依据的政策以及背后的记录
policies/*.yaml  政策的每个版本原文；policies.csv 注明生效时间
raw/*.jsonl      原始记录，逐字节保存（base64），每条附有 SHA-256
manifest.json    包内每个文件的 SHA-256，以及全部记录的总摘要

如何核验

1. `tocsin bundle --verify 文件` 由原始记录重新生成全部表格并逐一比较；
   若能连接到系统，还会与来源主题中的每条记录比较。
2. 不用 tocsin：对每个文件计算 `sha256sum`，应与 manifest.json 中的一致；raw/ 中每行的
   `sha256` 是其 `value_base64` 解码后的摘要；`record_digest` 是下列各行的 SHA-256，顺序依次为
   raw/records.jsonl、raw/warnings.jsonl、raw/policies.jsonl：
       RECORD TIMESTAMP_MS KEY_BASE64 SHA256
   各项之间一个空格，每行以换行符结束。
3. 沟通记录所附的文件只保存其 SHA-256：请与原文件的摘要比较。

静默、判定、被拒绝的记录以及政策的每个版本都在其中：屏蔽或修改过什么一目了然。时间均为 UTC。
本文件的内容与制作时间无关。
"""
