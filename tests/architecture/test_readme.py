"""README and docs are true: commands parse, examples run, tables say what the code says."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.architecture.command_lines import parse
from tocsin.agents.clickhouse.standings import STANDINGS
from tocsin.agents.commands.cli import COMMANDS, run_command
from tocsin.agents.embedded.supervisor import NEVER_RETRIED
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.mapping import load_mapping
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import packaged_schema
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import InvoiceIssued

ROOT = Path(__file__).parents[2]
PAGES = {
    path: path.read_text("utf-8")
    for path in [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted(ROOT.glob("docs/*.md"))]
}
README, CHINESE = PAGES[ROOT / "README.md"], PAGES[ROOT / "README.zh-CN.md"]
README_BYTES_MAX = 12_000
BLOCK = re.compile(r"^```([\w ]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [found for text in PAGES.values() if text != CHINESE for found in BLOCK.findall(text)]
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def block(kind: str) -> str:
    """The only block of a kind."""
    (text,) = [text for found, text in BLOCKS if found == kind]
    return text


def blocks_of(text: str) -> list[str]:
    """The blocks of commands in a part of a page."""
    return [found for kind, found in BLOCK.findall(text) if kind == "sh"]


def command_lines() -> list[str]:
    return [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the table of a page whose header begins with a word."""
    table = PAGES[ROOT / page].split(f"| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README makes, as the current one."""
    (tmp_path / "events.jsonl").write_text(block("json lines"))
    (tmp_path / "mapping.yaml").write_text(block("yaml mapping"))
    (tmp_path / "policy.yaml").write_text(default_policy_text())
    (tmp_path / "anchors").mkdir()
    for name in ("evidence.zip", "ledger.jsonl.gz", "anchors/tocsin-000042.anchor"):
        (tmp_path / name).touch()
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_every_command_is_one(here: Path) -> None:
    seen = set()
    for line in command_lines():
        words = shlex.split(line, comments=True)
        match words:
            case ["make", target, *arguments]:
                assert target in TARGETS, line
                given = [a.removeprefix("ARGS=") for a in arguments if a.startswith("ARGS=")]
                for text in given:
                    if target == "demo" and text != "--help":  # others are no commands of tocsin
                        parse([target, *shlex.split(text)])
            case ["tocsin", *arguments]:
                parse(arguments)
                seen.add(arguments[0])
            case ["export", *pairs]:
                assert pairs
            case ["python", path, *_]:
                assert (ROOT / path).exists(), line
            case ["docker", "compose", "up", *_]:
                assert (ROOT / "docker-compose.yml").exists()
            case ["docker", "compose", "run", "--build", "--rm", _service, *arguments]:
                parse(arguments)
            case ["helm", "install", _name, folder, *_]:
                assert (ROOT / folder / "Chart.yaml").exists()
            case _:
                pytest.fail(f"what is this? {line}")
    assert seen >= {"up", "worker", "audit", "intake", "topics", "go-live", "produce", "replay"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == Exit.OK

    assert f"Usage: tocsin {name}" in capsys.readouterr().out


def test_every_variable_is_a_setting(here: Path) -> None:
    pairs = [
        pair.split("=", 1)
        for line in command_lines()
        if line.startswith("export ")
        for pair in shlex.split(line, comments=True)[1:]
    ]
    environ = {name: value for name, value in pairs if not name.endswith("_FILE")}
    for name, _ in pairs:
        if name.endswith("_FILE"):
            secret = here / name
            secret.write_text("a secret\n")
            environ[name] = str(secret)

    settings = load(environ=environ, discover=False)

    assert settings.partitions == 12
    assert settings.sasl_password.reveal() == "a secret"
    assert settings.clickhouse_password.reveal() == "a secret"


def test_the_events_are_decided_as_the_readme_says(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for line in command_lines() if "--out warnings.jsonl" in line]

    assert run_command(shlex.split(line, comments=True)[1:]) == Exit.OK

    told = [words.split() for words in capsys.readouterr().out.splitlines()]
    for words in block("text shown").splitlines():
        assert words.split() in told
    warnings = [json.loads(line) for line in (here / "warnings.jsonl").read_text().splitlines()]
    for page, text in ((README, "text_en"), (CHINESE, "text_zh")):
        (quote,) = re.findall(r"^> (.+)$", page, re.MULTILINE)
        assert quote in [warning[text] for warning in warnings]


def test_the_policys_levers_are_read_as_the_readme_writes_them() -> None:
    text = default_policy_text()
    rules, _, overrides = block("yaml policy").partition("\noverrides:")
    levers = "".join(line for line in rules.splitlines(keepends=True) if line.startswith("    "))
    name = re.findall(r"^  ([a-z-]+):$", rules, re.MULTILINE)[0]
    packaged = re.search(rf"\n  {name}:\n((?:    .*\n)+)", text)
    assert packaged is not None
    own = re.sub(r"    when:\n(?:      .*\n)+", "", packaged[1])
    own = re.sub(r"    (?:inhibited_by|told_from): .*\n", "", own)
    changed = text.replace(packaged[1], own + levers)
    changed = re.sub(r"\noverrides:(?:\n .*)*", lambda _: "\noverrides:" + overrides, changed)

    policy, _, problems = read_policy(changed, horizon_days=400)

    assert policy is not None, problems
    rule = next(rule for rule in policy.rules if rule.name == name)
    assert (len(rule.conditions), rule.dwell_days, rule.quiet_days) == (2, 3, 10)
    assert rule.inhibited_by == ("insolvency",)
    assert policy.variant(policy.overrides_of("KEY", "DE", "", "")).off == {"silent-customer"}


def test_the_mapping_maps_the_record_beside_it(here: Path) -> None:
    mapping = load_mapping(here / "mapping.yaml", Convention(zone="UTC"))
    page = PAGES[ROOT / "docs" / "intake.md"]
    (record,) = re.findall(r"It takes `(\{.*?\}.*?)`", page, re.DOTALL)

    fact = mapping["erp.invoices"].map(record.encode())

    assert fact.event == InvoiceIssued(
        customer_id="4711",
        invoice_id="R-1",
        occurred_at=1735808400000,
        due_date=20120,
        amount_minor=31050,
        currency="EUR",
    )
    voided = (
        b'{"kind": "VOID", "debtor": {"no": 4711}, "number": "R-1", "posted_ms": 1735808400000}'
    )
    assert type(mapping["erp.invoices"].map(voided).event).__name__ == "InvoiceCancelled"


def test_every_rule_of_the_packaged_policy_is_told() -> None:
    policy = yaml.safe_load((ROOT / "schemas" / "policies" / "default.yaml").read_text())

    assert [name for row in rows("docs/rules.md", "rule") for name in quoted(row[0])] == list(
        policy["rules"]
    )


def test_every_topic_is_told_with_its_id_keeping_and_table() -> None:
    told = [
        (*quoted(name), int(number), kept, *quoted(table))
        for name, number, _, kept, table in rows("docs/architecture.md", "topic")
    ]

    keeping = {catalog.Keeping.FOR_EVER: "for ever", catalog.Keeping.LATEST: "latest"}
    tables = {catalog.LEDGERS: (STANDINGS,), catalog.OUTBOX: (), catalog.POSITIONS: ()}
    assert told == [
        (t.name, t.topic_id, keeping[t.keeping], *tables.get(t, (t.table,))) for t in catalog.TOPICS
    ]


def test_every_exit_code_is_told_and_whether_to_start_again() -> None:
    told = {int(code): again for code, _, again in rows("docs/operating.md", "code")}

    assert list(told) == list(Exit)
    assert {code for code, again in told.items() if again == "no"} == NEVER_RETRIED


def test_the_fields_and_headers_of_a_warning_exist() -> None:
    schema = cast(dict[str, Any], packaged_schema("warnings"))
    fields = {field["name"] for field in schema["fields"]}
    told = {name for row in rows("docs/contract.md", "field") for name in quoted(row[0])}

    assert told <= fields
    assert len(told) > 15
    writer = (ROOT / "agents" / "worker" / "ledger_agent.py").read_text()
    for header in re.findall(r"`(ce_\w+)`", PAGES[ROOT / "docs" / "contract.md"]):
        assert f'"{header}"' in writer


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_everything_that_is_named_exists(page: Path) -> None:
    text = PAGES[page]
    linked = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    named = re.findall(r"`((?:streams|schemas|agents|deploy|tests|\.ci)/[^`]*)`", text)

    inside = [path for path in linked if path and "://" not in path]
    assert [path for path in inside if not (page.parent / path).exists()] == []
    assert [path for path in named if not list(ROOT.glob(path.partition(":")[0]))] == []


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)", README))

    assert linked >= {str(path.relative_to(ROOT)) for path in PAGES if path.parent != ROOT}


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= README_BYTES_MAX


def test_both_languages_have_the_same_commands_and_links() -> None:
    def typed(page: str) -> list[list[str]]:
        return [
            shlex.split(line, comments=True)
            for text in blocks_of(page)
            for line in text.splitlines()
        ]

    assert typed(CHINESE) == typed(README)
    assert set(re.findall(r"\]\((docs/[^)]+)", CHINESE)) == set(
        re.findall(r"\]\((docs/[^)]+)", README)
    )


def test_every_dependency_is_told_why() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0]
    names = re.findall(r'^\s*"([\w.-]+)', project, re.MULTILINE)
    page = PAGES[ROOT / "docs" / "architecture.md"]
    why = page.partition("## Why each dependency\n")[2].partition("\n## ")[0]

    assert len(names) > 10
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", why)] == []
