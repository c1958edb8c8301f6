"""Every command with wrong input of each kind: its exit code, and what the user is told.

No service runs. Rows of `NOTHING` are answered before any is needed; of `AWAY`, by brokers and an
engine at an address where nobody is. What takes a history is in tests/services/test_commands.py.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.architecture.command_lines import commands
from tocsin.agents.commands.cli import run_command
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.policies.policy_file import default_policy_text

GOOD = (
    '{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "R-1", "occurred_at": '
    '"2025-01-02T09:00:00.000Z", "due_date": "2025-02-01", "amount_minor": 100, "currency": "EUR"}'
)
FILES = {
    "good.jsonl": GOOD,
    "empty.jsonl": "",
    "nojson.jsonl": f"{GOOD}\nnot json",
    "untyped.jsonl": '{"customer_id": "C1"}',
    "mistyped.jsonl": GOOD.replace("Issued", "Isued"),
    "wrong.jsonl": GOOD.replace("100", '"1.00"').replace("currency", "curency"),
    "policy.yaml": default_policy_text(),
    "bad.yaml": "name: Bad Name\nversion: 0\nrules: {}\n",
    "noyaml.yaml": "a: [",
    "list.yaml": "[]",
}
NO_BROKER = "no Kafka broker is known"
NO_CLICKHOUSE = "no ClickHouse is known"
NO_FILE = "No such file or directory; give the path"
NO_DATE = "is no date; write it like 2025-01-31"
NO_INSTANT = "is no instant; write it 2025-01-31 or"
IS_FOLDER = "is a directory"
EMPTY = "names nothing"
UNKNOWN = "no such"
NUMBER = "is not a valid"
RANGE = "is not in the range"

USAGE = [
    # a file that is there and is wrong, a folder in its place
    ("replay --events empty.jsonl", "empty.jsonl: is empty, there is no event in it"),
    ("produce empty.jsonl", "empty.jsonl: is empty"),
    ("demo --events empty.jsonl", "empty.jsonl: is empty"),
    ("policy lint policy.yaml --events empty.jsonl", "empty.jsonl: is empty"),
    ("replay --events folder", "folder: no *.jsonl file in this folder"),
    ("replay --events /dev/null", "which a pipe is not; write the lines to a file"),
    ("replay --events nojson.jsonl", "nojson.jsonl, line 2: JSON is malformed"),
    ("replay --events untyped.jsonl", "line 1: type: is missing; write the name of the event"),
    ("produce mistyped.jsonl", '"InvoiceIsued" is no type of event (did you mean InvoiceIssued?)'),
    ("produce wrong.jsonl", "line 1: amount_minor: expected `int`, got `str`; write a whole"),
    ("produce wrong.jsonl", "line 1: curency: is no field of InvoiceIssued (did you mean"),
    ("produce wrong.jsonl", "line 1: currency: is missing"),
    ("demo --events nojson.jsonl", "nojson.jsonl, line 2"),
    ("replay --events good.jsonl --policy bad.yaml", "bad.yaml"),
    ("backtest --events empty.jsonl", "empty.jsonl: is empty"),
    ("backtest --events nojson.jsonl", "nojson.jsonl, line 2"),
    ("backtest --events good.jsonl --policy bad.yaml", "bad.yaml"),
    ("backtest --events good.jsonl --harm bad.yaml", "bad.yaml"),
    ("replay --events good.jsonl --policy folder", IS_FOLDER),
    ("replay --events good.jsonl --out folder", IS_FOLDER),
    ("policy lint folder", IS_FOLDER),
    ("policy show --file bad.yaml", "line 1: name"),
    ("policy show --file noyaml.yaml", "is no YAML"),
    ("policy show --file folder", IS_FOLDER),
    ("policy publish bad.yaml", "line 1: name"),
    ("policy publish folder", IS_FOLDER),
    ("policy diff packaged bad.yaml", "bad.yaml"),
    ("policy diff packaged folder", "folder is no file, no version's number"),
    ("intake folder", IS_FOLDER),
    ("intake bad.yaml", "mapping: bad.yaml: Expected `array`"),
    ("intake list.yaml", "no topic in it"),
    ("notify folder", IS_FOLDER),
    ("notify bad.yaml", "bad.yaml"),
    ("anchor export --to good.jsonl", "it is no folder"),
    ("anchor export --to folder", "there is no key to sign with"),
    ("anchor key --set anchor_keyfile=x", "no such setting"),
    ("verify --anchor folder", IS_FOLDER),
    ("verify --anchor good.jsonl", "whose signature counts is not known"),
    ("verify --only topics", "--only goes with --anchor"),
    ("bundle --verify folder", IS_FOLDER),
    ("bundle --verify good.jsonl", "no bundle"),
    ("demand C1 --rates folder", IS_FOLDER),
    ("demand C1 --rates bad.yaml", "mend the file given with --rates"),
    ("log contact C1 --channel phone --outcome answered --attachment folder", IS_FOLDER),
    ("dead-letters resend payments/0/1 --event folder", IS_FOLDER),
    ("generate --out folder", IS_FOLDER),
    ("sql 'SELECT 1' --out folder", IS_FOLDER),
    ("doctor --config bad.yaml", "is not TOML"),
    ("doctor --config folder", "folder: Is a directory"),
    # names that nobody has
    ("staus", "no such command: staus"),
    ("warnigs", "(did you mean warnings?)"),
    ("policy lnit", "no such command: lnit (did you mean lint?)"),
    ("keys ini", "(did you mean init?)"),
    ("topics aply", "(did you mean apply?)"),
    ("dead-letters lst", "(did you mean list?)"),
    ("log promis", "(did you mean promise?)"),
    ("reshard chek", "no such command: chek"),
    ("warnings --sevrity HIGH", "Did you mean --severity?"),
    ("policy show overdue-amout", "(did you mean overdue-amount?), and no Kafka broker is known"),
    ("policy show packaged", "packaged is a policy, no rule: give --packaged"),
    ("policy show china-sme", "give --example china-sme"),
    ("policy show policy.yaml", "give --file policy.yaml"),
    ("policy show Overdue_Amount", "is no rule's name"),
    ("policy show --packaged overdue-amout", "is no rule of this policy (did you mean overdue-"),
    ("policy show --example nothing", "is not one of"),
    ("policy diff packged policy.yaml", "(did you mean packaged?)"),
    ("policy diff 1 nowhere", "nowhere is no file"),
    ("dead-letters show payments", "write TOPIC/PARTITION/OFFSET"),
    ("dead-letters show nothing/0/1", "names no refused record"),
    ("dead-letters resend payments/x/1", "names no refused record"),
    ("dead-letters resend", "name records, or give --code"),
    ("dead-letters list --topic nothing", "is not one of"),
    ("dead-letters list --code AMOUNT_NOT_POSITVE", "(did you mean AMOUNT_NOT_POSITIVE?)"),
    ("dead-letters resend --code nothing", "no record is refused for 'nothing'; docs/refusals"),
    ("dead-letters release nothing --partition 0 --reason x", "is not one of"),
    ("gap accept payments --reason x", "write TOPIC/PARTITION"),
    ("gap accept warnings/0 --reason x", "is read neither by workers nor by the intake"),
    ("complete nothing 2025-01-31", "is not one of"),
    ("completion tcsh", "is not one of"),
    ("doctor --role nobody", "is not one of"),
    ("topics manifest --format nothing", "is not one of"),
    ("warnings --severity WORST", "is not one of"),
    ("warnings --lang de", "is not one of"),
    ("generate --currency XXX", "is no ISO 4217 code"),
    ("log promise C1 --amount '5 XXX' --due 2025-01-31", "XXX is no currency"),
    ("log contact C1 --channel pigeon --outcome answered", "is not one of"),
    ("doctor --set partition=3", "(did you mean partitions?)"),
    ("doctor --set nothing=3", "--set nothing: no such setting"),
    ("doctor --set partitions", "NAME=VALUE"),
    ("doctor --set zone=Mars", "zone 'Mars' is unknown"),
    ("demo --data-dir policy.yaml/x", "data folder policy.yaml/x cannot be used"),
    ("doctor --data-dir ''", "data_dir is empty"),
    ("topics check --bootstrap-servers localhost", "write host:port"),
    ("doctor --clickhouse-url ftp://x", "must begin with http://"),
    ("doctor --bootstrap-servers 'a b'", "write host:port"),
    ("sql 'DROP TABLE x'", "DROP is not asked here"),
    ("sql 'SELECT 1' --format xml", "is not one of"),
    ("sql 'SELECT 1 FORMAT CSV' --format csv", "FORMAT CSV and --format csv: give one format"),
    ("sql 'SELECT 1 FORMAT CSV' --json", "give one format"),
    ("sql 'SELECT 1' --out x.txt", "give --format csv|tsv|jsonl|parquet"),
    # dates and instants
    ("warnings --since yesterday", NO_DATE),
    ("warnings --since 31.1.2025", NO_DATE),
    ("contacts C1 --since yesterday", NO_INSTANT),
    ("complete payments 2025-02-30", NO_DATE),
    ("complete payments 2025-01-31 --at noon", NO_INSTANT),
    ("go-live --at 2025-13-01", NO_INSTANT),
    ("go-live --at 0001-01-01T00:00+14:00", "lies outside of 1970 to 2299"),
    ("contacts C1 --since 9999-12-31T23:00-14:00", "lies outside of 1970 to 2299"),
    ("complete payments 1900-01-01", "lies outside of 1970 to 2299"),
    ("provision --as-of 9999-12-31", "lies outside of 1970 to 2299"),
    ("generate --until tomorrow", NO_DATE),
    ("demand C1 --as-of x", NO_DATE),
    ("provision --as-of 2025", NO_DATE),
    ("policy publish policy.yaml --effective-from soon", NO_INSTANT),
    ("log promise C1 --amount '5 EUR' --due soon", NO_DATE),
    ("log plan C1 --instalment 'soon=5 EUR'", NO_DATE),
    ("log breach C1 --kind other --at soon", NO_INSTANT),
    # numbers: none, negative, out of range
    ("generate --customers many", NUMBER),
    ("generate --customers -1 --days 0", "days must lie between 1 and"),
    ("demo --customers 0", "customers must lie between 1 and"),
    ("demo --days -1", "days must lie between 1 and"),
    ("produce good.jsonl --rate fast", NUMBER),
    ("produce good.jsonl --rate 0", RANGE),
    ("produce good.jsonl --rate -5", RANGE),
    ("produce good.jsonl --rate nan", "is no number to count with"),
    ("verify --wait -1", RANGE),
    ("verify --wait inf", "is no number to count with"),
    ("warnings --limit many", NUMBER),
    ("warnings --limit 0", RANGE),
    ("warnings --limit -1", RANGE),
    ("warnings --limit 99999999999", RANGE),
    ("dead-letters list --limit -1", RANGE),
    ("customer C1 --events -1", RANGE),
    ("worklist --budget -1", RANGE),
    ("worklist --budget many", NUMBER),
    ("provision --window 1", RANGE),
    ("provision --loss-after -1", RANGE),
    ("provision --minimum 0", RANGE),
    ("provision --outlook much", "is no rate; write percent"),
    ("demand C1 --agreed-rate -1", "is no rate; write percent"),
    ("demand C1 --penalty-cap -1", "is no rate; write percent"),
    ("policy fit --share 0", RANGE),
    ("policy fit --share 1 --share 5", "--share must fall"),
    ("policy show --version last", NUMBER),
    ("dead-letters release payments --partition some --reason x", NUMBER),
    ("reshard copy --to x --partitions 0", RANGE),
    ("log promise C1 --amount five --due 2025-01-31", "is no amount; write it like"),
    ("log prepayment C1 --share half --reason x", "is no percentage; write it like"),
    ("log satisfaction C1 --rating 99", RANGE),
    ("log service C1 --minutes -1", RANGE),
    ("log breach C1 --kind other --wait -1", RANGE),
    ("doctor --set partitions=none", "--set partitions: "),
    ("doctor --set partitions=-1", "--set partitions: "),
    ("doctor --set web_port=99999", "--set web_port: "),
    # nothing where something belongs
    ("customer ''", EMPTY),
    ("contacts ''", EMPTY),
    ("dossier ''", EMPTY),
    ("demand ''", EMPTY),
    ("letter '' --kind reminder", EMPTY),
    ("letter C1", "Missing option '--kind'"),
    ("letter C1 --kind poem", "is not one of"),
    ("verify --mark x", "is no mark of the journal"),
    ("explain ''", EMPTY),
    ("bundle '' --out x.zip", EMPTY),
    ("keys token ''", EMPTY),
    ("erase '' --reason x", "name a CUSTOMER"),
    ("log breach '' --kind other", EMPTY),
    ("log hold C1 --reason ''", EMPTY),
    ("log acknowledge ''", EMPTY),
    ("produce ''", "an empty path"),
    ("replay --events ''", "an empty path"),
    ("replay --events good.jsonl --out ''", "an empty path"),
    ("policy lint ''", "an empty path"),
    ("warnings --since ''", NO_DATE),
    ("warnings --customer ''", EMPTY),
    ("warnings --rule ''", EMPTY),
    ("worklist --owner ''", EMPTY),
    ("sql ''", "there is no statement"),
    ("sql ' -- nothing'", "there is no statement"),
    ("dead-letters show ''", "write TOPIC/PARTITION/OFFSET"),
    ("dead-letters release payments --partition 0 --reason ''", EMPTY),
    ("gap accept payments/0 --reason ''", EMPTY),
    ("erase C1 --reason ''", EMPTY),
    ("web --new-token ''", EMPTY),
    ("reshard copy --to '' --partitions 4", "letters, digits"),
    ("reshard compare --to 'a b' --partitions 4", "letters, digits"),
    # what belongs together
    ("replay --out x", "--policy and --out go with --events"),
    ("notify", "give CONFIG"),
    ("bundle C1", "name a CUSTOMER and --out FILE"),
    ("bundle --verify good.jsonl --out x", "--verify takes a bundle"),
    ("demand C1 --agreed-rate 5 --agreed-daily 1", "not both"),
    ("web --new-token anna", "web_tokens_file is not set"),
    ("keys init", "there is no master key"),
    ("keys rotate", "there is no master key"),
    ("keys list", "there is no master key"),
    ("keys token C1", "there is no master key"),
    ("erase C1 --reason x", "this deployment encrypts nothing"),
    # no broker, no engine known
    ("topics apply", NO_BROKER),
    ("topics check", NO_BROKER),
    ("go-live", NO_BROKER),
    ("complete payments 2025-01-31", NO_BROKER),
    ("reset", NO_BROKER),
    ("reset --yes", NO_BROKER),
    ("rebuild", NO_BROKER),
    ("reshard copy --to x --partitions 4", NO_BROKER),
    ("reshard compare --to x --partitions 4", NO_BROKER),
    ("gap accept payments/0 --reason x", NO_BROKER),
    ("produce good.jsonl", NO_BROKER),
    ("replay", NO_BROKER),
    ("worker", NO_BROKER),
    ("policy show", NO_BROKER),
    ("policy show overdue-amount", NO_BROKER),
    ("policy diff 1 packaged", NO_BROKER),
    ("policy publish policy.yaml", NO_BROKER),
    ("notify --dead", NO_BROKER),
    ("notify --resend a/b", NO_BROKER),
    ("log breach C1 --kind other", NO_BROKER),
    ("dead-letters release payments --partition 0 --reason x", NO_BROKER),
    ("audit", NO_CLICKHOUSE),
    ("web", NO_CLICKHOUSE),
    ("migrate", NO_CLICKHOUSE),
    ("verify", NO_CLICKHOUSE),
    ("replay --history", NO_CLICKHOUSE),
    ("policy fit", NO_CLICKHOUSE),
    ("warnings", NO_CLICKHOUSE),
    ("worklist", NO_CLICKHOUSE),
    ("shadow", NO_CLICKHOUSE),
    ("customer C1", NO_CLICKHOUSE),
    ("explain 2f1d", NO_CLICKHOUSE),
    ("contacts C1", NO_CLICKHOUSE),
    ("dossier C1", NO_CLICKHOUSE),
    ("bundle C1 --out x.zip", NO_CLICKHOUSE),
    ("demand C1", NO_CLICKHOUSE),
    ("letter C1 --kind statement", NO_CLICKHOUSE),
    ("provision", NO_CLICKHOUSE),
    ("sql 'SELECT 1'", NO_CLICKHOUSE),
    ("log acknowledge 2f1d", NO_CLICKHOUSE),
    ("policy show --packaged --customer C1", NO_CLICKHOUSE),
    ("dead-letters list", NO_CLICKHOUSE),
    ("dead-letters show payments/0/1", NO_CLICKHOUSE),
    ("dead-letters resend payments/0/1", NO_CLICKHOUSE),
]
UNAVAILABLE = [
    # files and folders that are not there
    ("produce none.jsonl", NO_FILE),
    ("produce good.jsonl none.jsonl", "none.jsonl"),
    ("replay --events none.jsonl", "--events: none.jsonl: No such file"),
    ("replay --events good.jsonl --policy none", NO_FILE),
    ("replay --events good.jsonl --out none/x", "there is no folder none"),
    ("demo --events none.jsonl", NO_FILE),
    ("generate --out none/x", "there is no folder none"),
    ("letter C1 --kind reminder --out none/x", "there is no folder none"),
    ("letter C1 --kind reminder --templates none", NO_FILE),
    ("generate --truth none/x", "there is no folder none"),
    ("policy lint none.yaml", NO_FILE),
    ("policy lint policy.yaml --events none", NO_FILE),
    ("policy show --file none.yaml", NO_FILE),
    ("policy publish none.yaml", NO_FILE),
    ("intake none.yaml", NO_FILE),
    ("notify none.yaml", NO_FILE),
    ("notify --check none.yaml", NO_FILE),
    ("anchor export --to none", NO_FILE),
    ("verify --anchor none.anchor", NO_FILE),
    ("bundle --verify none.zip", NO_FILE),
    ("bundle C1 --out none/x.zip", "there is no folder none"),
    ("demand C1 --rates none.yaml", NO_FILE),
    ("log contact C1 --channel phone --outcome answered --attachment none", NO_FILE),
    ("dead-letters resend payments/0/1 --event none", NO_FILE),
    ("sql 'SELECT 1' --out none/x.csv", "there is no folder none"),
    ("doctor --config none.toml", "configuration file: none.toml: No such file"),
]
AWAY = [
    "topics apply", "topics check", "go-live", "complete payments 2025-01-31", "reset --yes",
    "rebuild", "reshard copy --to x --partitions 4", "produce good.jsonl", "replay", "worker",
    "audit", "policy show", "policy show no-such-rule", "policy diff 1 packaged",
    "policy publish policy.yaml", "policy fit", "notify --dead", "notify --resend a/b",
    "log breach C1 --kind other", "dead-letters release payments --partition 0 --reason x",
    "migrate", "verify", "replay --history", "warnings", "worklist", "shadow", "customer C1",
    "explain 2f1d", "contacts C1", "dossier C1", "bundle C1 --out x.zip", "demand C1", "provision",
    "letter C1 --kind statement", "sql 'SELECT 1'", "sql 'SELECT 1' --format csv",
    "log acknowledge 2f1d",
    "policy show --packaged --customer C1", "dead-letters list", "dead-letters show payments/0/1",
    "dead-letters resend payments/0/1", "warnings --follow",
]  # fmt: skip
NEVER_WRONG = {"up", "policy signals"}  # what they take is settings alone


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with the files that rows name; no settings from outside, nothing on stdin."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TOCSIN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder").mkdir()


def said(line: str, code: Exit, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line complains of; it prints nothing else, and no trace."""
    assert run_command(shlex.split(line)) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(("line", "words"), USAGE)
def test_what_is_wrong_in_itself_is_a_mistake_of_the_caller(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in said(line, Exit.USAGE, capsys)


@pytest.mark.parametrize(("line", "words"), UNAVAILABLE)
def test_a_file_that_is_not_there_could_not_be_reached(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in said(line, Exit.UNAVAILABLE, capsys)


@pytest.mark.parametrize("line", AWAY)
def test_who_does_not_answer_is_named(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TOCSIN_BOOTSTRAP_SERVERS", away)
    monkeypatch.setenv("TOCSIN_CLICKHOUSE_URL", f"http://{away}/tocsin")

    assert away in said(line, Exit.UNAVAILABLE, capsys)


@pytest.mark.parametrize("line", ["policy lint bad.yaml", "notify --check bad.yaml"])
def test_to_look_for_problems_and_to_find_some_is_no_failure(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(shlex.split(line)) == Exit.DIFFERENCE

    assert "bad.yaml:1: " in capsys.readouterr().out


def test_every_command_is_tried() -> None:
    tried = [line for line, _ in (*USAGE, *UNAVAILABLE)] + AWAY
    missing = {
        path
        for path in commands()
        if not any(line == path or line.startswith(f"{path} ") for line in tried)
    }

    assert {path for path in missing if not path.startswith("log ")} == NEVER_WRONG
