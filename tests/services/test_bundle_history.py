"""`tocsin bundle` over a history that the audit is still writing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from aiokafka.structs import TopicPartition

from tests.agents.bundle.partition import CODEC, Partition
from tests.agents.bundle.test_forgeries import CUSTOMER, topics
from tests.services import test_views
from tests.services.deployment import published
from tests.services.test_views import History
from tocsin.agents.audit.blocks import Block, TopicPartitionBuffer
from tocsin.agents.bundle.verdict import Verdict, judge
from tocsin.agents.commands.cli import run_command
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.contracts.catalog import APPEND_ONLY, JOURNAL, POLICIES, WARNINGS

migrated, history = test_views.migrated, test_views.history


class Audit:
    """Brings a partition's topics into the history, each as far as it is told."""

    def __init__(self, history: History, kept: Partition) -> None:
        self._history, self._kept = history, kept
        places = [(topic, TopicPartition(topic.name, 0)) for topic in APPEND_ONLY]
        self._lanes = {topic.name: TopicPartitionBuffer(topic, place, 0) for topic, place in places}
        self._reached = dict.fromkeys(self._lanes, 0)

    def bring(self, share: float, **shares: float) -> None:
        """Go on until this share of each topic is there; `shares` are of topics by their names."""
        for name, lane in self._lanes.items():
            records, first = self._kept.records[name], self._reached[name]
            end = round(len(records) * shares.get(name, share))
            if end > first:
                self._history.write([Block(lane, first, end, records[first:end])])
                self._reached[name] = end


@pytest.fixture
def audit(
    history: History, engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Audit:
    ((name,),) = history.rows("SELECT currentDatabase()")
    published(tmp_path, engine, name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TOCSIN_PARTITIONS", "1")
    return Audit(history, topics())


def made(folder: Path) -> Verdict:
    path = folder / "bundle.zip"
    assert run_command(["bundle", CUSTOMER, "--out", str(path)]) == Exit.OK
    return asyncio.run(judge(path.read_bytes(), CODEC, topics(), 1))


def test_a_bundle_ends_where_the_history_is_whole(audit: Audit, tmp_path: Path) -> None:
    rng, ends = Random(1), []
    for step in range(2, 6):
        shares = {topic.name: (step + rng.random()) / 6 for topic in APPEND_ONLY}
        audit.bring(0, **{**shares, POLICIES.name: 1})
        verdict = made(tmp_path)
        assert verdict.problems == []
        ends.append(verdict.contents.journal.offset)
    audit.bring(1)

    verdict = made(tmp_path)

    assert verdict.is_sound
    assert verdict.contents.journal == topics().journal[-1]
    assert ends == sorted(ends)
    assert ends[-1] < verdict.contents.journal.offset


@pytest.mark.parametrize("late", [WARNINGS.name, "payments"])
def test_what_is_late_is_waited_for_by_all_else(audit: Audit, tmp_path: Path, late: str) -> None:
    audit.bring(1, **{late: 0.5})

    verdict = made(tmp_path)

    assert verdict.problems == []
    assert 0 < verdict.contents.journal.offset < len(topics().journal) * 0.8


def test_where_warnings_need_not_be_kept_they_are_told_by_their_time(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_KEEP_DAYS", "warnings=3650")
    audit.bring(1)

    assert made(tmp_path).is_sound


def test_a_history_without_a_journal_makes_no_bundle(
    audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.bring(1, **{JOURNAL.name: 0})

    code = run_command(["bundle", CUSTOMER, "--out", str(tmp_path / "bundle.zip")])

    assert code == Exit.CONFIGURATION
    assert "has no journal of partition 0 yet" in capsys.readouterr().err
