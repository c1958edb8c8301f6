"""A backtest over topics and over ClickHouse finds what one over the same events finds."""

from __future__ import annotations

from pathlib import Path

from tests.services.deployment import deployed
from tocsin.agents.backtest.figures import BacktestReport, report
from tocsin.agents.backtest.given import candidates, harms
from tocsin.agents.backtest.journalled import run_journalled
from tocsin.agents.backtest.run import Run, run
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine


def told(done: Run) -> BacktestReport:
    return report(done, harms(("L5", "H30")))


async def test_topics_and_clickhouse_give_the_figures_of_the_events(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("backtest", broker, engine, tmp_path) as deployment:
        facts = deployment.portfolio(customers=30, days=300)
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(facts, deployment.settings)
        await deployment.until_decided(worker, audit)
        replayed = await deployment.replayed()
        settings = deployment.settings
        as_published = candidates(settings, (), has_policies=True)

        plain = told(run(facts, deployment.convention, candidates(settings, ())))
        from_topics = told(await run_journalled(settings, as_published, history=False))
        from_history = told(await run_journalled(settings, as_published, history=True))

        (policy,) = from_topics.policies
        assert policy.decision_digest == replayed.decision_digest
        assert plain.policies[0].load.alarms == policy.load.alarms
        assert from_topics.policies == from_history.policies
        assert [h.parts[0].rows > 50 for h in from_topics.harms] == [True, True]
        for one, other, third in zip(
            plain.harms, from_topics.harms, from_history.harms, strict=True
        ):
            assert one.outcomes == other.outcomes == third.outcomes
            for part, same, again in zip(one.parts, other.parts, third.parts, strict=True):
                assert part.references == same.references == again.references
                assert part.policies[0].predictors == same.policies[0].predictors
                assert same.policies == again.policies
        assert worker.stop() == 0
        assert audit.stop() == 0
