"""Engagements entered by hand over a whole deployment, the contact log, and the evidence bundle."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.services.deployment import Deployment, deployed
from tocsin.agents.anchors.papers import beside
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.bundle.archive import packed, unpacked
from tocsin.agents.bundle.contents import contents_of, files_of, record_place
from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CUSTOMERS, INVOICES
from tocsin.schemas.policies.policy_file import default_policy_text
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import CustomerUpdated, InvoiceIssued, SatisfactionReported

WAIT_S = 60.0
DAY_MS = 86_400_000
AT = 1_735_808_400_000  # 2025-01-02T09:00Z
DAY = AT // DAY_MS
OWED_MINOR = 9_000_000
Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("desk")


class Desk:
    """A deployment with one customer that owes much, and what runs over it."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.worker, self.audit = deployment.started("worker"), deployment.started("audit")

    async def load(self) -> None:
        last = AT + 40 * DAY_MS
        facts = [
            Fact(AT, CUSTOMERS.topic_id, CustomerUpdated("C1", AT, "Nordwind")),
            Fact(
                AT,
                INVOICES.topic_id,
                InvoiceIssued("C1", "I1", AT, DAY + 10, OWED_MINOR, "EUR"),
            ),
            Fact(last, 6, SatisfactionReported("C1", "Y1", last, 8)),
        ]
        await produce(with_closings(facts, self.deployment.convention), self.deployment.settings)
        await self.until_audited()

    async def until_audited(self) -> None:
        await self.deployment.until_decided(self.worker, self.audit)
        assert (await reconcile(self.deployment.settings, wait_s=WAIT_S)).is_equal

    def open_warning(self, rule: str) -> RiskWarning:
        warnings = asyncio.run(self.deployment.warnings())
        return next(w for w in reversed(warnings) if w.rule == rule)


@pytest.fixture(scope="module")
def desk(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """One deployment for all tests here; they add to it, and only the last stops the worker."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("log")
        context = deployed("log", broker, engine, folder, partitions=2)
        deployment = runner.run(context.__aenter__())
        for name, value in deployment.environ.items():
            if name.startswith("TOCSIN_"):
                patched.setenv(name, value)
        patched.setenv("TOCSIN_AUTHOR", "Chen Li")
        running = Desk(deployment)
        runner.run(running.load())
        yield running
        runner.run(context.__aexit__(None, None, None))


def test_a_contact_is_sent_taken_and_shown_with_its_place(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"please pay")
    line = ("--channel", "letter", "--outcome", "unanswered", "--step", "reminder")

    told = tocsin("log", "contact", "C1", *line, "--attachment", str(letter))

    event = told["event"]
    assert told["is_taken"]
    assert told["refused"] is None
    assert told["record"].startswith("engagements/")
    assert (event["author"], event["step"]) == ("Chen Li", "REMINDER")
    assert event["attachment_sha256"] == hashlib.sha256(b"please pay").hexdigest()
    assert "recorded_at" not in event


def test_what_is_entered_late_is_recorded_now(desk: Desk, tocsin: Run) -> None:
    line = ("--channel", "phone", "--outcome", "cooperative", "--text", "will pay", "--confirmed")

    told = tocsin("log", "contact", "C1", *line, "--at", "2025-01-20T10:00:00Z")

    assert told["is_taken"]
    assert told["event"]["occurred_at"] == "2025-01-20T10:00:00.000Z"
    assert told["event"]["recorded_at"] > "2025-02-11"


def test_a_warning_that_the_entry_moves_is_shown(desk: Desk, tocsin: Run) -> None:
    line = ("--invoice", "I1", "--amount", "90,000.00 EUR", "--reason", "quality")
    opened = desk.open_warning("overdue-amount")

    told = tocsin("log", "dispute", "C1", *line)

    moved = {(w["rule"], w["transition"]) for w in told["warnings"]}
    assert told["event"]["amount_minor"] == OWED_MINOR
    assert opened.transition != "CLEARED"
    assert ("overdue-amount", "CLEARED") in moved


def test_people_see_what_was_entered(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["C1", "--amount", "1,200.50 EUR", "--due", "2025-03-01"]

    assert run_command(["log", "promise", *line]) == Exit.OK

    out = capsys.readouterr().out
    assert "1,200.50 EUR" in out
    assert "engagements/" in out


def test_where_a_process_stands_after_the_entry_is_told(desk: Desk, tocsin: Run) -> None:
    hold = tocsin("log", "hold", "C1", "--id", "H1", "--reason", "owes")
    release = tocsin("log", "release", "C1", "--id", "H1", "--reason", "talks")
    unbegun = tocsin("log", "promise-withdrawn", "C1", "--id", "never", "--reason", "talks")

    assert (hold["process"], hold["state"]) == ("credit", "HELD")
    assert release["state"] == "RELEASED"
    assert unbegun["state"] == ""


def test_a_warning_is_acknowledged_by_the_beginning_of_its_id(desk: Desk, tocsin: Run) -> None:
    warning = desk.open_warning("overdue-amount")

    told = tocsin("log", "acknowledge", warning.warning_id[:16], "--note", "in talks")

    assert told["event"]["customer_id"] == "C1"
    assert told["event"]["episode_id"] == warning.episode_id


def test_nobody_waits_who_does_not_want_to(desk: Desk, tocsin: Run) -> None:
    told = tocsin(
        "log", "silence", "C1", "--until", "2025-03-01", "--reason", "talks", "--wait", "0"
    )

    assert told["is_taken"] is False


def test_what_is_wrong_is_told_and_not_sent(desk: Desk, tocsin: Run) -> None:
    promise = ("log", "promise", "C1", "--due", "2025-03-01")

    assert "AMOUNT_NOT_POSITIVE" in tocsin(*promise, "--amount", "0 EUR", code=Exit.USAGE)
    assert "like" in tocsin(*promise, "--amount", "5", code=Exit.USAGE)
    hold = ("log", "hold", "C2", "--reason", "owes")
    assert "did you mean one of C1" in tocsin(*hold, code=Exit.USAGE)
    assert "no warning" in tocsin("log", "acknowledge", "zzz", code=Exit.USAGE)


def test_a_wrong_number_of_partitions_is_told_and_nothing_is_sent(desk: Desk, tocsin: Run) -> None:
    line = ("--kind", "other", "--set", "partitions=3")

    assert "has 2 partitions" in tocsin("log", "breach", "C1", *line, code=Exit.CONFIGURATION)


def test_a_customer_without_history_is_entered_on_purpose(desk: Desk, tocsin: Run) -> None:
    told = tocsin("log", "screening", "C2", "--reason", "a new partner", "--new")

    assert told["is_taken"]


def test_the_contact_log_tells_contacts_in_their_order(desk: Desk, tocsin: Run) -> None:
    asyncio.run(desk.until_audited())

    told = tocsin("contacts", "C1")
    later = tocsin("contacts", "C1", "--since", "2025-02-01")

    assert [c["event"]["channel"] for c in told["contacts"]] == ["PHONE", "LETTER"]
    assert told["attempts"] == {"contacts": 2, "unanswered": 1, "unanswered_at_last": 1}
    assert [c["event"]["channel"] for c in later["contacts"]] == ["LETTER"]
    assert run_command(["contacts", "C1"]) == Exit.OK


def test_a_letter_that_was_sent_is_logged_as_a_contact_with_its_hash(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    target = tmp_path / "statement.html"
    line = ("--format", "html", "--out", str(target), "--sender", "Example Ltd", "--sent")

    told = tocsin("letter", "C1", "--kind", "statement", *line)
    asyncio.run(desk.until_audited())
    logged = tocsin("contacts", "C1")["contacts"][-1]["event"]

    assert told["number"] in target.read_text("utf-8")
    assert logged["attachment_sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert (logged["channel"], logged["text"]) == (told["channel"], f"statement {told['number']}")
    assert "RETENTION_TRIED" in tocsin("letter", "C1", "--kind", "offboarding", code=Exit.USAGE)
    assert "no reminder" in tocsin("letter", "C1", "--kind", "reminder", code=Exit.USAGE)
    mark = told["figures"]["journal"]
    assert mark in target.read_text("utf-8")
    assert tocsin("demand", "C1")["journal"] == tocsin("dossier", "C1")["journal"] != mark
    assert tocsin("verify", "--mark", mark)["is_kept"]
    forged = mark[:-1] + ("0" if mark[-1] != "0" else "1")
    assert not tocsin("verify", "--mark", forged, code=Exit.DIFFERENCE)["is_kept"]
    assert "copy it whole" in tocsin("verify", "--mark", mark[:-1], code=Exit.USAGE)


def test_the_dossier_tells_steps_standards_and_what_is_in_the_way(
    desk: Desk, tocsin: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = ("--reason", "owes and disputes")
    told = tocsin("log", "retire", "C1", "--id", "R1", "--step", "proposed", *reason)
    asyncio.run(desk.until_audited())

    found = tocsin("dossier", "C1")

    assert told["state"] == found["state"] == "PROPOSED"
    assert [step["status"] for step in found["steps"]] == ["DONE"] + ["OPEN"] * 7
    assert found["steps"][0]["author"] == "Chen Li"
    assert [dispute["invoice_id"] for dispute in found["disputes"]] == ["I1"]
    assert len(found["blocks"]) == 2
    assert found["attempts"]["contacts"] == 3
    assert found["notice"] is None
    assert "RETENTION_TRIED" in found["notice_withheld"]["zh"]
    assert run_command(["dossier", "C1", "--lang", "zh"]) == Exit.OK
    assert "提出清退" in capsys.readouterr().out
    assert "no customer" in tocsin("dossier", "nobody", code=Exit.USAGE)


def test_a_bundle_is_evidence_that_the_topics_confirm(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    tocsin("log", "silence", "C1", "--until", "2025-03-02", "--reason", "a quiet week")
    edited = tmp_path / "policy.yaml"
    edited.write_text(re.sub(r"(?m)^version: \d+$", "version: 77", default_policy_text()))
    tocsin("policy", "publish", str(edited), "--effective-from", "2025-02-11T10:00:00Z")
    asyncio.run(desk.until_audited())
    first, again, one = tmp_path / "a.zip", tmp_path / "b.zip", tmp_path / "c.zip"
    episode = desk.open_warning("overdue-amount").episode_id

    told = tocsin("bundle", "C1", "--out", str(first))
    tocsin("bundle", "C1", "--out", str(again))
    narrow = tocsin("bundle", "C1", "--out", str(one), "--episode", episode[:20])

    assert first.read_bytes() == again.read_bytes()
    assert told["warnings"] == sum(
        w.customer_id == "C1" for w in asyncio.run(desk.deployment.warnings())
    )
    assert told["policies"] == 2
    assert narrow["episode_id"] == episode
    assert narrow["warnings"] < told["warnings"]
    with zipfile.ZipFile(first) as archive:
        # What was muted and what was changed is in the trail.
        assert b"a quiet week" in archive.read("handling.csv")
        assert b"default 77" in archive.read("policies.csv")
        assert b"please pay" not in first.read_bytes()
    checked = tocsin("bundle", "--verify", str(first))
    assert (checked["is_sound"], checked["compared_with_topics"]) == (True, True)
    assert (checked["journal"], checked["unproven"]) == (told["journal"], [])
    assert tocsin("bundle", "--verify", str(one))["is_sound"]
    assert "no signature" in tocsin("bundle", "--verify", str(one), "--offline")["unproven"][-1]
    key = tocsin("anchor", "key")["fingerprint"]
    assert tocsin("bundle", "C1", "--out", str(one))["signed_by"] == key
    assert tocsin("bundle", "--verify", str(one))["signed_by"] == key
    beside(one).write_bytes(
        beside(one).read_bytes().replace(b'"signature": "', b'"signature": "AA')
    )
    assert not tocsin("bundle", "--verify", str(one), code=Exit.DIFFERENCE)["is_sound"]


def test_a_forged_bundle_is_found_out_by_the_topics_and_never_called_sound(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    path, forged = tmp_path / "a.zip", tmp_path / "forged.zip"
    tocsin("bundle", "C1", "--out", str(path))
    contents = contents_of(unpacked(path.read_bytes()))
    fewer = structs.replace(contents, warnings=contents.warnings[:-1])
    forged.write_bytes(packed(files_of(fewer, desk.deployment.codec)))

    alone = tocsin("bundle", "--verify", str(forged), "--offline")
    found = tocsin("bundle", "--verify", str(forged), code=Exit.DIFFERENCE)

    assert (alone["is_sound"], alone["compared_with_topics"]) == (None, False)
    assert "whether any of them is missing" in alone["unproven"]
    missing = record_place(contents.warnings[-1])
    assert found["problems"] == [f"{missing} is missing: the topic has it"]
    assert found["is_sound"] is False


def test_people_are_told_what_a_check_could_not_prove(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "a.zip")
    assert run_command(["bundle", "C1", "--out", path]) == Exit.OK
    capsys.readouterr()

    assert run_command(["bundle", "--verify", path, "--offline"]) == Exit.OK
    alone = capsys.readouterr().out
    assert run_command(["bundle", "--verify", path]) == Exit.OK
    compared = capsys.readouterr().out

    assert "sound" not in alone
    assert "Only the topics can tell" in alone
    assert "is sound" in compared


def test_a_bundle_is_not_compared_with_topics_that_are_not_there(
    desk: Desk, tocsin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.zip")
    tocsin("bundle", "C1", "--out", path)

    monkeypatch.setenv("TOCSIN_TOPIC_PREFIX", "elsewhere.")
    elsewhere = tocsin("bundle", "--verify", path, code=Exit.CONFIGURATION)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    nowhere = tocsin("bundle", "--verify", path, code=Exit.USAGE)

    assert "there is no topic elsewhere." in elsewhere
    assert "--offline" in nowhere


def test_what_the_worker_refuses_is_told_with_its_code(desk: Desk, tocsin: Run) -> None:
    line = ("--rating", "3", "--at", "2026-04-01T00:00:00Z")

    told = tocsin("log", "satisfaction", "C1", *line, code=Exit.DIFFERENCE)

    assert told["is_taken"]
    assert told["refused"]["code"] == "AHEAD_OF_CLOCK"
    assert told["warnings"] == []


def test_an_entry_that_no_worker_takes_is_told(desk: Desk, tocsin: Run) -> None:
    assert desk.worker.stop() == 0

    told = tocsin("log", "breach", "C1", "--kind", "other", "--wait", "0.5", code=Exit.DIFFERENCE)

    assert told["is_taken"] is False
