"""Deliveries to servers that fail in every way: what is tried again, what is not, what is sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from msgspec import structs

from tests.agents.notify.notices import notice
from tests.agents.notify.receivers import (
    HttpReceiver,
    Manner,
    breaks,
    certificate,
    floods,
    hangs,
    receiving,
    receiving_mail,
    says,
    trickles,
)
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.notify.config import Alertmanager, Endpoint, Mail
from tocsin.agents.notify.deliver import DELIVERED, Message, Outcome, Result
from tocsin.agents.notify.deliver_http import AlertmanagerSender, Webhook, labels_of
from tocsin.agents.notify.deliver_mail import MailSender
from tocsin.agents.notify.deliver_robots import Robot, RobotKind, shortened
from tocsin.agents.notify.deliver_texts import line_of, title_of, unknown_names
from tocsin.agents.notify.outbox import Notice
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.streams.decide.risk_warning import Exposure

NOW = 1_738_310_400_123
TIMEOUT_S = 60.0  # for who answers at once, on however busy a machine
SILENCE_S = 1.0  # how long is waited for who never does
RETURNS_WITHIN_S = 30.0  # though the other side hangs for ever


def message(*notices: Notice, lines: Sequence[str] = ("a line",)) -> Message:
    told = notices or (notice(1),)
    return Message(
        id="key-1",
        title="a title",
        heads=[f"of {found.warning.warning_id}" for found in told],
        lines=lines,
        notices=told,
        data={"id": "key-1", "words": "逾期"},
    )


def webhook(url: str, timeout_s: float = TIMEOUT_S, **more: str) -> Webhook:
    return Webhook(Endpoint(url=url, **more), timeout_s, "receiver desk")


async def sent(sender: Any, found: Message | None = None) -> Result:
    """The result of one attempt."""
    try:
        result = await sender.send(found or message(), NOW)
    finally:
        await sender.close()
    assert isinstance(result, Result)
    return result


async def test_a_webhook_is_signed_over_id_time_and_body(tmp_path: Path) -> None:
    key = base64.b64encode(b"0123456789abcdef01234567").decode()
    (tmp_path / "secret").write_text(f"whsec_{key}\n")
    async with receiving() as server:
        result = await sent(webhook(server.url, secret_file=str(tmp_path / "secret")))

    (call,) = server.calls
    stamp = str(NOW // 1000)
    signed = f"key-1.{stamp}.".encode() + call.body
    digest = hmac.digest(b"0123456789abcdef01234567", signed, hashlib.sha256)
    assert result == DELIVERED
    assert (call.headers["webhook-id"], call.headers["idempotency-key"]) == ("key-1", "key-1")
    assert call.headers["webhook-timestamp"] == stamp
    assert call.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert call.headers["content-type"] == "application/json; charset=utf-8"
    assert call.data == {"id": "key-1", "words": "逾期"}


async def test_a_webhook_passes_the_trace_on() -> None:
    async with receiving() as server:
        await sent(webhook(server.url))
        await sent(webhook(server.url), structs.replace(message(), trace="00-trace-span-01"))

    assert [call.headers.get("traceparent") for call in server.calls] == [None, "00-trace-span-01"]


@pytest.mark.parametrize(
    ("manner", "outcome", "detail"),
    [
        (says(204), Outcome.DELIVERED, ""),
        (says(500, "sorry"), Outcome.FAILED, 'HTTP 500 "sorry"'),
        (says(503), Outcome.FAILED, "HTTP 503"),
        (says(408), Outcome.FAILED, "HTTP 408"),
        (says(400, "no"), Outcome.REFUSED, 'HTTP 400 "no"'),
        (says(410), Outcome.REFUSED, "HTTP 410"),
        (hangs, Outcome.FAILED, "no answer within 1 s"),
        (trickles, Outcome.FAILED, "no answer within 1 s"),
        (breaks, Outcome.FAILED, "ServerDisconnectedError"),
    ],
)
async def test_what_a_server_does_decides_whether_it_is_tried_again(
    manner: Manner, outcome: Outcome, detail: str
) -> None:
    async with receiving() as server:
        server.manner = manner
        timeout_s = SILENCE_S if manner in (hangs, trickles) else TIMEOUT_S
        begun = time.monotonic()
        result = await sent(webhook(server.url, timeout_s))

    assert (result.outcome, result.detail) == (outcome, detail)
    assert time.monotonic() - begun < RETURNS_WITHIN_S


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as elsewhere, receiving() as server:
        server.manner = says(307, Location=elsewhere.url)
        result = await sent(webhook(server.url))

    assert result == Result(Outcome.REFUSED, "HTTP 307")
    assert elsewhere.calls == []


async def test_of_a_huge_answer_only_the_beginning_is_read() -> None:
    async with receiving() as server:
        server.manner = floods
        result = await sent(webhook(server.url))

    assert result == DELIVERED, "a gigabyte takes longer than there is time"


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("17", 17, 17),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 10**6, 10**10),
    ],
)
async def test_too_many_requests_are_tried_again_when_the_server_says(
    header: str, least: int, most: int
) -> None:
    async with receiving() as server:
        server.manner = says(429, Retry_After=header)
        result = await sent(webhook(server.url))

    assert result.outcome is Outcome.FAILED
    assert least <= result.retry_after_s <= most


async def test_nobody_there_is_a_failure_that_names_no_address() -> None:
    result = await sent(webhook(f"http://127.0.0.1:{free_port()}/secret-token"))

    assert result.outcome is Outcome.FAILED
    assert "secret-token" not in result.detail
    assert "connect" in result.detail.lower()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    own, context = certificate(tmp_path, "own")
    foreign, _ = certificate(tmp_path, "foreign")
    async with receiving(context) as server:
        by_system = await sent(webhook(server.url))
        by_other = await sent(webhook(server.url, ca_file=str(foreign)))
        assert server.calls == []
        by_own = await sent(webhook(server.url, ca_file=str(own)))
        plain = await sent(webhook(server.url.replace("https", "http")))
    async with receiving() as server:
        no_tls = await sent(webhook(server.url.replace("http", "https")))

    for result in (by_system, by_other):
        assert result.outcome is Outcome.FAILED
        assert "certificate is not trusted" in result.detail
    assert by_own == DELIVERED
    assert plain.outcome is not Outcome.DELIVERED
    assert no_tls.outcome is Outcome.FAILED


def test_addresses_and_secrets_come_from_files_and_variables_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "url"
    bad.write_text("ftp://host/hidden-token")
    with pytest.raises(ConfigurationError, match="must be http") as error:
        Webhook(Endpoint(url_file=str(bad)), 1, "receiver desk")
    assert "hidden-token" not in str(error.value)
    with pytest.raises(ConfigurationError, match="receiver desk: cannot read"):
        Webhook(Endpoint(url="http://h/", secret_file=str(tmp_path / "none")), 1, "receiver desk")
    with pytest.raises(ConfigurationError, match="variable HOOK is empty or not set"):
        Webhook(Endpoint(url_env="HOOK"), 1, "receiver desk")
    monkeypatch.setenv("HOOK", "whsec_%%%")
    with pytest.raises(ConfigurationError, match="not base64"):
        Webhook(Endpoint(url="http://h/", secret_env="HOOK"), 1, "receiver desk")


def alertmanager(server: HttpReceiver, **more: str) -> AlertmanagerSender:
    config = Alertmanager(url=f"http://127.0.0.1:{server.port}/base/", resend_s=60, **more)
    return AlertmanagerSender(config, TIMEOUT_S, "receiver alerts")


async def test_an_alert_fires_until_a_few_intervals_pass_and_ends_what_it_replaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AM_TOKEN", "bearer")
    one = notice(1, owner="anna", labels={"alertname": "x"}, ended=({"alertname": "before"},))
    async with receiving() as server:
        result = await sent(alertmanager(server, secret_env="AM_TOKEN"), message(one))

    (call,) = server.calls
    ended, firing = call.data
    assert result == DELIVERED
    assert call.path == "/base/api/v2/alerts"
    assert call.headers["authorization"] == "Bearer bearer"
    assert ended == {
        "labels": {"alertname": "before"},
        "annotations": firing["annotations"],
        "endsAt": "2025-01-31T07:59:00Z",
    }
    assert firing["labels"] == {"alertname": "x"}
    assert firing["startsAt"] == "2025-01-31T08:00:00Z"
    assert firing["endsAt"] == "2025-01-31T08:04:00Z"
    assert firing["annotations"]["warning_id"] == "w1"


async def test_an_alert_of_a_batch_has_words_of_its_own_and_keeps_them() -> None:
    both = [notice(number, labels={"alertname": f"x{number}"}) for number in (1, 2)]
    told = message(*both, lines=["one", "two"])
    async with receiving() as server:
        sender = alertmanager(server)
        await sender.send(told, NOW)
        await sender.repeat(both, told.heads, told.lines, NOW + 60_000)
        await sender.close()

    first, again = ([alert["annotations"] for alert in call.data] for call in server.calls)
    assert [found["summary"] for found in first] == ["of w1", "of w2"]
    assert [found["description"] for found in first] == ["one", "two"]
    assert again == first


async def test_a_digest_stands_as_an_alert_for_a_day() -> None:
    digest = notice(1, transition="DIGEST", labels={"alertname": "digest"})
    async with receiving() as server:
        await sent(alertmanager(server), message(digest))

    assert server.calls[0].data[0]["endsAt"] == "2025-02-01T08:00:00Z"


def test_labels_are_few_short_and_never_empty() -> None:
    found = labels_of(notice(1, owner="o" * 500, segment="KEY"))

    assert found == {
        "alertname": "overdue-amount",
        "service": "tocsin",
        "severity": "high",
        "customer": "C1",
        "subject": "EUR",
        "owner": "o" * 200,
        "segment": "KEY",
    }


def robot(kind: RobotKind, server: HttpReceiver, **more: str) -> Robot:
    return Robot(kind, Endpoint(url=server.url + "?access_token=t", **more), TIMEOUT_S, "robot")


async def test_the_robot_of_wecom_gets_markdown() -> None:
    async with receiving() as server:
        server.manner = says(200, {"errcode": 0, "errmsg": "ok"})
        result = await sent(robot("wecom", server))

    assert result == DELIVERED
    expected = {"msgtype": "markdown", "markdown": {"content": "**a title**\na line"}}
    assert server.calls[0].data == expected


async def test_the_robot_of_dingtalk_gets_a_signature_in_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DING", "SECabc")
    async with receiving() as server:
        server.manner = says(200, {"errcode": 0, "errmsg": "ok"})
        result = await sent(robot("dingtalk", server, secret_env="DING"))

    query = parse_qs(server.calls[0].query)
    digest = hmac.digest(b"SECabc", f"{NOW}\nSECabc".encode(), hashlib.sha256)
    assert result == DELIVERED
    assert query == {
        "access_token": ["t"],
        "timestamp": [str(NOW)],
        "sign": [base64.b64encode(digest).decode()],
    }
    assert server.calls[0].data["markdown"] == {"title": "a title", "text": "**a title**\n\na line"}


async def test_the_robot_of_feishu_gets_a_signature_in_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEISHU", "abc")
    async with receiving() as server:
        server.manner = says(200, {"code": 0, "msg": "success"})
        result = await sent(robot("feishu", server, secret_env="FEISHU"))

    stamp = str(NOW // 1000)
    digest = hmac.digest(f"{stamp}\nabc".encode(), b"", hashlib.sha256)
    assert result == DELIVERED
    assert server.calls[0].data == {
        "msg_type": "text",
        "content": {"text": "a title\na line"},
        "timestamp": stamp,
        "sign": base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize(
    ("kind", "body", "outcome", "detail"),
    [
        ("wecom", {"errcode": 93000, "errmsg": "bad key"}, Outcome.REFUSED, "code 93000: bad key"),
        ("wecom", {"errcode": 45009, "errmsg": "often"}, Outcome.FAILED, "code 45009: often"),
        ("dingtalk", {"errcode": 310000, "errmsg": "sign"}, Outcome.REFUSED, "code 310000: sign"),
        ("dingtalk", {"errcode": 130101, "errmsg": "fast"}, Outcome.FAILED, "code 130101: fast"),
        ("feishu", {"code": 19021, "msg": "sign"}, Outcome.REFUSED, "code 19021: sign"),
        ("feishu", {"code": 11232, "msg": "fast"}, Outcome.FAILED, "code 11232: fast"),
        ("feishu", {"StatusCode": 0, "StatusMessage": "success"}, Outcome.DELIVERED, ""),
        ("wecom", "a page", Outcome.FAILED, "HTTP 200, but no answer of a robot"),
    ],
)
async def test_robots_refuse_with_a_code_in_an_answer_of_200(
    kind: RobotKind, body: Any, outcome: Outcome, detail: str
) -> None:
    async with receiving() as server:
        server.manner = says(200, body)
        result = await sent(robot(kind, server))

    assert (result.outcome, result.detail) == (outcome, detail)


def test_a_text_that_is_too_long_says_how_many_are_missing() -> None:
    lines = [f"逾期 {number} " * 20 for number in range(30)]

    text = shortened(lines, 4000)

    assert len(text.encode()) <= 4000
    kept = text.split("\n\n")
    assert kept[:-1] == lines[: len(kept) - 1]
    assert kept[-1] == f"… {30 - len(kept) + 1} …"
    assert len(shortened(["逾" * 5000], 100).encode()) <= 100
    assert shortened(["a", "b"], 100) == "a\n\nb"


def mail(port: int, timeout_s: float = TIMEOUT_S, **more: Any) -> MailSender:
    config = Mail(
        host="127.0.0.1",
        port=port,
        sender="tocsin@example.com",
        to=["anna@example.com", "ben@example.com"],
        **{"tls": "none", **more},
    )
    return MailSender(config, timeout_s, "receiver mail")


async def test_a_mail_bears_the_key_and_the_words_of_both_languages() -> None:
    async with receiving_mail() as server:
        result = await sent(mail(server.port), message(lines=["逾期 31,000.00 EUR", "two"]))

    (found,) = server.mails
    read = message_from_bytes(found)
    body = read.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert result == DELIVERED
    assert read["Message-ID"] == "<key-1@example.com>"
    assert (read["Subject"], read["To"]) == ("a title", "anna@example.com, ben@example.com")
    assert "逾期 31,000.00 EUR" in body.decode()
    assert all(byte < 128 for byte in found)
    assert [word for word in server.commands if word.startswith("rcpt")] == [
        "rcpt TO:<anna@example.com>",
        "rcpt TO:<ben@example.com>",
    ]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_mail_goes_encrypted_to_a_server_that_is_trusted_and_logs_in(
    tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "s3cret")
    own, context = certificate(tmp_path, "mail")
    login = {"tls": tls, "user": "tocsin", "secret_env": "MAIL_PASSWORD"}
    async with receiving_mail(context, is_wrapped=tls == "tls") as server:
        distrusted = await sent(mail(server.port, **login))
        assert not [word for word in server.commands if word.startswith("AUTH")]
        result = await sent(mail(server.port, **login, ca_file=str(own)))

    assert distrusted.outcome is Outcome.FAILED
    assert "certificate is not trusted" in distrusted.detail
    assert result == DELIVERED
    (told,) = [word for word in server.commands if word.startswith("AUTH")]
    assert base64.b64encode(b"\0tocsin\0s3cret").decode() in told


@pytest.mark.parametrize(
    ("word", "answer", "outcome", "detail"),
    [
        ("CONNECT", "421 busy", Outcome.FAILED, "SMTP 421 busy"),
        ("CONNECT", "554 go away", Outcome.REFUSED, "SMTP 554 go away"),
        ("MAIL", "451 later", Outcome.FAILED, "SMTP 451 later"),
        ("MAIL", "550 never", Outcome.REFUSED, "SMTP 550 never"),
        ("RCPT", "450 greylisted", Outcome.FAILED, "SMTP 450 no reader taken"),
        ("RCPT", "550 unknown", Outcome.REFUSED, "SMTP 550 no reader taken"),
        ("DATA", "451 later", Outcome.FAILED, "SMTP 451 later"),
        ("END", "554 spam", Outcome.REFUSED, "SMTP 554 spam"),
        ("END", "452 full", Outcome.FAILED, "SMTP 452 full"),
        ("CONNECT", "HANG", Outcome.FAILED, ""),
        ("END", "HANG", Outcome.FAILED, ""),
    ],
)
async def test_what_a_mail_server_says_decides_whether_it_is_tried_again(
    word: str, answer: str, outcome: Outcome, detail: str
) -> None:
    async with receiving_mail() as server:
        server.answers[word] = answer
        begun = time.monotonic()
        result = await sent(mail(server.port, SILENCE_S if answer == "HANG" else TIMEOUT_S))

    assert result.outcome is outcome
    assert result.detail.startswith(detail)
    assert time.monotonic() - begun < RETURNS_WITHIN_S
    assert server.mails == []


async def test_without_a_mail_server_it_is_a_failure() -> None:
    result = await sent(mail(free_port()))

    assert result.outcome is Outcome.FAILED
    assert "cannot be spoken to" in result.detail


def test_packaged_words_say_who_what_and_what_to_do_in_both_languages() -> None:
    one = notice(1, owner="anna")
    names = {"C1": "Nordwind\nGmbH"}
    english, chinese = WarningView("en", names), WarningView("zh", names)

    title = title_of([one], "en", "", english)
    assert title == "HIGH: C1 Nordwind\N{REPLACEMENT CHARACTER}GmbH, overdue-amount (raised)"
    assert title_of([one, notice(2, severity="CRITICAL")], "en", "", english) == (
        "2 warnings, gravest CRITICAL"
    )
    assert title_of([one], "zh", "", chinese).startswith("高：C1 Nordwind")
    line = line_of(one, "en", "", english)
    assert "C1 owes 31,000.00 EUR past due" in line
    assert "Do: call\n" in line
    assert "Owner: anna" in line
    assert "处理：致电\n" in line_of(one, "zh", "", chinese)


def test_a_line_that_would_say_nothing_is_left_out_and_none_says_ends_twice() -> None:
    over = notice(1, action_en="", action_zh="", clears_when_en="", clears_when_zh="")
    when = notice(1, clears_when_en="Ends when paid.", clears_when_zh="付清时解除。")

    assert [
        line.partition(":")[0] for line in line_of(over, "en", "", WarningView()).splitlines()
    ] == [
        "HIGH raised 2025-02-01",
        "Owner",
    ]
    assert "处理" not in line_of(over, "zh", "", WarningView("zh"))
    assert "\nEnds when paid.\n" in line_of(when, "en", "", WarningView())
    assert "\n付清时解除。\n" in line_of(when, "zh", "", WarningView("zh"))
    assert (
        line_of(over, "en", "{rule}\nTo do: {action}\nBye", WarningView()) == "overdue-amount\nBye"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("currency", "exposure_minor", "others", "told"),
    [
        ("EUR", 160_000_000, (), "1,600,000.00 EUR"),
        ("EUR", 160_000_000, (Exposure("JPY", 500),), "1,600,000.00 EUR, 500 JPY"),
        ("EUR", 0, (Exposure("JPY", 500),), "500 JPY"),  # never 0.00 where something is owed
        ("EUR", 0, (), "0.00 EUR"),
        (None, 0, (), "-"),  # of logic version 1: 0 of the reporting currency, whatever is owed
        (None, 700, (), "-"),
    ],
)
def test_what_is_owed_is_told_in_each_currency_and_never_in_another(
    language: Language,
    currency: str | None,
    exposure_minor: int,
    others: tuple[Exposure, ...],
    told: str,
) -> None:
    one = notice(
        subject="", currency=currency, exposure_minor=exposure_minor, other_exposures=others
    )

    assert line_of(one, language, "{owes}", WarningView(language)) == told


def test_templates_of_ones_own_name_values_and_nothing_else() -> None:
    one = notice(1, rule="{warning_id}")

    assert line_of(one, "en", "{rule} {value}/{threshold} {owes}", WarningView()) == (
        "{warning_id} 31,000.00 EUR/20,000.00 EUR 31,000.00 EUR"
    )
    assert line_of(one, "en", "{rule.__class__} {0}", WarningView()) == "{rule.__class__} "
    assert [name for name, _ in unknown_names("line", "{rule} {ruel} {count}")] == ["ruel", "count"]
    assert unknown_names("title", "{count} {severity}") == []
