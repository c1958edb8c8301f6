"""Commands over a whole deployment: what they print is what the topics and ClickHouse hold."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from tests.services.deployment import Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment.policies import published
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.queries.explanation import with_records_from_topics
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.replay.replay import KafkaLog, Replay
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import COMPLAINTS, CUSTOMERS, ENGAGEMENTS, INVOICES, PAYMENTS
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.events import AlertRaised, CreditDecided, InvoiceIssued, PaymentReceived
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.severity import SEVERITIES

WAIT_S = 60.0
DAY_MS = 86_400_000


class Desk:
    """A deployment with history in it, and the command line over it."""

    def __init__(
        self, deployment: Deployment, worker: Program, audit: Program, facts: list[Fact]
    ) -> None:
        self.deployment = deployment
        self.worker = worker
        self.audit = audit
        self.facts = facts
        self.last_instant = facts[-1].instant
        self._monkeypatch = pytest.MonkeyPatch()
        for name, value in deployment.environ.items():
            if name.startswith("TOCSIN_"):
                self._monkeypatch.setenv(name, value)

    def close(self) -> None:
        self._monkeypatch.undo()

    def later(self) -> int:
        """An instant after everything sent so far."""
        self.last_instant += 1
        return self.last_instant

    def send(self, *facts: Fact) -> None:
        asyncio.run(produce(facts, self.deployment.settings))

    def send_raw(self, topic: str, partition: int, *values: bytes) -> None:
        async def send() -> None:
            producer = AIOKafkaProducer(**self.deployment.settings.client_options())
            await producer.start()
            for value in values:
                await producer.send_and_wait(
                    f"{self.deployment.settings.topic_prefix}{topic}",
                    value,
                    key=b"C000001",
                    partition=partition,
                    timestamp_ms=self.later(),
                )
            await producer.stop()

        asyncio.run(send())

    def until_audited(self) -> None:
        """Wait until all is decided and in ClickHouse."""

        async def wait() -> None:
            await self.deployment.until_decided(self.worker, self.audit)
            assert (await reconcile(self.deployment.settings, wait_s=WAIT_S)).is_equal

        asyncio.run(wait())


@pytest.fixture(scope="module")
def desk(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """One deployment for all tests here; they add to it and none relies on another."""
    folder = tmp_path_factory.mktemp("desk")
    with asyncio.Runner() as runner:
        context = deployed("desk", broker, engine, folder, partitions=2)
        deployment = runner.run(context.__aenter__())
        worker, audit = deployment.started("worker"), deployment.started("audit")
        facts = deployment.portfolio(customers=60, days=200)
        runner.run(produce(facts, deployment.settings))
        running = Desk(deployment, worker, audit, facts)
        running.until_audited()
        yield running
        running.close()
        runner.run(context.__aexit__(None, None, None))


Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("desk")


def all_warnings(desk: Desk) -> list[RiskWarning]:
    return asyncio.run(desk.deployment.warnings())


def still_open(warnings: list[RiskWarning]) -> dict[str, RiskWarning]:
    """The last step of each episode that has not ended."""
    last = {w.episode_id: w for w in warnings if w.transition != "DIGEST"}
    return {key: warning for key, warning in last.items() if warning.transition != "CLEARED"}


def test_warnings_lists_every_warning_of_the_topic(desk: Desk, tocsin: Run) -> None:
    expected = all_warnings(desk)

    found = tocsin("warnings", "--limit", "100000")

    assert {entry["warning_id"] for entry in found} == {w.warning_id for w in expected}
    one = next(w for w in expected if w.warning_id == found[0]["warning_id"])
    assert (found[0]["value"], found[0]["rule"]) == (one.value, one.rule)
    assert found[0]["customer_name"]


def test_open_warnings_are_those_that_have_not_ended_gravest_first(desk: Desk, tocsin: Run) -> None:
    expected = still_open(all_warnings(desk))

    found = tocsin("warnings", "--open", "--limit", "100000")

    assert {entry["episode_id"] for entry in found} == set(expected)
    order = [SEVERITIES[entry["severity"]] for entry in found]
    assert order == sorted(order, reverse=True)


def test_warnings_can_be_narrowed(desk: Desk, tocsin: Run) -> None:
    some = tocsin("warnings", "--limit", "1")[0]

    found = tocsin(
        "warnings", "--customer", some["customer_id"], "--rule", some["rule"], "--limit", "1000"
    )
    grave = tocsin("warnings", "--severity", "HIGH", "--limit", "100000")

    assert {(entry["customer_id"], entry["rule"]) for entry in found} == {
        (some["customer_id"], some["rule"])
    }
    assert {entry["severity"] for entry in grave} <= {"HIGH", "CRITICAL"}


def test_a_table_names_customer_rule_value_threshold_and_action(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["warnings", "--open", "--limit", "3"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert run_command(["warnings", "--open", "--limit", "3", "--long", "--lang", "zh"]) == Exit.OK
    cards = capsys.readouterr().out

    (first, *_) = still_open_in_order(desk)
    assert lines[0].split()[0] == "severity"
    assert len(lines) == 4
    for text in (first.customer_id, first.rule, first.action_en, first.warning_id):
        assert text in lines[1]
    assert first.text_zh in cards


def still_open_in_order(desk: Desk) -> list[RiskWarning]:
    return sorted(
        still_open(all_warnings(desk)).values(),
        key=lambda w: (-SEVERITIES[w.severity], -w.exposure_minor, w.customer_id, w.rule),
    )


def test_the_credit_file_adds_up_and_names_what_is_open(desk: Desk, tocsin: Run) -> None:
    customer_id = still_open_in_order(desk)[0].customer_id

    file = tocsin("customer", customer_id)

    for index, currency in enumerate(file["currencies"]):
        due = [entry for entry in file["due"] if entry["currency"] == currency]
        assert sum(entry["open_minor"] for entry in due) == file["open_minor"][index]
        late = [entry["open_minor"] for entry in due if entry["due_date"] < file["as_of"]]
        assert sum(late) == file["past_due_minor"][index]
    expected = {
        key for key, w in still_open(all_warnings(desk)).items() if w.customer_id == customer_id
    }
    assert {entry["episode_id"] for entry in file["open_warnings"]} == expected
    sent = [f for f in desk.facts if getattr(f.event, "customer_id", "") == customer_id]
    assert file["events"][0]["event"]["type"] == type(sent[-1].event).__name__


def ledgers_of(desk: Desk) -> dict[str, Ledger]:
    """Every customer's ledger, decided again from the topics."""
    settings = desk.deployment.settings
    found: dict[str, Ledger] = {}
    for partition in range(settings.partitions):
        work = Replay(
            settings.app_id,
            settings.partitions,
            desk.deployment.codec,
            desk.deployment.convention,
            KafkaLog(settings),
        )
        found |= asyncio.run(work.partition(partition)).ledgers
    return found


def test_the_credit_file_tells_the_points_of_every_component(desk: Desk, tocsin: Run) -> None:
    ledgers = ledgers_of(desk)
    scored = {name: ledger for name, ledger in ledgers.items() if ledger.summary.score is not None}
    worst = max(scored, key=lambda name: (scored[name].summary.score, name))
    summary = scored[worst].summary

    score = tocsin("customer", worst)["score"]

    assert (score["score"], score["grade"]) == (summary.score, summary.grade)
    scale = [p for p in score["parts"] if not p["is_on_top"] and p["points"] is not None]
    on_top = sum(p["points"] or 0 for p in score["parts"] if p["is_on_top"])
    share = sum(p["points"] for p in scale) * 100 / sum(p["most"] for p in scale)
    assert min(int(share + 0.5) + on_top, 100) == score["score"] > 0
    given = [part["points"] for part in score["parts"]]
    assert given == [None if points < 0 else points for points in summary.points]
    classes = [score[name] for name in ("abc", "rfm", "rfa")]
    assert classes == [summary.abc, summary.rfm, summary.rfa]
    assert run_command(["customer", worst]) == Exit.OK


def test_the_credit_file_says_what_is_lacking_for_a_score(desk: Desk, tocsin: Run) -> None:
    event = InvoiceIssued("C-NEW", "N-1", desk.later(), desk.later() // DAY_MS + 30, 1000, "EUR")
    desk.send(Fact(desk.later(), INVOICES.topic_id, event))
    desk.until_audited()

    score = tocsin("customer", "C-NEW")["score"]

    assert score["score"] is None
    assert score["lacking"] == ["settled invoices: 0 of 3"]


def test_what_an_insolvent_customer_owes_is_told_in_its_own_currencies_everywhere(
    desk: Desk, tocsin: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule of insolvency has no currency; the policy reports in CNY, of which none is owed."""
    for number, (amount, currency) in enumerate([(500_000_000, "EUR"), (3_000_000, "USD")]):
        at = desk.later()
        event = InvoiceIssued("INS", f"x{number}", at, at // DAY_MS + 30, amount, currency)
        desk.send(Fact(at, INVOICES.topic_id, event))
    at = desk.later()
    desk.send(Fact(at, CUSTOMERS.topic_id, AlertRaised("INS", "a", at, "INSOLVENCY")))
    desk.until_audited()

    (warning,) = tocsin("warnings", "--customer", "INS", "--rule", "insolvency", "--limit", "1")
    (listed,) = [
        entry
        for entries in [tocsin("worklist", "--budget", "1000")]
        for entry in (*entries["shown"], *entries["left"])
        if entry["customer_id"] == "INS"
    ]

    assert (warning["currency"], warning["exposure_minor"]) == ("EUR", 500_000_000)
    assert warning["other_exposures"] == [{"currency": "USD", "exposure_minor": 3_000_000}]
    assert (listed["currency"], listed["stake_minor"]) == ("EUR", 500_000_000)
    assert listed["other_stakes"] == [{"currency": "USD", "stake_minor": 3_000_000}]
    for command in (
        ["warnings", "--customer", "INS"],
        ["warnings", "--customer", "INS", "--long"],
        ["warnings", "--customer", "INS", "--long", "--lang", "zh"],
        ["explain", warning["warning_id"]],
        ["customer", "INS"],
        ["worklist", "--budget", "1000"],
    ):
        capsys.readouterr()
        assert run_command(command) == Exit.OK
        told = capsys.readouterr().out
        if command[0] == "worklist":  # others may owe nothing
            told = next(line for line in told.splitlines() if "INS" in line)
        assert "5,000,000.00 EUR, 30,000.00 USD" in told, command
        assert not re.search(r"(?<![\d,])0\.00 CNY|minor units", told), command


def test_the_worklist_shows_as_many_as_wanted_and_loses_nobody(desk: Desk, tocsin: Run) -> None:
    actions = {
        name: ledger.summary.collecting
        for name, ledger in ledgers_of(desk).items()
        if ledger.summary.collecting is not None
    }

    found = tocsin("worklist", "--budget", "3")

    listed = {entry["customer_id"]: entry for entry in (*found["shown"], *found["left"])}
    assert len(found["shown"]) == 3
    assert {name for name, action in actions.items() if action.step} <= listed.keys()
    assert len(listed) == len(found["shown"]) + len(found["left"])
    for name, action in actions.items():
        if action.step:
            said = (listed[name]["step"], listed[name]["why"], listed[name]["stake_minor"])
            assert said == (action.step, action.why, action.amount_minor)
            assert listed[name]["due_on"] == epoch_day_text(action.due_on)
    assert {"OVER_BUDGET"} <= {entry["reason"] for entry in found["left"]}
    assert run_command(["worklist", "--lang", "zh"]) == Exit.OK


def test_the_worklist_of_an_owner_has_all_of_its_customers_and_no_others(
    desk: Desk, tocsin: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    owners = {name: one.summary.profile.owner for name, one in ledgers_of(desk).items()}

    everybody, own = tocsin("worklist"), tocsin("worklist", "--owner", "team-north")

    of_all, of_owner = (
        {entry["customer_id"] for entry in (*found["shown"], *found["left"])}
        for found in (everybody, own)
    )
    assert of_owner == {name for name in of_all if owners[name] == "team-north"} != set()
    assert run_command(["worklist", "--owner", "nobody"]) == Exit.USAGE
    assert "use team-east, team-north" in capsys.readouterr().err


def test_credit_decisions_show_in_the_credit_file_with_author_and_reason(
    desk: Desk, tocsin: Run
) -> None:
    customer_id = "C000003"
    at = desk.later()
    until = at // DAY_MS + 40
    for decision in (
        CreditDecided(
            customer_id, "V-1", at, "LIMIT", "lead", "season", None, 123_400, "EUR", None, until
        ),
        CreditDecided(customer_id, "V-2", at, "HOLD", "head", "no word for weeks"),
        CreditDecided(customer_id, "V-3", at, "SCREENING", "lead", "accounts seen", "APPROVED"),
    ):
        desk.send(Fact(desk.later(), ENGAGEMENTS.topic_id, decision))
    desk.until_audited()

    file = tocsin("customer", customer_id)

    assert (file["credit_limit_minor"], file["credit_limit_currency"]) == (123_400, "EUR")
    assert file["credit"]["limit_until"] == epoch_day_text(until)
    assert file["credit"]["is_held"]
    assert file["credit"]["screening"] == "APPROVED"
    told = {entry["decision_id"]: entry for entry in file["credit_decisions"]}
    assert (told["V-2"]["author"], told["V-2"]["reason"]) == ("head", "no word for weeks")
    assert run_command(["customer", customer_id]) == Exit.OK


def test_fit_proposes_what_the_policy_accepts_and_changes_nothing(desk: Desk, tocsin: Run) -> None:
    before = asyncio.run(published(desk.deployment.settings))
    delays = [
        value
        for ledger in ledgers_of(desk).values()
        if (value := late_share_of(ledger)) is not None
    ]

    found = tocsin("policy", "fit", "--rule", "late-share", "--rule", "overdue-amount")

    assert found["customers"] >= 60
    assert found["populations"]["late-share"] == len(delays)
    patch = yaml.safe_load(found["patch"])
    plain = yaml.safe_load(default_policy_text())
    plain["classes"] |= patch["classes"]
    for name, change in patch["rules"].items():
        plain["rules"][name] |= change
    policy, _, problems = read_policy(yaml.safe_dump(plain, allow_unicode=True), 400)
    assert problems == []
    assert policy is not None
    (rule,) = [rule for rule in policy.rules if rule.name == "late-share"]
    ladder = rule.ladders[""]
    if "too few or too alike" not in found["patch"].split("late-share:")[1].split("raise_at")[0]:
        for rung, share in zip(ladder.rungs, (0.10, 0.05, 0.02), strict=True):
            assert sum(delay >= rung.raise_at for delay in delays) <= len(delays) * share
    assert asyncio.run(published(desk.deployment.settings)) == before


def late_share_of(ledger: Ledger) -> int | None:
    """The rule's measure, worked out from the settled items themselves."""
    settled = list(ledger.summary.settled.values())[-12:]
    if len(settled) < 6:
        return None
    return sum(item.excused_days > 5 for item in settled) * 10_000 // len(settled)


def test_fit_refuses_rules_that_are_not_there(tocsin: Run) -> None:
    assert "no rule" in tocsin("policy", "fit", "--rule", "nothing", code=Exit.USAGE)


def test_an_unknown_customer_is_answered_with_those_that_are_near(tocsin: Run) -> None:
    assert "did you mean one of C000001" in tocsin("customer", "C00001", code=Exit.USAGE)
    assert "did you mean one of C000001?" in tocsin("customer", "c000001", code=Exit.USAGE)
    assert "did you mean" not in tocsin("customer", "somebody-else", code=Exit.USAGE)


def test_explain_shows_the_events_the_clause_and_the_journal_record(
    desk: Desk, tocsin: Run
) -> None:
    warning = next(
        w for w in reversed(all_warnings(desk)) if w.rule == "overdue-age" and w.evidence
    )

    found = tocsin("explain", warning.warning_id[:20])

    assert found["warning"]["warning_id"] == warning.warning_id
    assert len(found["evidence"]) == len(warning.evidence)
    values = [value for seen in found["evidence"] for value in seen["event"].values()]
    ids = {value for value in values if isinstance(value, str)}
    assert {evidence.id for evidence in warning.evidence} <= ids
    assert found["clause"][0].strip() == "overdue-age:"
    assert found["journal_sequence"] >= 0
    assert warning.warning_id in found["episode"]


def test_explain_names_the_payment_that_ends_a_warning_to_the_cent(desk: Desk, tocsin: Run) -> None:
    warnings = still_open(all_warnings(desk)).values()
    warning = next(w for w in warnings if w.rule == "overdue-amount")
    remedy = tocsin("explain", warning.warning_id)["remedy"]
    assert (remedy["reason"], remedy["currency"]) == (None, warning.subject)
    assert remedy["latest_on"] is None or remedy["latest_on"] >= remedy["as_of"]

    pay(desk, warning, "WHATIF-1", remedy["payment_minor"] - 1)
    assert warning.episode_id in still_open(all_warnings(desk))
    assert tocsin("explain", warning.warning_id)["remedy"]["payment_minor"] == 1
    pay(desk, warning, "WHATIF-2", 1)

    assert warning.episode_id not in still_open(all_warnings(desk))
    ended = tocsin("explain", warning.warning_id)["remedy"]
    assert (ended["payment_minor"], ended["reason"]) == (None, "NOT_OPEN")


def pay(desk: Desk, warning: RiskWarning, payment_id: str, amount_minor: int) -> None:
    """Let money come in that names no invoice, and wait until it is decided."""
    now = desk.later()
    payment = PaymentReceived(warning.customer_id, payment_id, now, amount_minor, warning.subject)
    desk.send(Fact(now, PAYMENTS.topic_id, payment))
    desk.until_audited()


def test_explain_says_it_in_both_languages_and_why_it_cannot(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings = still_open(all_warnings(desk)).values()
    warning = next(w for w in warnings if w.rule == "overdue-age")

    def said(*more: str) -> str:
        capsys.readouterr()
        assert run_command(["explain", warning.warning_id, *more]) == Exit.OK
        return capsys.readouterr().out

    assert "ends it, and no smaller one" in said()
    assert "少一分则不能" in said("--lang", "zh")
    monkeypatch.setenv("TOCSIN_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert "the worker's state cannot be read" in said()


def test_evidence_that_the_history_lacks_comes_from_the_topics(desk: Desk) -> None:
    settings = desk.deployment.settings
    warning = next(w for w in all_warnings(desk) if len(w.evidence) > 1)
    with open_lookup(settings) as lookup:
        from_history = lookup.evidence(warning.evidence)

    from_topics = with_records_from_topics(settings, {}, warning.evidence)

    assert from_topics == from_history
    assert set(from_topics) == set(warning.evidence)


UNKNOWN = [
    ("customer nobody", "no customer 'nobody' in the history"),
    ("contacts nobody", "no customer 'nobody' in the history"),
    ("dossier nobody", "no customer 'nobody' in the history"),
    ("demand nobody", "no customer 'nobody' in the history"),
    ("bundle nobody --out x.zip", "no record of a customer 'nobody' in the history"),
    ("bundle C000001 --out x.zip --episode zzz", "no episode begins with 'zzz'"),
    ("log breach nobody --kind other", "no customer 'nobody' in the history; --new enters it"),
    ("log acknowledge zzz", "no warning in the history has the id 'zzz'"),
    ("policy show --packaged --customer nobody", "no customer 'nobody' in the history"),
    ("policy show overdue-amout", "(did you mean overdue-amount?)"),
    ("policy show --version 99", "no policy version 99 was published"),
    ("policy diff packaged 99", "no policy version 99 was published"),
    ("policy fit --rule nothing", "has no rule nothing"),
    ("warnings --customer nobody", "no customer 'nobody' in the history"),
    ("warnings --rule overdue-amout", "has no rule 'overdue-amout' (did you mean overdue-amount?)"),
    ("worklist --owner nobody", "no customer has the owner 'nobody'"),
    ("dead-letters show payments/0/999999", "no refused record payments/0/999999"),
    ("dead-letters resend payments/0/999999", "no refused record payments/0/999999"),
    ("dead-letters release payments --partition 99 --reason x", "has no partition 99"),
    ("notify --resend a/b", "no dead delivery a/b"),
    ("reshard compare --to nobody --partitions 4", "there is no generation nobody"),
    ("sql 'SELECT nothing FROM warnings'", "nothing"),
    ("sql 'SELECT 1 FORMAT Nothing'", "Nothing"),
]


@pytest.mark.parametrize(("line", "words"), UNKNOWN)
def test_a_name_that_nobody_has_is_a_mistake_of_the_caller(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(shlex.split(line)) == Exit.USAGE

    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert out == ""


def test_explain_of_an_ambiguous_or_unknown_id_says_so(desk: Desk, tocsin: Run) -> None:
    ids = [warning.warning_id for warning in all_warnings(desk)]
    (several, _), *_ = Counter(found[0] for found in ids).most_common(1)
    assert "several" in tocsin("explain", several, code=Exit.USAGE)
    assert "no warning" in tocsin("explain", "zzz", code=Exit.USAGE)


def test_sql_answers_and_changes_nothing(desk: Desk, tocsin: Run) -> None:
    (row,) = tocsin("sql", "SELECT count() AS n FROM warnings FINAL")
    assert row["n"] == len(all_warnings(desk))

    # Past our own check, the engine itself refuses those who do not log in.
    refused = tocsin("sql", "SELECT * FROM nowhere", code=Exit.USAGE)
    assert "nowhere" in refused


SEEN = "SELECT customer_id, count() AS n FROM warnings FINAL GROUP BY 1 ORDER BY 1"


def test_sql_answers_in_the_format_that_is_asked_for(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    rows = tocsin("sql", SEEN)

    def shown(*arguments: str) -> bytes:
        line = [sys.executable, "-m", "tocsin.agents.commands.cli", "sql", *arguments]
        return subprocess.run(line, capture_output=True, check=True).stdout

    lines = shown(SEEN, "--format", "csv").decode().splitlines()
    assert lines == ['"customer_id","n"', *(f'"{row["customer_id"]}",{row["n"]}' for row in rows)]
    assert shown(f"{SEEN} FORMAT CSV;").decode().splitlines() == lines[1:]
    assert [json.loads(line) for line in shown(SEEN, "--format", "jsonl").splitlines()] == rows
    whole = shown(f"{SEEN} FORMAT Parquet")
    assert (whole[:4], whole[-4:]) == (b"PAR1", b"PAR1")

    file = tmp_path / "seen.parquet"
    assert shown(SEEN, "--out", str(file)) == b""
    assert file.read_bytes()[:4] == b"PAR1"
    assert run_command(["sql", "SELECT * FROM nowhere", "--out", str(file)]) == Exit.USAGE
    assert file.read_bytes()[:4] == b"PAR1"
    assert list(tmp_path.iterdir()) == [file]


def test_verify_and_replay_find_nothing_while_nothing_is_wrong(desk: Desk, tocsin: Run) -> None:
    assert tocsin("verify")["is_equal"]
    from_topics, from_history = tocsin("replay"), tocsin("replay", "--history")

    assert from_topics["is_equal"]
    assert from_history["digests"] == from_topics["digests"]
    assert from_topics["warnings"] == len(all_warnings(desk))


def test_an_anchor_of_a_whole_deployment_finds_nothing_while_nothing_is_wrong(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    assert tocsin("anchor", "key")["is_new"]
    made = tocsin("anchor", "export", "--to", str(tmp_path))

    found = tocsin("verify", "--anchor", made["file"])

    assert found["is_unchanged"], found["problems"][:5]
    assert found["records"] == made["records"] > len(desk.facts) + len(all_warnings(desk))


def test_doctor_finds_nothing_wrong_while_all_runs(desk: Desk, tocsin: Run) -> None:
    desk.until_audited()

    findings = tocsin("doctor")["findings"]

    assert {f["about"] for f in findings if f["health"] == "wrong"} == set()
    assert {"Kafka", "topics", "worker", "ClickHouse", "audit"} <= {f["about"] for f in findings}


def test_a_refused_record_is_seen_mended_and_sent_again_once(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    payment = PaymentReceived("C000007", "MEND-1", desk.later(), -100, "EUR")
    desk.send(Fact(desk.last_instant, PAYMENTS.topic_id, payment))
    desk.until_audited()
    (refused,) = tocsin("dead-letters", "list", "--code", "AMOUNT_NOT_POSITIVE")
    event = json.loads(tocsin("dead-letters", "show", refused["record"])["event"])
    assert (event["payment_id"], event["amount_minor"]) == ("MEND-1", -100)

    line = tmp_path / "mended.jsonl"
    line.write_text(json.dumps({**event, "amount_minor": 100}))
    (sent,) = tocsin("dead-letters", "resend", refused["record"], "--event", str(line))
    desk.until_audited()

    assert sent["refused_at"] == refused["record"]
    (after,) = tocsin("dead-letters", "list", "--code", "AMOUNT_NOT_POSITIVE")
    assert after["is_resent"]
    latest = tocsin("customer", "C000007", "--events", "3")["events"]
    assert any(
        seen["record"] == sent["sent_to"] and seen["event"]["amount_minor"] == 100
        for seen in latest
    )
    again = tocsin("dead-letters", "resend", refused["record"], code=Exit.USAGE)
    assert "--again" in again


def test_a_hold_is_told_by_doctor_and_ended_by_release(desk: Desk, tocsin: Run) -> None:
    desk.send_raw("complaints", 1, *[b"garbage"] * 60)
    until(lambda: bool(holds(tocsin)), "the storm did not bring a hold")
    assert "complaints is held in partition 1" in holds(tocsin)[0]

    release = ("dead-letters", "release", "complaints", "--partition", "1", "--reason", "mended")
    event = tocsin(*release, "--drain")

    assert event["topic_id"] == COMPLAINTS.topic_id
    until(lambda: not holds(tocsin), "the hold did not end")
    desk.until_audited()
    letters = tocsin("dead-letters", "list", "--topic", "complaints", "--limit", "1000")
    assert len(letters) == 60


def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, otherwise


def holds(tocsin: Run) -> list[str]:
    """What doctor says of topics on hold, which also decides its exit code."""
    try:
        found = tocsin("doctor")
    except AssertionError:
        found = tocsin("doctor", code=Exit.DIFFERENCE)
    return [finding["what"] for finding in found["findings"] if finding["about"] == "holds"]


def test_a_hold_of_a_topic_that_is_never_held_cannot_be_ended(tocsin: Run) -> None:
    release = ("dead-letters", "release", "clock", "--partition", "0", "--reason", "x")
    assert "never held" in tocsin(*release, code=Exit.USAGE)


def test_a_published_policy_is_listed_and_comes_into_force(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    source = tocsin("policy", "show")[-1]["source"]
    file = tmp_path / "policy.yaml"
    file.write_text(source.replace("version: 1\n", "version: 2\n", 1))

    done = tocsin("policy", "publish", str(file), "--effective-from", "2025-06-30T23:00:00Z")

    assert done["partitions"] == [0, 1]
    assert [entry["version"] for entry in tocsin("policy", "show")] == [1, 2]


def test_followed_warnings_are_printed_as_they_come_and_go_live_marks_them(desk: Desk) -> None:
    environ = {**desk.deployment.environ, "PYTHONUNBUFFERED": "1"}
    follow = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tocsin.agents.commands.cli",
            "warnings",
            "--follow",
            "--live",
            "--json",
        ],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follow.stdout is not None
    assert follow.stderr is not None
    try:
        assert "waiting" in follow.stderr.readline()
        assert run_command(["go-live"]) == Exit.OK
        invoice = InvoiceIssued(
            "C000009", "BIG-1", desk.later(), desk.last_instant // DAY_MS - 80, 10**10, "EUR"
        )
        desk.send(Fact(desk.last_instant, INVOICES.topic_id, invoice))

        seen: list[dict[str, Any]] = []
        while not any(w["customer_id"] == "C000009" and w["transition"] == "RAISED" for w in seen):
            seen.append(json.loads(follow.stdout.readline()))
    finally:
        follow.kill()
        follow.communicate()

    assert {warning["phase"] for warning in seen} == {"LIVE"}
    assert "DIGEST" in {warning["transition"] for warning in seen}


def test_reset_needs_the_worker_stopped_and_then_everything_is_decided_again(
    desk: Desk, tocsin: Run
) -> None:
    desk.until_audited()
    before = {warning.warning_id for warning in all_warnings(desk)}
    assert "running" in tocsin("reset", "--yes", code=Exit.CONFIGURATION)
    assert desk.worker.stop() == 0
    assert desk.audit.stop() == 0

    tocsin("reset", "--yes")

    assert all_warnings(desk) == []
    desk.worker.start()
    desk.audit.start()
    desk.until_audited()
    # Read from the start, the end of the drained storm comes last: what it lets be judged again is
    # looked at with the next record, and this one does nothing else.
    tocsin("go-live")
    desk.until_audited()
    assert {warning.warning_id for warning in all_warnings(desk)} == before
