"""Topics and rights as manifests: for Strimzi's operators, or as lines for Kafka's own tools.

Made from the catalog and from what each role needs (`tocsin.agents.kafka.acls`), for who may not
let a program create topics. docs/permissions.md is made of the same: `make docs`, and a test
compares.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tocsin.agents.deployment.topics import topic_settings
from tocsin.agents.kafka.acls import ROLES, Need, Operation, Resource, needs
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import TOPICS

FILE: Final = Path("docs") / "permissions.md"
STRIMZI: Final = "kafka.strimzi.io/v1beta2"
SHELL_FLAGS: Final = {
    Resource.TOPIC: "--topic",
    Resource.GROUP: "--group",
    Resource.TRANSACTIONAL_ID: "--transactional-id",
}
# Strimzi's names of resources; its rights on transactional ids are Kafka's.
STRIMZI_TYPES: Final = {
    Resource.TOPIC: "topic",
    Resource.GROUP: "group",
    Resource.TRANSACTIONAL_ID: "transactionalId",
}
_HEAD: Final = """# Permissions

What each program must be allowed at the brokers, by default settings, and no more. Written by `make
docs` from [agents/kafka/acls.py](../agents/kafka/acls.py); `tocsin topics manifest` gives the same
for your settings, as lines for Kafka's tools or as resources of Strimzi. Rights to read or to write
hold the right to describe. `{n}` stands for each partition. An intake also needs `Read` on the
topics of its mapping.
"""


def strimzi(settings: Settings, cluster: str) -> str:
    """KafkaTopic and KafkaUser resources, as a stream of YAML."""
    documents = [*_strimzi_topics(settings, cluster), *_strimzi_users(settings, cluster)]
    return yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)


def shell(settings: Settings) -> str:
    """Lines for kafka-topics.sh and kafka-acls.sh. $KAFKA stands for how to reach the cluster."""
    return "".join(f"{line}\n" for line in [*_topic_lines(settings), *_right_lines(settings)])


def permissions() -> str:
    """The text of docs/permissions.md."""
    return "\n".join([_HEAD, *(_section(role) for role in ROLES)])


def main() -> None:
    """Write the file."""
    FILE.write_text(permissions(), encoding="utf-8")


def user_of(settings: Settings, role: str) -> str:
    """The name of a role's user."""
    return f"{settings.app_id}-{role}"


def _strimzi_topics(settings: Settings, cluster: str) -> Iterator[dict[str, Any]]:
    for topic in TOPICS:
        name = settings.topic(topic)
        yield {
            "apiVersion": STRIMZI,
            "kind": "KafkaTopic",
            "metadata": _metadata(name, cluster),
            "spec": {
                "topicName": name,
                "partitions": settings.partitions,
                "replicas": settings.replication_factor,
                "config": topic_settings(topic, settings.replication_factor),
            },
        }


def _strimzi_users(settings: Settings, cluster: str) -> Iterator[dict[str, Any]]:
    for role in ROLES:
        rights = [
            {
                "resource": {
                    "type": STRIMZI_TYPES[need.resource],
                    "name": need.name,
                    "patternType": "literal",
                },
                "operations": [operation.value for operation in need.operations],
            }
            for need in needs(role, settings)
        ]
        yield {
            "apiVersion": STRIMZI,
            "kind": "KafkaUser",
            "metadata": _metadata(user_of(settings, role), cluster),
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": rights},
            },
        }


def _metadata(name: str, cluster: str) -> dict[str, Any]:
    """Kubernetes' names are lower case, with hyphens and dots only."""
    return {
        "name": name.lower().replace("_", "-"),
        "labels": {"strimzi.io/cluster": cluster},
    }


def _topic_lines(settings: Settings) -> Iterator[str]:
    for topic in TOPICS:
        words = ["--create", "--if-not-exists", "--topic", settings.topic(topic)]
        words += ["--partitions", str(settings.partitions)]
        words += ["--replication-factor", str(settings.replication_factor)]
        for name, value in topic_settings(topic, settings.replication_factor).items():
            words += ["--config", f"{name}={value}"]
        yield f"kafka-topics.sh $KAFKA {shlex.join(words)}"


def _right_lines(settings: Settings) -> Iterator[str]:
    for role in ROLES:
        user = f"User:{user_of(settings, role)}"
        for need in needs(role, settings):
            words = ["--add", "--allow-principal", user, SHELL_FLAGS[need.resource], need.name]
            for operation in need.operations:
                words += ["--operation", operation.value]
            yield f"kafka-acls.sh $KAFKA {shlex.join(words)}"


def _section(role: str) -> str:
    lines = [f"## {role}", "", "| on | operations | why |", "| --- | --- | --- |"]
    rows: dict[tuple[Resource, tuple[Operation, ...], str], list[str]] = {}
    for need in needs(role, Settings()):
        rows.setdefault((need.resource, need.operations, need.why), []).append(_shown(need))
    for (resource, operations, why), names in rows.items():
        on = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        allowed = ", ".join(operation.value for operation in operations)
        lines.append(f"| {resource.value} {on} | {allowed} | {why} |")
    return "\n".join([*lines, ""])


def _shown(need: Need) -> str:
    """The resource's name; ids of partitions as one."""
    stem, _, last = need.name.rpartition("-")
    is_of_partition = need.resource is Resource.TRANSACTIONAL_ID and last.isdigit()
    return f"{stem}-{{n}}" if is_of_partition else need.name


if __name__ == "__main__":
    main()
