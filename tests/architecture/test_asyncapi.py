"""The contract: asyncapi.yaml is the code's and AsyncAPI's parser takes it; contract.md is true."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.architecture.command_lines import parse
from tests.builds import npm_program
from tocsin.agents.docs.asyncapi import CLOUD_EVENTS, document, document_text
from tocsin.agents.embedded.jars import parse_lock
from tocsin.agents.registry.subjects import LEVEL
from tocsin.schemas.codec.refused import Code
from tocsin.schemas.contracts.catalog import TOPICS, WARNINGS
from tocsin.schemas.contracts.registry import packaged_schema

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "docs" / "asyncapi.yaml"
PARSER = ROOT / "tests" / "asyncapi"
needs_node = pytest.mark.skipif(
    shutil.which("npm") is None, reason="AsyncAPI's parser comes by npm, which is not here"
)


@pytest.fixture(scope="module")
def parser() -> Path:
    """The parser as its lock file pins it, installed once per content."""
    return npm_program(PARSER, "validate.mjs")


def judged(parser: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", parser, path], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_document_is_what_the_code_would_write() -> None:
    assert WRITTEN.read_text(encoding="utf-8") == document_text(), "run `make docs`"


@pytest.mark.builds
@needs_node
def test_asyncapis_own_parser_takes_the_document(parser: Path) -> None:
    found = judged(parser, WRITTEN)

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(TOPICS)} channels" in found.stdout


@pytest.mark.builds
@needs_node
def test_asyncapis_own_parser_finds_a_broken_one(parser: Path, tmp_path: Path) -> None:
    def without(change: str) -> str:
        broken = json.loads(json.dumps(document()))
        messages: dict[str, Any] = broken["components"]["messages"]
        if change == "reference":
            del messages["RiskWarning"]
        elif change == "avro":
            messages["RiskWarning"]["payload"]["schema"]["fields"][0]["type"] = "nonsense"
        else:
            broken["operations"]["send-warnings"]["action"] = "shout"
        path = tmp_path / f"{change}.yaml"
        path.write_text(yaml.safe_dump(broken))
        found = judged(parser, path)
        return found.stdout if found.returncode else ""

    assert "error" in without("reference")
    assert "error" in without("avro")
    assert "error" in without("action")


def test_every_topic_is_a_channel_with_its_records_and_an_operation() -> None:
    told = yaml.safe_load(WRITTEN.read_text(encoding="utf-8"))

    assert list(told["channels"]) == [topic.name for topic in TOPICS]
    assert len(told["operations"]) == len(TOPICS)
    assert {entry["channel"]["$ref"] for entry in told["operations"].values()} == {
        f"#/channels/{topic.name}" for topic in TOPICS
    }


def test_what_the_contract_names_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    (shell,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    warning = cast(dict[str, Any], packaged_schema(WARNINGS.name))
    fields = {field["name"] for field in warning["fields"]}

    assert set(re.findall(r"`(ce_\w+|content-type)`", text)) == set(CLOUD_EVENTS)
    assert set(re.findall(r"`(\w+_(?:id|en|by))`", text)) - {"ce_id", "app_id"} <= fields
    assert {LEVEL, Code.SCHEMA_UNKNOWN} <= set(re.findall(r"`([A-Z_]+)`", text))
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link
    (tmp_path / "events.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    for line in shell.splitlines():
        match shlex.split(line, comments=True):
            case ["tocsin", *words]:
                parse(words)
            case ["python", path, *_]:
                assert (ROOT / path).exists()
            case [first, *_]:
                assert first in ("make", "export")


def test_the_java_example_is_told_the_jars_that_it_is_tested_with() -> None:
    locks = [
        *parse_lock((ROOT / "agents" / "embedded" / "jars.lock").read_text(encoding="utf-8")),
        *parse_lock((ROOT / "tests/services/java/avro.lock").read_text(encoding="utf-8")),
    ]
    pom = (ROOT / "deploy" / "examples" / "pom.xml").read_text(encoding="utf-8")
    named = re.findall(
        r"<groupId>(.+)</groupId>\s+<artifactId>(.+)</artifactId>\s+<version>(.+)</version>",
        pom.partition("<dependencies>")[2],
    )

    # Avro brings an older jackson-core: Maven takes that of whoever stands first.
    assert [name for _, name, _ in named] == [
        "kafka-clients", "jackson-databind", "avro", "slf4j-simple"
    ]  # fmt: skip
    assert set(named) <= {(jar.group, jar.artifact, jar.version) for jar in locks}
