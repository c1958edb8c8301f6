"""Settings: who wins, what is refused, what stays secret."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import re
import ssl
from pathlib import Path

import msgspec
import pytest

from tocsin.agents.settings.data_folder import Running, Services, process_start
from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import (
    DEFAULTS,
    NAMES,
    OTHER_VARIABLES,
    Settings,
    SettingsError,
    load,
)
from tocsin.schemas.contracts.catalog import WARNINGS

ROOT = Path(__file__).parents[3]


def test_defaults_are_valid_as_they_stand() -> None:
    settings = load(discover=False)

    assert settings == Settings()
    assert settings.close_after_minutes == 360


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.toml"
    config.write_text('partitions = 3\napp_id = "file"\nzone = "Europe/Berlin"\n')
    environ = {"TOCSIN_PARTITIONS": "5", "TOCSIN_APP_ID": "environment"}

    settings = load({"partitions": 7}, environ=environ, config=config, discover=False)

    assert (settings.partitions, settings.app_id, settings.zone) == (
        7,
        "environment",
        "Europe/Berlin",
    )
    assert settings.origins["partitions"] == "--set partitions"
    assert settings.origins["app_id"] == "TOCSIN_APP_ID"
    assert settings.origins["zone"] == f"zone in {config}"


def test_the_configuration_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.toml"
    config.write_text("partitions = 3\n")

    settings = load(environ={"TOCSIN_CONFIG": str(config)}, discover=False)

    assert settings.partitions == 3


def test_unknown_keys_are_refused_and_the_nearest_one_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environ={"TOCSIN_BOOTSTRAP_SERVER": "x:1"}, discover=False)

    assert "TOCSIN_BOOTSTRAP_SERVER is no setting" in str(caught.value)
    assert "bootstrap_servers" in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.toml"
    config.write_text('zoen = "UTC"\npartitions = 0\nclock = "moon"\nlog_level = 3\n')

    with pytest.raises(ConfigurationError) as caught:
        load(config=config, discover=False)

    text = str(caught.value)
    for name in ("zoen", "partitions", "clock", "log_level"):
        assert name in text
    assert "system, feed, none" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"zone": "Mars/Base"}, "zone"),
        ({"close_after": "6:00"}, "close_after"),
        ({"close_after": "24:00"}, "close_after"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"sasl_mechanism": "PLAIN"}, "security_protocol"),
        ({"ssl_cafile": "ca.pem"}, "security_protocol"),
        ({"ssl_keyfile": "key.pem"}, "ssl_certfile"),
        ({"clickhouse_url": "localhost:8123"}, "http://"),
        ({"clickhouse_url": "http://me:pw@localhost:8123"}, "clickhouse_user"),
        ({"topic_prefix": "a b"}, "--topic-prefix"),
        ({"sasl_password_file": "no-such-file"}, "no-such-file"),
        ({"keep_days": "invoice=400"}, r"names 'invoice' \(did you mean invoices\?\)"),
        ({"keep_days": "invoices=400, journal=400"}, "names 'journal'; use some of customers"),
        ({"keep_days": "invoices=30"}, "keep_days of invoices is not a number of days from 31 to"),
        ({"keep_days": "invoices=ten"}, "write it invoices=3650"),
        ({"keep_days": "invoices"}, "write it invoices=3650"),
    ],
)
def test_values_that_do_not_fit_are_refused(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(flags, discover=False)


@pytest.mark.parametrize("text", ["00:00", "23:59"])
def test_the_day_may_close_at_any_minute(text: str) -> None:
    assert load({"close_after": text}, discover=False).close_after_minutes in (0, 1439)


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("= nothing")

    for path, kind in (
        (broken, SettingsError),
        (tmp_path, InputError),
        (tmp_path / "missing.toml", UnavailableError),
    ):
        with pytest.raises(kind, match=f"configuration file:? {path}"):
            load(config=path, discover=False)


def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s3cret \n")

    settings = load({"clickhouse_password_file": str(tmp_path / "pw")}, discover=False)

    assert settings.clickhouse_password.reveal() == "s3cret "


def test_a_secret_given_twice_in_one_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("x")
    environ = {"TOCSIN_SASL_PASSWORD": "y", "TOCSIN_SASL_PASSWORD_FILE": str(tmp_path / "pw")}

    with pytest.raises(ConfigurationError, match="not both"):
        load(environ=environ, discover=False)


def test_the_stronger_place_decides_about_a_secret_in_either_form(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from the file")
    config = tmp_path / "tocsin.toml"
    config.write_text('clickhouse_password = "weaker"\n')
    environ = {"TOCSIN_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "pw")}

    settings = load(environ=environ, config=config, discover=False)

    assert settings.clickhouse_password.reveal() == "from the file"


def test_secrets_are_never_printed() -> None:
    settings = load({"clickhouse_password": "hunter2"}, discover=False)

    shown = [
        repr(settings),
        str(settings.clickhouse_password),
        f"{settings.clickhouse_password:>10}",
        json.dumps(settings.describe()),
        repr(dataclasses.asdict(copy.deepcopy(dataclasses.replace(settings, origins={})))),
    ]

    assert not any("hunter2" in text for text in shown)
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


def test_a_secret_of_the_wrong_kind_is_not_repeated_in_the_complaint(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.toml"
    config.write_text("sasl_password = 987654\n")

    with pytest.raises(ConfigurationError) as caught:
        load(config=config, discover=False)

    assert "987654" not in str(caught.value)


def test_tables_keep_their_rows_for_ever_or_for_as_many_days_as_each_is_given() -> None:
    assert Settings().kept_days == {}
    given = load({"keep_days": " invoices=3650,dead_letters = 31 "}, discover=False)
    assert given.kept_days == {"invoices": 3650, "dead_letters": 31}


def test_topics_carry_the_prefix() -> None:
    assert load({"topic_prefix": "acme."}, discover=False).topic(WARNINGS) == "acme.warnings"


def test_every_setting_has_a_description() -> None:
    assert set(Settings().describe()) == set(NAMES) == set(DEFAULTS)


def test_a_plain_client_needs_only_the_brokers() -> None:
    settings = load({"bootstrap_servers": "a:1,b:2"}, discover=False)

    assert settings.client_options() == {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "PLAINTEXT",
    }


def test_a_client_that_logs_in_over_tls_gets_all_it_needs() -> None:
    settings = load(
        {
            "bootstrap_servers": "a:1",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "me",
            "sasl_password": "pw",
            "ssl_check_hostname": "false",
        },
        discover=False,
    )

    options = settings.client_options()

    assert options["sasl_plain_password"] == "pw"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname is False


def test_no_broker_and_bad_certificates_are_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tocsin up"):
        load(discover=False).client_options()

    flags = {"bootstrap_servers": "a:1", "security_protocol": "SSL"}
    missing = load(flags | {"ssl_cafile": str(tmp_path / "no.pem")}, discover=False)
    with pytest.raises(ConfigurationError, match=r"no\.pem"):
        missing.client_options()


def test_running_embedded_services_are_found_through_their_data_folder(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("write-token")
    _pretend_services_run(tmp_path)

    settings = load({"data_dir": str(tmp_path)})

    assert settings.bootstrap_servers == "127.0.0.1:1"
    assert settings.clickhouse_url == "http://127.0.0.1:2"
    assert settings.clickhouse_password.reveal() == "write-token"


def test_the_embedded_engines_password_never_goes_to_another_address(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("write-token")
    _pretend_services_run(tmp_path)

    settings = load({"data_dir": str(tmp_path), "clickhouse_url": "http://elsewhere:8123"})

    assert settings.bootstrap_servers == "127.0.0.1:1"
    assert not settings.clickhouse_password
    assert settings.clickhouse_user == ""


def test_the_embedded_registry_serves_its_own_broker_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("write-token")
    _pretend_services_run(tmp_path, registry_url="http://127.0.0.1:3")
    flags = {"data_dir": str(tmp_path)}

    assert load(flags).registry_url == "http://127.0.0.1:3"
    assert load(flags | {"registry_url": "http://mine"}).registry_url == "http://mine"
    assert load(flags | {"registry_file": "mine.json"}).registry_url == ""
    assert load(flags | {"bootstrap_servers": "elsewhere:9092"}).registry_url == ""


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"registry_url": "registry:8081"}, "must begin with http"),
        ({"registry_url": "http://me:pw@registry"}, "holds a login"),
        ({"registry_url": "http://registry", "registry_file": "x.json"}, "are both set"),
        ({"registry_url": "http://registry", "registry_user": "me"}, "without registry_password"),
    ],
)
def test_a_registry_that_is_given_wrongly_is_told(flags: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load(flags, discover=False)


def test_services_that_a_killed_run_left_behind_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("write-token")
    _pretend_services_run(tmp_path, started="long ago")

    assert load({"data_dir": str(tmp_path)}).bootstrap_servers == ""


def _pretend_services_run(folder: Path, started: str | None = None, registry_url: str = "") -> None:
    """Write what running services write, with this process as their owner."""
    owner = Running(os.getpid(), started or process_start(os.getpid()))
    services = Services(
        bootstrap_servers="127.0.0.1:1",
        clickhouse_url="http://127.0.0.1:2",
        clickhouse_user="tocsin",
        token_path=str(folder / "token"),
        owner=owner,
        children={},
        registry_url=registry_url,
    )
    (folder / "services.json").write_bytes(msgspec.json.encode(services))


def test_variables_that_steer_programs_are_no_unknown_settings() -> None:
    environ = dict.fromkeys(OTHER_VARIABLES - {"TOCSIN_CONFIG"}, "x")

    assert load(environ=environ, discover=False) == Settings()


def test_every_variable_that_the_code_names_is_known() -> None:
    known = OTHER_VARIABLES | {f"TOCSIN_{name.upper()}" for name in NAMES}

    named = {
        found
        for file in (ROOT / "agents").rglob("*.py")
        for found in re.findall(r"\bTOCSIN_[A-Z][A-Z_]+\b", file.read_text("utf-8"))
    }

    assert {"TOCSIN_CONFIG", "TOCSIN_PARTITIONS"} <= named <= known
