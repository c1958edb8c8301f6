"""Tokens, sessions and failed log-ins of the console, and who is let in from where."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from tocsin.agents.console import actions
from tocsin.agents.console.guard import COOKIE, CSRF_HEADER, AccessGuard, Refusal, Visitor
from tocsin.agents.console.openapi import ANSWERS, document
from tocsin.agents.console.users import (
    ADDRESSES_MAX,
    FAILURES_MAX,
    FAILURES_WITHIN_S,
    SESSION_S,
    SESSIONS_MAX,
    Failures,
    Sessions,
    TokenFile,
    User,
    digest_of,
)
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import load
from tocsin.streams.facts import engagement_checks as words

ANNA = User("anna", "operator")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guard(**settings: Any) -> AccessGuard:
    return AccessGuard(load(settings, discover=False))


def request(remote: str = "127.0.0.1", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    made = make_mocked_request("POST", "/", headers={"Host": "localhost:6070", **given})
    return made.clone(remote=remote)


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "tokens"
    tokens = TokenFile(path)

    token = tokens.add("anna", "operator")

    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.user_of(digest_of(token)) == ANNA
    assert tokens.user_of(digest_of(token + "x")) is None


def test_a_removed_line_revokes_its_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    tokens = TokenFile(path)
    token = tokens.add("anna", "reader")
    tokens.add("ben", "reader")

    path.write_text(path.read_text().splitlines()[1] + "\n")

    assert tokens.user_of(digest_of(token)) is None


def test_a_name_has_one_token(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens")
    tokens.add("anna", "reader")

    with pytest.raises(ConfigurationError, match="anna has a token"):
        tokens.add("anna", "operator")
    with pytest.raises(ConfigurationError, match="is no name"):
        tokens.add("an na", "operator")


def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# kept by hand\nnot a token\n")

    with pytest.raises(ConfigurationError, match=":2 is no token"):
        guard(web_tokens_file=str(path))


def test_a_session_ends_by_time_and_the_oldest_make_room() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    first, _ = sessions.open(ANNA)
    for _ in range(SESSIONS_MAX):
        last, _ = sessions.open(ANNA)

    assert sessions.find(first) is None
    assert sessions.find(last) is not None
    clock.now += SESSION_S
    assert sessions.find(last) is None


def test_after_ten_failures_an_address_waits_and_others_do_not() -> None:
    clock = Clock()
    failures = Failures(clock)
    for _ in range(FAILURES_MAX):
        assert failures.wait_s("10.0.0.1") == 0
        failures.add("10.0.0.1")

    assert failures.wait_s("10.0.0.1") > 0
    assert failures.wait_s("10.0.0.2") == 0
    clock.now += FAILURES_WITHIN_S
    assert failures.wait_s("10.0.0.1") == 0


def test_failures_of_so_many_addresses_are_known_and_then_the_oldest_make_room() -> None:
    failures = Failures(Clock())
    for _ in range(FAILURES_MAX):
        failures.add("10.0.0.1")
    for number in range(ADDRESSES_MAX - 1):
        failures.add(f"address {number}")
    assert failures.wait_s("10.0.0.1") > 0

    failures.add("one more")

    assert failures.wait_s("10.0.0.1") == 0


def test_a_guess_too_many_is_told_to_wait_but_who_has_a_token_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = TokenFile(path).add("anna", "operator")
    watched = guard(web_tokens_file=str(path))
    statuses = []
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(Refusal) as refusal:
            watched.visitor(request(Authorization="Bearer tocsin_guess"))
        statuses.append(refusal.value.status)

    assert statuses == [401] * FAILURES_MAX + [429]
    assert refusal.value.retry_after_s > 0
    visitor = watched.visitor(request(Authorization=f"Bearer {token}"))
    assert visitor == Visitor(ANNA, is_bearer=True)


def test_it_is_open_on_loopback_only(tmp_path: Path) -> None:
    visitor = guard().visitor(request())

    assert visitor is not None
    assert visitor.user.may_act
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(ConfigurationError, match="open to everybody"):
            guard(web_host=host)


def test_a_header_names_the_user_only_from_a_trusted_proxy() -> None:
    told = guard(
        web_host="0.0.0.0",
        web_user_header="X-Forwarded-User",
        web_trusted_proxies="10.1.0.0/16",
        web_operators="anna, ben",
    )

    named = told.visitor(request("10.1.2.3", X_Forwarded_User="anna"))
    reader = told.visitor(request("10.1.2.3", X_Forwarded_User="carl"))

    assert named == Visitor(ANNA)
    assert reader == Visitor(User("carl", "reader"))
    assert told.visitor(request("10.2.0.1", X_Forwarded_User="anna")) is None
    assert told.visitor(request("10.1.2.3")) is None


@pytest.mark.parametrize(
    "half",
    [{"web_user_header": "X-User"}, {"web_trusted_proxies": "10.0.0.1"}],
)
def test_a_proxy_needs_both_its_header_and_its_address(half: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="belong together"):
        guard(**half)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="web_trusted_proxies"):
        guard(web_user_header="X-User", web_trusted_proxies="proxy.example")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:6070", "[::1]:6070"])
def test_loopback_answers_to_its_own_names(host: str) -> None:
    guard().check_host(request(Host=host))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_a_name_that_leads_to_loopback_is_not_answered(host: str) -> None:
    with pytest.raises(Refusal) as refusal:
        guard().check_host(request(Host=host))

    assert refusal.value.status == 421


def test_further_names_can_be_set() -> None:
    guard(web_hosts="risk.example").check_host(request(Host="risk.example"))


def test_a_page_of_another_site_cannot_act() -> None:
    watched = guard()
    visitor = watched.visitor(request())
    assert visitor is not None
    key, session = watched.require_session(request(), visitor.user)
    mine = {"Cookie": f"{COOKIE}={key}", "Origin": "http://localhost:6070"}
    token = {CSRF_HEADER: session.csrf}

    watched.check_call(request(**mine, **token), visitor)
    watched.check_call(request(), visitor)  # no browser, on this machine
    for headers in (
        mine,
        {**mine, **token, "Origin": "http://evil.example"},
        {**mine, **token, "Sec_Fetch_Site": "cross-site"},
        {**token, "Origin": "http://localhost:6070"},
        {**mine, CSRF_HEADER: "guess"},
    ):
        with pytest.raises(Refusal) as refusal:
            watched.check_call(request(**headers), visitor)
        assert refusal.value.status == 403


def test_a_session_ends_with_the_token_that_opened_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = TokenFile(path).add("anna", "operator")
    watched = guard(web_tokens_file=str(path))
    key = watched.log_in(request(), token)
    cookie = {"Cookie": f"{COOKIE}={key}"}
    assert watched.visitor(request(**cookie)) == Visitor(ANNA)

    path.write_text("")

    assert watched.visitor(request(**cookie)) is None


def test_the_words_of_actions_are_those_of_the_product() -> None:
    def given(kind: Any, name: str) -> set[str]:
        hint = next(one.type for one in msgspec.structs.fields(kind) if one.name == name)
        parts = [get_args(part) or (part,) for part in (hint, *get_args(hint))]
        return {word for part in parts for word in part if isinstance(word, str)}

    assert given(actions.Contact, "channel") == words.CHANNELS
    assert given(actions.Contact, "outcome") == words.CONTACT_OUTCOMES
    assert given(actions.Contact, "reason") == words.REFUSED_BECAUSE
    assert given(actions.Contact, "step") == words.CONTACT_STEPS
    assert given(actions.Verdict, "verdict") == words.VERDICTS


def test_the_document_tells_every_route_and_each_tells_its_answer() -> None:
    told = document()

    gets = {path for path, methods in told["paths"].items() if "get" in methods}
    assert gets == set(ANSWERS)
    for methods in told["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert {"401", "503"} <= operation["responses"].keys()
