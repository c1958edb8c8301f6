"""Logins, certificates and rights at a real broker, and what each failure tells."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from tests.services.secured import PASSWORDS, Authority, SecuredKafka
from tocsin.agents.commands.cli import run_command
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import PREFIX

# asyncio leaves the transport of a TLS handshake that the other side breaks off to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

SCRAM = "SCRAM-SHA-512"


class Command:
    """`tocsin topics check` in this process, told only what the test says."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        output: pytest.CaptureFixture[str],
        folder: Path,
        kafka: SecuredKafka,
    ) -> None:
        self._patch, self._output, self._folder, self._kafka = patch, output, folder, kafka
        for name in list(os.environ):
            if name.startswith(PREFIX):
                patch.delenv(name)

    def __call__(self, listener: str, **settings: object) -> tuple[int, str]:
        """Exit code and all that was printed."""
        given = {
            "bootstrap_servers": self._kafka.address(listener),
            "data_dir": self._folder,
            "ssl_cafile": self._kafka.authority.cafile,
            **settings,
        }
        for name, value in given.items():
            if value is not None:
                self._patch.setenv(PREFIX + name.upper(), str(value))
        code = run_command(["topics", "check"])
        gc.collect()
        told = self._output.readouterr()
        return code, told.out + told.err


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    secured_kafka: SecuredKafka,
) -> Command:
    return Command(monkeypatch, capsys, tmp_path, secured_kafka)


def login(password: str = PASSWORDS["nobody"], mechanism: str = SCRAM) -> dict[str, object]:
    return {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_username": "nobody",
        "sasl_password": password,
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", SCRAM])
def test_a_password_logs_in_by_each_mechanism_and_a_wrong_one_does_not(
    command: Command, mechanism: str
) -> None:
    code, told = command("SASL_SSL", **login(mechanism=mechanism))
    assert (code, "may not see it" in told) == (Exit.DIFFERENCE, True), told

    code, told = command("SASL_SSL", **login("canary-guess", mechanism))

    assert code == Exit.CONFIGURATION
    assert "refuses the login of user nobody" in told
    assert "check sasl_username, the password and sasl_mechanism" in told
    assert "canary" not in told


def test_a_client_certificate_logs_in(command: Command, secured_kafka: SecuredKafka) -> None:
    certfile, keyfile = secured_kafka.authority.issue("nobody")

    code, told = command("SSL", security_protocol="SSL", ssl_certfile=certfile, ssl_keyfile=keyfile)

    assert (code, "may not see it" in told) == (Exit.DIFFERENCE, True), told


def test_a_client_certificate_of_another_authority_is_refused(
    command: Command, tmp_path: Path
) -> None:
    certfile, keyfile = Authority(tmp_path / "stranger").issue("nobody")

    code, told = command("SSL", security_protocol="SSL", ssl_certfile=certfile, ssl_keyfile=keyfile)

    assert code == Exit.CONFIGURATION
    assert "refuses our certificate" in told
    assert "check ssl_certfile and ssl_keyfile" in told


@pytest.mark.parametrize(
    ("listener", "settings", "says"),
    [
        ("SSL", {"security_protocol": "SSL"}, "refuses our certificate: certificate required"),
        ("EXPIRED", {"security_protocol": "SSL"}, "is not trusted: certificate has expired"),
        (
            "MISNAMED",
            {"security_protocol": "SSL"},
            "is not trusted: IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
        (
            "SASL_SSL",
            {**login(), "ssl_cafile": None},
            "is not trusted: self-signed certificate in certificate chain; check ssl_cafile "
            "(the system)",
        ),
        ("SASL_SSL", {"security_protocol": "PLAINTEXT", "ssl_cafile": None}, "speaks TLS"),
        (
            "SASL_SSL",
            {**login(), "security_protocol": "SASL_PLAINTEXT", "ssl_cafile": None},
            "speaks TLS",
        ),
        ("SASL_PLAINTEXT", {"security_protocol": "SSL"}, "does not speak TLS"),
        (
            "SASL_PLAINTEXT",
            {"security_protocol": "PLAINTEXT", "ssl_cafile": None},
            "it may want a login",
        ),
    ],
    ids=[
        "no client certificate",
        "expired",
        "another name",
        "unknown authority",
        "plain to TLS",
        "plain login to TLS",
        "TLS to plain",
        "no login",
    ],
)
def test_a_connection_that_cannot_be_says_why(
    command: Command, listener: str, settings: dict[str, object], says: str
) -> None:
    code, told = command(listener, **settings)

    assert says in told
    assert "Traceback" not in told
    assert "canary" not in told
    unreachable = says == "it may want a login"
    assert code == (Exit.UNAVAILABLE if unreachable else Exit.CONFIGURATION)


def test_an_expired_certificate_is_refused_even_where_names_are_not_checked(
    command: Command,
) -> None:
    code, told = command("EXPIRED", security_protocol="SSL", ssl_check_hostname="false")

    assert (code, "certificate has expired" in told) == (Exit.CONFIGURATION, True)
