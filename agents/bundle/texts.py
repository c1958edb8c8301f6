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
manifest.json    the SHA-256 of every file here, one digest over all records, how far it goes

How far it goes: raw/journal.jsonl holds one record of the journal. All that the journal covers up
to there is in it, and nothing later. Records that cannot be read, or that were sent to a partition
that is not the customer's, are nobody's: the dead letters have them.

How to check it

1. `tocsin bundle --verify FILE` makes every table again from the raw records and compares. Then it
   follows the journal in the topics from its beginning, and compares: each record, that none is
   missing and none too many, and what was refused.
2. With --offline, or without tocsin, nobody can tell whether the records are genuine and whether
   any is missing: a file of invented records can agree with itself. What can be seen: `sha256sum`
   of each file equals the one in manifest.json. The `sha256` of a line in raw/ is that of its
   decoded `value_base64`. `record_digest` is the SHA-256 of these lines, in the order of
   raw/records.jsonl, raw/warnings.jsonl, raw/policies.jsonl, raw/journal.jsonl:
       RECORD TIMESTAMP_MS KEY_BASE64 SHA256
   with a single space between and a line feed after each. So keep the SHA-256 of this file apart
   from it, from the day on which it was made.
3. Of files attached to a contact only the SHA-256 is kept: compare it with that of the file.

Silences, verdicts, refused records and every version of the policy are in it: what was muted or
changed can be seen. Instants are UTC.


客户资料证据包
==============

*.csv            供阅读：发生了什么、何时得知、记录在何处
warnings.csv     每一条预警：数值、阈值、所依据的政策以及背后的记录
policies/*.yaml  政策的每个版本原文；policies.csv 注明生效时间
raw/*.jsonl      原始记录，逐字节保存（base64），每条附有 SHA-256
manifest.json    包内每个文件的 SHA-256、全部记录的总摘要以及截止位置

截止位置：raw/journal.jsonl 含一条日志记录。日志到此为止所涵盖的内容全部在内，此后的不在内。
无法读取的记录、或发到不属于该客户的分区的记录不归任何客户：它们在死信主题中。

如何核验

1. `tocsin bundle --verify 文件` 由原始记录重新生成全部表格并逐一比较；然后从头核对主题中的日志，
   比较每条记录，确认既无缺失也无多余，并核对哪些记录被拒绝。
2. 使用 --offline 或不用 tocsin 时，无人能判断记录是否真实、是否有缺失：虚构的记录也可以自洽。
   能看到的是：每个文件的 `sha256sum` 应与 manifest.json 中的一致；raw/ 中每行的
   `sha256` 是其 `value_base64` 解码后的摘要；`record_digest` 是下列各行的 SHA-256，顺序依次为
   raw/records.jsonl、raw/warnings.jsonl、raw/policies.jsonl、raw/journal.jsonl：
       RECORD TIMESTAMP_MS KEY_BASE64 SHA256
   各项之间一个空格，每行以换行符结束。因此请自制作之日起另行保存本文件的 SHA-256。
3. 沟通记录所附的文件只保存其 SHA-256：请与原文件的摘要比较。

静默、判定、被拒绝的记录以及政策的每个版本都在其中：屏蔽或修改过什么一目了然。时间均为 UTC。
"""
