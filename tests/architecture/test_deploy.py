"""The image and the compose file say what the product knows: settings, commands, versions."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.command_lines import parse
from tocsin.agents.embedded.jars import locked_jars
from tocsin.agents.settings.settings import load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
PORTS = {"worker": "web_port", "web": "console_port"}
EXACT = re.compile(r"^[\w./-]+:v?\d+\.\d+(\.\d+)+(-\w+)*$")


def filled(environment: dict[str, object]) -> dict[str, str]:
    """Variables as compose fills them in: the default behind `:-`, something where one must be."""
    return {
        name: re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", str(value))
        for name, value in environment.items()
    }


def test_every_image_is_pinned_to_an_exact_version() -> None:
    used = [service["image"] for service in SERVICES.values()]
    used += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(used) == len(SERVICES) + 2
    assert [image for image in used if not EXACT.match(image)] == []


def test_image_and_broker_have_the_versions_that_are_tested() -> None:
    kafka = {jar.version for jar in locked_jars() if jar.artifact == "kafka-clients"}

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.pop()}"
    assert {service["image"] for service in OURS.values()} == {f"tocsin:{PROJECT['version']}"}


def test_every_program_gets_settings_that_exist() -> None:
    assert set(OURS) == {"topics", "worker", "audit", "intake", "notify", "web"}
    for name, service in OURS.items():
        settings = load(environ=filled(service["environment"]), discover=False)

        assert settings.bootstrap_servers == "kafka:9092", name
        assert bool(settings.clickhouse_url) == (name in ("audit", "web"))
        if name != "topics":
            setting = PORTS.get(name, f"{name}_port")
            port = getattr(settings, setting)
            assert f"127.0.0.1:{port}/health/live" in service["healthcheck"]["test"][-1]
    for name in re.findall(r"\bTOCSIN_\w+(?==)", DOCKERFILE):
        load(environ={name: "/somewhere"}, discover=False)


def test_prometheus_asks_every_program_at_its_port() -> None:
    path = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
    asked = {
        (entry["job_name"], found["port"], *found["names"])
        for entry in yaml.safe_load(path.read_text("utf-8"))["scrape_configs"]
        for found in entry["dns_sd_configs"]
    }

    defaults = load(environ={}, discover=False)
    assert asked == {
        (f"tocsin-{name}", getattr(defaults, PORTS.get(name, f"{name}_port")), name)
        for name in set(OURS) - {"topics"}
    }


def test_every_program_is_a_command(tmp_path: Path) -> None:
    (first,) = re.findall(r"^CMD (.+)", DOCKERFILE, re.MULTILINE)
    for name in ("mapping.yaml", "notify.yaml"):
        (tmp_path / name).touch()
    for given in [json.loads(first), *(service["command"] for service in OURS.values())]:
        words = [word.replace("/etc/tocsin", str(tmp_path)) for word in given]
        assert parse(words).command.callback is not None


def test_no_password_is_written_down_and_all_ports_are_on_loopback() -> None:
    secrets = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    ]
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(secrets) == 5
    assert all(re.match(r"^\$\{(TOCSIN_CLICKHOUSE|GRAFANA)_PASSWORD:\?", text) for text in secrets)
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_keeps_running_is_started_again_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        if name != "topics":
            assert service["restart"] == "unless-stopped", name
            assert "healthcheck" in service, name
        for needed, how in service.get("depends_on", {}).items():
            is_once = needed == "topics"
            wanted = "service_completed_successfully" if is_once else "service_healthy"
            assert how["condition"] == wanted
            assert is_once or "healthcheck" in SERVICES[needed]
    mounted = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])]
    assert {v for v in mounted if v.isalpha()} == set(COMPOSE["volumes"])
    assert [v for v in mounted if v.startswith("./") and not (ROOT / v).exists()] == []


def test_nothing_runs_as_root_with_capabilities_or_a_root_that_it_could_write() -> None:
    for name, service in SERVICES.items():
        assert name in OURS or name == "registry" or not service["user"].startswith("0"), name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("read_only", False) == (name not in ("kafka", "clickhouse"))
        assert service["stop_grace_period"] == "60s"


def test_the_keys_of_personal_data_are_where_they_are_made_or_read_and_nowhere_else() -> None:
    folders = {}
    for name, service in OURS.items():
        settings = load(environ=filled(service["environment"]), discover=False)
        assert not settings.privacy, name
        mounted = {volume for volume in service.get("volumes", []) if ":/var/lib/tocsin-" in volume}
        if settings.master_key_file:
            folders[name] = mounted
            wanted = {settings.keys_dir, str(settings.master_key_path.parent)}
            assert {volume.split(":")[1] for volume in mounted} == wanted
            for folder in wanted:  # a volume has the owner that the folder has in the image
                assert folder in re.sub(r"\\\n", "", DOCKERFILE).partition("install --dir")[2]
        else:
            assert not mounted

    keys, master = "keys:/var/lib/tocsin-keys", "master:/var/lib/tocsin-master"
    assert folders == {
        "intake": {keys, f"{master}:ro"},
        "notify": {f"{keys}:ro", f"{master}:ro"},
        "web": {keys, master},
    }


def test_the_cluster_id_is_one() -> None:
    cluster_id = SERVICES["kafka"]["environment"]["CLUSTER_ID"]

    assert len(base64.urlsafe_b64decode(cluster_id + "==")) == 16


def test_the_image_holds_the_wheel_without_the_tools_of_development() -> None:
    removed = re.findall(r"pip uninstall --yes ((?:[\w-]+[\s\\]+)+)", DOCKERFILE)[0]
    tools = {re.split(r"[>=\[]", name)[0] for name in PROJECT["optional-dependencies"]["dev"]}

    assert set(removed.replace("\\", " ").split()) == tools - {"setuptools"}
    assert "--require-hashes --requirement requirements.lock" in DOCKERFILE
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)


def test_all_that_the_image_is_built_from_reaches_the_builder_and_exists() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {name for line in copied for name in line.split()}
    admitted = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert sources == admitted
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_ci_tests_by_the_script_and_nothing_else() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())

    job = workflow["jobs"]["test"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
