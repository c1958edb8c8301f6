"""Topics and rights as manifests: all of the catalog, nothing beside it, for the given settings."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment import manifests
from tocsin.agents.kafka.acls import ROLES, needs
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import TOPICS

ROOT = Path(__file__).parents[3]
SETTINGS = replace(Settings(), app_id="credit", topic_prefix="eu.", partitions=3)


def test_strimzi_gets_every_topic_with_its_settings_and_every_role_with_its_rights() -> None:
    found = list(yaml.safe_load_all(manifests.strimzi(SETTINGS, "events")))

    assert {one["metadata"]["labels"]["strimzi.io/cluster"] for one in found} == {"events"}
    made = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "KafkaTopic"}
    assert set(made) == {f"eu.{topic.name}" for topic in TOPICS}
    assert made["eu.invoices"]["partitions"] == 3
    assert made["eu.invoices"]["config"]["retention.ms"] == "-1"
    users = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "KafkaUser"}
    assert set(users) == {f"credit-{role}" for role in ROLES}
    for role in ROLES:
        rights = users[f"credit-{role}"]["authorization"]["acls"]
        assert len(rights) == len(needs(role, SETTINGS))
        assert all(right["resource"]["patternType"] == "literal" for right in rights)


def test_the_shells_lines_make_the_same_topics_and_rights() -> None:
    lines = [shlex.split(line) for line in manifests.shell(SETTINGS).splitlines()]

    made = [line for line in lines if line[0] == "kafka-topics.sh"]
    assert [line[line.index("--topic") + 1] for line in made] == [f"eu.{t.name}" for t in TOPICS]
    assert all("retention.ms=-1" in line for line in made if "cleanup.policy=delete" in line)
    rights = [line for line in lines if line[0] == "kafka-acls.sh"]
    assert len(rights) == sum(len(needs(role, SETTINGS)) for role in ROLES)
    own = "--transactional-id credit-2 --operation Write"
    assert f"User:credit-worker {own}" in " ".join(shlex.join(line) for line in rights)


def test_the_command_prints_them_without_any_broker(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["topics", "manifest", "--format", "strimzi", "--cluster", "events"]

    assert run_command([*words, "--set", "partitions=2"]) == 0

    assert capsys.readouterr().out == manifests.strimzi(replace(Settings(), partitions=2), "events")


def test_the_page_of_permissions_is_that_of_the_code() -> None:
    told = (ROOT / manifests.FILE).read_text("utf-8")

    assert told == manifests.permissions(), "run make docs"
    assert [line[3:] for line in told.splitlines() if line.startswith("## ")] == list(ROLES)
