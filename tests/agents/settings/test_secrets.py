"""Secrets: given by environment or file, never by a flag, shown by nothing."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from tocsin.agents.commands.cli import run_command
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.secret_files import KEY_FILES, readable_by_others
from tocsin.agents.settings.settings import NAMES, PREFIX, SECRET_FILES, TYPES, Settings, load
from tocsin.agents.worker.app import build_worker

CANARY = "canary-4711"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment with a secret wherever there can be one."""
    environ = {f"{PREFIX}{name.upper()}": CANARY for name in SECRET_FILES}
    return load(
        {
            "bootstrap_servers": "127.0.0.1:1",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "someone",
            "clickhouse_url": "http://127.0.0.1:1",
            "data_dir": str(tmp_path),
        },
        environ=environ,
        discover=False,
    )


def test_every_secret_setting_may_come_in_a_file() -> None:
    secrets = {name for name in NAMES if TYPES[name] is Secret}

    assert secrets == set(SECRET_FILES)
    assert set(SECRET_FILES.values()) < set(NAMES)
    assert set(KEY_FILES) <= set(NAMES)


def test_nothing_made_from_the_settings_shows_a_secret(settings: Settings) -> None:
    app = build_worker(settings)
    options = settings.client_options()
    shown = [repr(thing) for thing in (settings, app, app.runtime.wiring, app.conf, options)]
    shown += [str(settings), str(settings.describe()), str(options), f"{settings.sasl_password}"]

    assert options["sasl_plain_password"] == CANARY
    assert [text for text in shown if CANARY in text] == []


def test_a_traceback_with_local_values_shows_no_secret(settings: Settings) -> None:
    def fail() -> None:
        options = settings.client_options()
        raise RuntimeError(f"no client for {options}")

    try:
        fail()
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)

    text = "".join(told.format())
    assert "sasl_plain_password" in text
    assert CANARY not in text


@pytest.mark.parametrize("name", sorted(SECRET_FILES))
@pytest.mark.parametrize("spelling", ["--set={}={}", "--{}={}"])
def test_a_secret_as_a_flag_is_refused_without_repeating_it(
    name: str, spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = name if spelling.startswith("--set") else name.replace("_", "-")

    code = run_command(["doctor", spelling.format(given, CANARY)])

    told = capsys.readouterr()
    assert code == Exit.USAGE
    assert CANARY not in told.out + told.err
    if spelling.startswith("--set"):
        assert f"give {SECRET_FILES[name]}, or the variable TOCSIN_{name.upper()}" in told.err


@pytest.mark.parametrize("name", ["clickhouse_url", "registry_url", "kms_url"])
@pytest.mark.parametrize("scheme", ["https", "http", "ftp"])
def test_a_login_in_an_address_is_refused_without_repeating_it(name: str, scheme: str) -> None:
    with pytest.raises(Exception, match="login") as caught:
        load({name: f"{scheme}://someone:{CANARY}@host/"}, discover=False)

    assert CANARY not in str(caught.value)


def test_a_file_that_every_user_may_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "password"
    secret.write_text(CANARY)
    secret.chmod(0o644)
    settings = load({"clickhouse_password_file": str(secret)}, discover=False)
    assert readable_by_others(settings) == [
        f"clickhouse_password_file: every user of this machine may read {secret}; "
        f"chmod o-rwx {secret}"
    ]

    monkeypatch.setenv("TOCSIN_CLICKHOUSE_PASSWORD_FILE", str(secret))
    run_command(["sql", "--data-dir", str(tmp_path), "SELECT 1"])
    told = capsys.readouterr().err.replace("\n", "")
    assert "caution: clickhouse_password_file" in told
    assert CANARY not in told

    secret.chmod(0o640)
    assert readable_by_others(settings) == []


def test_a_login_is_in_no_log_of_requests(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.client_options()
    caplog.set_level("DEBUG", "aiokafka.conn")

    logging.getLogger("aiokafka.conn").debug("Request: %s", CANARY)
    logging.getLogger("aiokafka.conn").info("closed")

    told = [record for record in caplog.records if record.name == "aiokafka.conn"]
    assert [record.message for record in told] == ["closed"]
