"""The main job on real parts: topic, ClickHouse and replay tell the same, byte for byte."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.services.deployment import Deployment, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.schemas.codec.jsonlines import Fact


async def assert_one_truth(deployment: Deployment, facts: list[Fact]) -> None:
    """Compare the warnings topic, ClickHouse, two replays and a plain run over the events."""
    reconciliation = await reconcile(deployment.settings, wait_s=120.0)
    assert reconciliation.is_equal, [
        entry for entry in reconciliation.differences if not entry.is_none
    ] + [check.problems for check in reconciliation.journals]
    from_topics = await deployment.replayed()
    from_history = await deployment.replayed(from_history=True)
    assert from_topics.differences == []
    assert from_history.digests == from_topics.digests
    warnings = await deployment.warnings()
    assert Counter(w.warning_id for w in warnings) == Counter(from_topics.warning_ids)
    assert len(set(from_topics.warning_ids)) == len(from_topics.warning_ids)
    plain = deployment.plainly_decided(facts)
    assert plain.decision_digest == from_topics.decision_digest
    assert plain.warnings == len(warnings) > 0


@pytest.mark.timeout(1800)
async def test_100_000_events_agree_in_topic_clickhouse_and_replay(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("whole", broker, engine, tmp_path) as deployment:
        facts = deployment.portfolio(customers=900, days=365)
        assert len(facts) >= 100_000
        audit, worker = deployment.started("audit"), deployment.started("worker")

        await produce(facts, deployment.settings)
        await deployment.until_decided(worker, audit)

        await assert_one_truth(deployment, facts)
        assert worker.stop() == 0
        assert audit.stop() == 0
