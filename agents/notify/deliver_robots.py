"""Group robots of 企业微信 (WeCom), 钉钉 (DingTalk) and 飞书 (Feishu), in their documented forms.

Their address holds a token, so it is a secret. None of them knows an idempotency key: a message
that was under way when the notifier was killed may be seen twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec

from tocsin.agents.notify.config import Endpoint
from tocsin.agents.notify.deliver import DELIVERED, Message, Outcome, Result
from tocsin.agents.notify.deliver_http import Answer, Poster
from tocsin.agents.settings.formats import clean

RobotKind = Literal["wecom", "dingtalk", "feishu"]
BYTES_MAX: Final[Mapping[RobotKind, int]] = {"wecom": 4_000, "dingtalk": 18_000, "feishu": 18_000}
"""Of a message's text, below the robot's own limit (4,096 and about 20,000 bytes)."""
# Codes that another time may change: busy, or too many messages a minute.
RETRIED: Final[Mapping[RobotKind, frozenset[int]]] = {
    "wecom": frozenset({-1, 45009}),
    "dingtalk": frozenset({-1, 130101, 130102}),
    "feishu": frozenset({11232}),
}
RETRY_AFTER_S: Final = 60  # the robots count messages by the minute
_MORE: Final = "… {count} …"


class Robot:
    """One robot of a group chat."""

    def __init__(self, kind: RobotKind, endpoint: Endpoint, timeout_s: float, what: str) -> None:
        self._kind = kind
        self._poster = Poster(endpoint, timeout_s, what)

    async def send(self, message: Message, now: int) -> Result:
        """Say it, as much as the robot takes."""
        text = shortened(message.lines, BYTES_MAX[self._kind] - len(message.title.encode()) - 10)
        secret = self._poster.secret.reveal()
        body, query = _request(self._kind, message.title, text, secret, now)
        answer = await self._poster.post(msgspec.json.encode(body), {}, query=query)
        return answer if isinstance(answer, Result) else _judged(self._kind, answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


def shortened(lines: Sequence[str], bytes_max: int) -> str:
    """As many of the lines as fit, and how many do not."""
    text = "\n\n".join(lines)
    if len(text.encode()) <= bytes_max:
        return text
    kept = list(lines)
    while len(kept) > 1:
        kept.pop()
        more = _MORE.format(count=len(lines) - len(kept))
        text = "\n\n".join([*kept, more])
        if len(text.encode()) <= bytes_max:
            return text
    return lines[0].encode()[: bytes_max - 3].decode(errors="ignore") + "…"


def _request(
    kind: RobotKind, title: str, text: str, secret: str, now: int
) -> tuple[dict[str, Any], str]:
    """The body, and the signature where it goes into the address."""
    match kind:
        case "wecom":
            content = f"**{title}**\n{text}"
            return {"msgtype": "markdown", "markdown": {"content": content}}, ""
        case "dingtalk":
            markdown = {"title": title, "text": f"**{title}**\n\n{text}"}
            query = ""
            if secret:
                signed = f"{now}\n{secret}".encode()
                sign = _signature(secret.encode(), signed)
                query = urlencode({"timestamp": now, "sign": sign})
            return {"msgtype": "markdown", "markdown": markdown}, query
        case "feishu":
            body: dict[str, Any] = {"msg_type": "text", "content": {"text": f"{title}\n{text}"}}
            if secret:
                stamp = str(now // 1000)
                key = f"{stamp}\n{secret}".encode()
                body |= {"timestamp": stamp, "sign": _signature(key, b"")}
            return body, ""


def _signature(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _judged(kind: RobotKind, answer: Answer) -> Result:
    """What an answer means: robots refuse with status 200 and a code in the body."""
    result = answer.result()
    if result is not DELIVERED:
        return result
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return Result(Outcome.FAILED, f"HTTP {answer.status}, but no answer of a robot")
    code = said.get("code", said.get("StatusCode")) if kind == "feishu" else said.get("errcode")
    if code == 0:
        return DELIVERED
    words = said.get("errmsg") or said.get("msg") or said.get("StatusMessage") or ""
    detail = f"code {code}: {clean(str(words))[:200]}"
    if code in RETRIED[kind]:
        return Result(Outcome.FAILED, detail, RETRY_AFTER_S)
    return Result(Outcome.REFUSED, detail)
