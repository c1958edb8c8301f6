"""The Helm chart and the compose file, by Helm's and Compose's own code and Kubernetes' schemas.

tests/chart is a Go program of these; without Go, or without its modules, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.architecture.command_lines import parse
from tests.builds import BUILD_WITHIN_S, go_program
from tocsin.agents.settings import Settings, load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
SOURCE = ROOT / "tests" / "chart"
KUBERNETES = ("1.27.0", "1.37.0")
# Custom resources, whose schemas come with their operators.
CUSTOM = {"ScaledObject", "PodMonitor", "PrometheusRule"}
PORTS = {"worker": "web_port", "web": "console_port"}
MINIMAL, ALL = SOURCE / "minimal.yaml", SOURCE / "all.yaml"

pytestmark = [pytest.mark.builds, pytest.mark.timeout(BUILD_WITHIN_S + 60)]
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def program() -> Path:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: it builds Helm's and Compose's own code")
    return go_program(SOURCE)


class Chart:
    """The chart by Helm's code."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder

    def run(self, what: str, *files: Path, kubernetes: str = KUBERNETES[-1]) -> tuple[int, str]:
        words = [self._program, what, CHART, kubernetes, *files]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        return done.returncode, done.stdout if done.returncode == 0 else done.stderr

    def render(self, *files: Path, kubernetes: str = KUBERNETES[-1]) -> list[Manifest]:
        code, text = self.run("render", *files, kubernetes=kubernetes)
        assert code == 0, text
        return [found for found in yaml.safe_load_all(text) if found]

    def given(self, values: Manifest) -> Path:
        path = self._folder / "given.yaml"
        path.write_text(yaml.safe_dump(values))
        return path


@pytest.fixture
def chart(program: Path, tmp_path: Path) -> Chart:
    return Chart(program, tmp_path)


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Each program's name and pod."""
    for found in manifests:
        if found["kind"] in ("StatefulSet", "Deployment", "Job"):
            spec = found["spec"]["template"]["spec"]
            yield spec["containers"][0]["name"], spec


def settings_of(pod: Manifest, folder: Path) -> Settings:
    """What the pod's environment makes of the settings; files are those of its Secrets."""
    environ = {}
    for entry in pod["containers"][0]["env"]:
        value = entry.get("value", "early-tocsin-worker-0")
        if value.startswith("/run/secrets/tocsin/"):
            path = folder / Path(value).name
            path.write_text("text")
            value = str(path)
        environ[entry["name"]] = value
    return load(environ=environ, discover=False)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("values", [MINIMAL, ALL], ids=lambda path: path.stem)
def test_all_that_is_rendered_fits_kubernetes_schemas_and_helms_linter(
    chart: Chart, values: Path, kubernetes: str
) -> None:
    manifests = chart.render(values, kubernetes=kubernetes)

    for found in manifests:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, kubernetes, strict=True)
    names = [(found["kind"], found["metadata"]["name"]) for found in manifests]
    assert len(set(names)) == len(names)
    _, findings = chart.run("lint", values, kubernetes=kubernetes)
    assert findings == ""


def test_minimal_values_give_workers_audit_and_topics_and_all_values_give_everything(
    chart: Chart,
) -> None:
    least = {name for name, _ in pods(chart.render(MINIMAL))}
    most = chart.render(ALL)

    assert least == {"worker", "audit", "topics"}
    assert {name for name, _ in pods(most)} == least | {"intake", "notify", "web"}
    assert {found["kind"] for found in most} >= CUSTOM


@pytest.mark.parametrize("values", [MINIMAL, ALL], ids=lambda path: path.stem)
def test_every_pod_runs_a_command_with_settings_that_exist_at_the_port_that_is_probed(
    chart: Chart, values: Path, tmp_path: Path
) -> None:
    manifests = chart.render(values)
    for found in manifests:
        for file, text in found.get("data", {}).items():
            (tmp_path / file).write_text(text)
    for name, pod in pods(manifests):
        (container,) = pod["containers"]
        settings = settings_of(pod, tmp_path)

        words = [word.replace("/etc/tocsin", str(tmp_path)) for word in container["args"]]
        assert parse(words).command.callback is not None
        assert settings.web_host == "0.0.0.0"
        assert settings.group_instance_id == ("early-tocsin-worker-0" if name == "worker" else "")
        if name == "topics":
            continue
        port = getattr(settings, PORTS.get(name, f"{name}_port"))
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        for kind, path in [("startup", "startup"), ("readiness", "ready"), ("liveness", "live")]:
            asked = container[f"{kind}Probe"]["httpGet"]
            assert asked == {"path": f"/health/{path}", "port": "http"}


def test_no_pod_may_do_more_than_it_must(chart: Chart) -> None:
    for name, pod in pods(chart.render(ALL)):
        (container,) = pod["containers"]

        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_secrets_come_as_files_of_secrets_that_exist_and_to_those_who_need_them(
    chart: Chart,
) -> None:
    manifests = chart.render(ALL)
    assert [found for found in manifests if found["kind"] == "Secret"] == []

    given = {
        name: {
            source["secret"]["name"]
            for volume in pod["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        }
        for name, pod in pods(manifests)
    }
    assert given == {
        "worker": {"kafka-login"},
        "audit": {"kafka-login", "clickhouse"},
        "intake": {"kafka-login", "master"},
        "notify": {"kafka-login", "master"},
        "web": {"kafka-login", "reader", "console", "master"},
        "topics": {"kafka-login", "kafka-admin"},
    }


def test_the_keys_of_personal_data_are_where_they_are_made_or_read_and_nowhere_else(
    chart: Chart, tmp_path: Path
) -> None:
    is_read_only = {}
    for name, pod in pods(chart.render(ALL)):
        settings = settings_of(pod, tmp_path)
        assert settings.privacy, name
        for mount in pod["containers"][0]["volumeMounts"]:
            if mount["name"] == "keys":
                assert mount["mountPath"] == str(settings.keys_path)
                assert settings.master_key_file
                is_read_only[name] = mount["readOnly"]
        claims = [volume.get("persistentVolumeClaim") for volume in pod["volumes"]]
        assert ({"claimName": "credit-keys"} in claims) == (name in is_read_only)

    assert is_read_only == {"intake": False, "notify": True, "web": False}
    assert not any(settings_of(pod, tmp_path).privacy for _, pod in pods(chart.render(MINIMAL)))


def test_only_what_may_run_more_than_once_does(chart: Chart) -> None:
    found = {one["metadata"]["name"]: one for one in chart.render(ALL)}
    singles = [f"early-tocsin-{name}" for name in ("audit", "intake", "notify")]
    assert [found[name]["spec"]["replicas"] for name in singles] == [1, 1, 1]
    assert {found[name]["spec"]["strategy"]["type"] for name in singles} == {"Recreate"}

    every = chart.render(ALL)
    (scaled,) = [one for one in every if one["kind"] == "ScaledObject"]
    (workers,) = [one for one in every if one["kind"] == "StatefulSet"]
    assert scaled["spec"]["maxReplicaCount"] == 12  # partitions
    assert scaled["spec"]["triggers"][0]["metadata"]["consumerGroup"] == "credit"
    assert "replicas" not in workers["spec"]
    (kept,) = [one for one in every if one["kind"] == "PodDisruptionBudget"]
    assert kept["spec"]["maxUnavailable"] == 1
    assert kept["spec"]["selector"] == workers["spec"]["selector"]


def test_the_alert_rules_of_the_chart_are_those_that_are_tested(chart: Chart) -> None:
    (rules,) = [found for found in chart.render(ALL) if found["kind"] == "PrometheusRule"]

    tested = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())
    assert rules["spec"] == tested


def test_every_program_with_a_page_is_scraped_and_may_be(chart: Chart) -> None:
    manifests = chart.render(ALL)
    (monitor,) = [found for found in manifests if found["kind"] == "PodMonitor"]
    policies = [found for found in manifests if found["kind"] == "NetworkPolicy"]
    ports = {
        name: port["containerPort"]
        for name, pod in pods(manifests)
        for port in pod["containers"][0].get("ports", [])
    }

    (rule,) = monitor["spec"]["selector"]["matchExpressions"]
    assert (rule["operator"], rule["values"]) == ("NotIn", ["topics"])
    assert set(ports) == {name for name, _ in pods(manifests)} - {"topics"}
    (opened,) = policies[0]["spec"]["ingress"][0]["ports"]
    assert (opened["port"], opened["endPort"]) == (min(ports.values()), max(ports.values()))


MISTAKES: dict[str, tuple[Manifest, str]] = {
    "unknown key": ({"workers": {"replicas": 2}}, "workers"),
    "password in the open": ({"settings": {"sasl_password": "x"}}, "sasl_password"),
    "no brokers": ({"settings": {"bootstrap_servers": ""}}, "bootstrap_servers is empty"),
    "more workers than partitions": ({"worker": {"replicas": 13}}, "12 partitions"),
    "no history": ({"audit": {"settings": {"clickhouse_url": ""}}}, "clickhouse_url is empty"),
    "open console": ({"web": {"enabled": True}}, "lets nobody in"),
    "no mapping": ({"intake": {"enabled": True}}, "intake.mapping is empty"),
    "no receivers": ({"notify": {"enabled": True}}, "notify.config is empty"),
    "keys nowhere": ({"privacy": {"enabled": True}}, "keysClaim is empty"),
    "no master key": ({"privacy": {"enabled": True, "keysClaim": "k"}}, "no master key"),
    "half a secret": ({"secretFiles": {"ssl_cafile": {"secret": "a"}}}, "key"),
    "too short a grace": ({"worker": {"terminationGracePeriodSeconds": 5}}, "15"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_values_are_refused_with_the_reason(chart: Chart, mistake: str) -> None:
    values, reason = MISTAKES[mistake]

    code, told = chart.run("render", MINIMAL, chart.given(values))

    assert code == 1
    assert reason in told


def test_compose_itself_reads_the_compose_file(program: Path) -> None:
    environ = {**os.environ, "TOCSIN_CLICKHOUSE_PASSWORD": "p", "GRAFANA_PASSWORD": "q"}
    words = [str(program), "compose", str(ROOT / "docker-compose.yml")]

    done = subprocess.run(words, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    assert set(read["services"]) == set(
        yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    )
    del environ["TOCSIN_CLICKHOUSE_PASSWORD"]
    done = subprocess.run(words, capture_output=True, text=True, env=environ)
    assert done.returncode == 1
    assert "TOCSIN_CLICKHOUSE_PASSWORD" in done.stderr
