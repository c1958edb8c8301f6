"""Deliveries over HTTP: signed webhooks (Standard Webhooks) and Alertmanager's API v2.

What is spoken to is chosen by the operator alone: no redirect is followed, no proxy of the
environment is asked, no cookie is kept, certificates are checked, and of an answer only the first
kilobytes are read, within the receiver's time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from tocsin.agents.notify.config import Alertmanager, Endpoint, url_problems
from tocsin.agents.notify.deliver import DELIVERED, Message, Outcome, Result, secret_of
from tocsin.agents.notify.outbox import Notice
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import clean, instant
from tocsin.agents.settings.secret import Secret

ANSWER_BYTES_MAX: Final = 16_384
DETAIL_CHARS_MAX: Final = 200
RETRIED: Final = frozenset({408, 425, 429})  # of 4xx, those that another time may change
DIGEST_MS: Final = 86_400_000  # how long the alert of a digest stands
LIVES: Final = 4  # an alert ends by itself when it was not told again for so many intervals
# An end that lies in the future by Alertmanager's clock is taken for a firing alert.
SKEW_MS: Final = 60_000
LABEL_CHARS_MAX: Final = 200
WHSEC: Final = "whsec_"


class Answer(Struct, frozen=True):
    """What a server said: status, the beginning of the body, when it wants to be asked again."""

    status: int
    body: bytes
    retry_after_s: int = 0

    def result(self) -> Result:
        """What the status alone means."""
        if 200 <= self.status < 300:
            return DELIVERED
        detail = f"HTTP {self.status} {self.text}".rstrip()
        is_final = 300 <= self.status < 500 and self.status not in RETRIED
        outcome = Outcome.REFUSED if is_final else Outcome.FAILED
        return Result(outcome, detail, self.retry_after_s)

    @property
    def text(self) -> str:
        """The beginning of the body, in one line."""
        return clean(" ".join(self.body.decode(errors="replace").split()))[:DETAIL_CHARS_MAX]


class Poster:
    """Posts JSON to one address. Raises InputError for what can't be used."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, what: str) -> None:
        self.secret: Secret = secret_of(endpoint.secret_file, endpoint.secret_env, what)
        self._url = endpoint.url
        if not self._url:
            self._url = secret_of(endpoint.url_file, endpoint.url_env, what).reveal().strip()
            for problem in url_problems(self._url):
                raise InputError(f"{what}: the address {problem}")
        self._tls = tls_context(endpoint.ca_file, what)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, body: bytes, headers: Mapping[str, str], *, path: str = "", query: str = ""
    ) -> Answer | Result:
        """The server's answer, or how it could not be had."""
        url = self._url.rstrip("/") + path if path else self._url
        if query:
            url += ("&" if "?" in url else "?") + query
        try:
            return await self._posted(url, body, headers)
        except TimeoutError:
            return Result(Outcome.FAILED, f"no answer within {self._timeout.total:g} s")
        except aiohttp.ClientError as error:
            return Result(Outcome.FAILED, reason_of(error))
        except (OSError, ValueError) as error:
            return Result(Outcome.FAILED, type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _posted(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=1),
                headers={"User-Agent": "tocsin", "Accept-Encoding": "identity"},
            )
        own = {"Content-Type": "application/json; charset=utf-8", **headers}
        async with self._session.post(
            url, data=body, headers=own, allow_redirects=False
        ) as response:
            begun = bytearray()
            while len(begun) < ANSWER_BYTES_MAX and (part := await response.content.readany()):
                begun += part
            if not response.content.at_eof():
                response.close()  # whatever else it would say is of no interest
            again = _retry_after_s(response.headers.get("Retry-After", ""))
            return Answer(response.status, bytes(begun[:ANSWER_BYTES_MAX]), again)


def reason_of(error: aiohttp.ClientError) -> str:
    """Why a request failed, without its address, which may be a secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted: set ca_file if it is your own"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS could be agreed on"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be connected to: {error.os_error.strerror or type(error).__name__}"
    return type(error).__name__


def tls_context(ca_file: str, what: str) -> ssl.SSLContext:
    """A context that checks certificates and names. Raises InputError."""
    try:
        return ssl.create_default_context(
            cafile=str(Path(ca_file).expanduser()) if ca_file else None
        )
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise InputError(f"{what}: cannot read {ca_file}: {reason}") from error


def _retry_after_s(text: str) -> int:
    """Seconds that a Retry-After asks for; 0 if it says nothing that can be understood."""
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() - time.time()))
    except (ValueError, TypeError):
        return 0


class Webhook:
    """A webhook; with a secret it is signed as Standard Webhooks 1.0 says."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, what: str) -> None:
        self._poster = Poster(endpoint, timeout_s, what)
        self._key = _signing_key(self._poster.secret, what)

    async def send(self, message: Message, now: int) -> Result:
        """Post it, signed over id, time of this attempt, and body."""
        body = msgspec.json.encode(message.data)
        stamp = str(now // 1000)
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": stamp,
            "Idempotency-Key": message.id,
        }
        if self._key:
            signed = f"{message.id}.{stamp}.".encode() + body
            digest = hmac.digest(self._key, signed, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        if message.trace:
            headers["traceparent"] = message.trace
        answer = await self._poster.post(body, headers)
        return answer if isinstance(answer, Result) else answer.result()

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


def _signing_key(secret: Secret, what: str) -> bytes:
    text = secret.reveal()
    if not text.startswith(WHSEC):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(WHSEC), validate=True)
    except binascii.Error as error:
        raise InputError(f"{what}: what follows {WHSEC} is not base64") from error


class AlertmanagerSender:
    """Alertmanager: what began fires, what ended is resolved, what is open is told again."""

    def __init__(self, config: Alertmanager, timeout_s: float, what: str) -> None:
        self._poster = Poster(config, timeout_s, what)
        self._life_ms = LIVES * config.resend_s * 1000

    async def send(self, message: Message, now: int) -> Result:
        """Post what the notices set off and end, in their order."""
        alerts = [
            alert
            for notice, head, line in zip(
                message.notices, message.heads, message.lines, strict=True
            )
            for alert in self._alerts(notice, head, line, now)
        ]
        return await self._post(alerts)

    async def repeat(
        self, notices: Iterable[Notice], heads: Sequence[str], lines: Sequence[str], now: int
    ) -> Result:
        """Tell again what is open, in the same words."""
        alerts = [
            self._firing(notice, head, line, now)
            for notice, head, line in zip(notices, heads, lines, strict=True)
        ]
        return await self._post(alerts)

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

    async def _post(self, alerts: Sequence[Mapping[str, Any]]) -> Result:
        secret = self._poster.secret.reveal()
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        answer = await self._poster.post(
            msgspec.json.encode(alerts), headers, path="/api/v2/alerts"
        )
        return answer if isinstance(answer, Result) else answer.result()

    def _alerts(
        self, notice: Notice, head: str, line: str, now: int
    ) -> Iterable[Mapping[str, Any]]:
        for labels in notice.ended:
            yield {
                "labels": labels,
                "annotations": _annotations(notice, head, line),
                "endsAt": _rfc3339(now - SKEW_MS),
            }
        if notice.labels is not None:
            yield self._firing(notice, head, line, now)

    def _firing(self, notice: Notice, head: str, line: str, now: int) -> Mapping[str, Any]:
        warning = notice.warning
        life_ms = DIGEST_MS if warning.transition == "DIGEST" else self._life_ms
        return {
            "labels": notice.labels,
            "annotations": _annotations(notice, head, line),
            # An alert of the past would be over before it began.
            "startsAt": _rfc3339(min(warning.occurred_at, now)),
            "endsAt": _rfc3339(now + life_ms),
        }


def _annotations(notice: Notice, head: str, line: str) -> Mapping[str, str]:
    """Words for an alert; Alertmanager forgets earlier ones, so an end needs its own."""
    return {
        "summary": head,
        "description": line,
        "warning_id": notice.warning.warning_id,
        "episode_id": notice.warning.episode_id,
    }


def labels_of(notice: Notice) -> dict[str, str]:
    """What tells an alert from others: few names, short values, none empty."""
    warning = notice.warning
    values = {
        "alertname": warning.rule,
        "service": "tocsin",
        "severity": warning.severity.lower(),
        "customer": warning.customer_id,
        "subject": warning.subject,
        "owner": notice.owner,
        "segment": notice.segment,
        "country": notice.country,
    }
    if warning.transition == "DIGEST":
        values["alertname"] = "digest"
    return {name: value[:LABEL_CHARS_MAX] for name, value in values.items() if value}


def _rfc3339(epoch_ms: int) -> str:
    return instant(epoch_ms).replace(" ", "T")
