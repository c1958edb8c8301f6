"""Who keeps a deployment's clock: recorded once in its topics, and the same for every program."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tocsin.agents.deployment.clock_keeper import Kept, kept, with_clock
from tocsin.agents.deployment.control import open_announcer, present
from tocsin.agents.deployment.topics import apply
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.contracts.catalog import CLOCK, INVOICES
from tocsin.streams.facts.events import DayClosed

DAY_MS = 86_400_000
APRIL = 18_000  # epoch day, 2019-04-14: brokers refuse timestamps of the future
Tocsin = Callable[..., Any]


def settings_for(name: str, broker: EmbeddedKafka, **more: object) -> Settings:
    given = {"app_id": name, "topic_prefix": f"{name}.", "partitions": 2, **more}
    return load({"bootstrap_servers": broker.bootstrap_servers, **given}, discover=False)


async def close(settings: Settings, day: int, source: str) -> None:
    """Close a day as its keeper would."""
    async with open_announcer(settings, "clock") as announcer:
        await announcer.send_everywhere(CLOCK, DayClosed(day, source), (day + 1) * DAY_MS)


def invoice(day: int, number: str, **more: Any) -> dict[str, Any]:
    at = f"{time.strftime('%Y-%m-%d', time.gmtime(day * 86_400))}T09:00:00Z"
    due = time.strftime("%Y-%m-%d", time.gmtime((day + 30) * 86_400))
    return {
        "type": "InvoiceIssued",
        "customer_id": "C1",
        "invoice_id": number,
        "occurred_at": at,
        "due_date": due,
        "amount_minor": 100_00,
        "currency": "EUR",
        **more,
    }


@pytest.fixture
def deployed(
    broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Settings]:
    """Lets the commands of a test work on topics of their own, which `topics apply` makes."""

    def deploy(name: str, **more: object) -> Settings:
        settings = settings_for(name, broker, **more)
        environ = {
            "bootstrap_servers": broker.bootstrap_servers,
            "app_id": name,
            "topic_prefix": f"{name}.",
            "partitions": "2",
            "data_dir": str(tmp_path),
        }
        for key, text in environ.items():
            monkeypatch.setenv(f"TOCSIN_{key.upper()}", text)
        asyncio.run(apply(settings))
        return settings

    return deploy


async def test_apply_records_the_keeper_once_in_every_partition(broker: EmbeddedKafka) -> None:
    silent, feed = settings_for("kept", broker), settings_for("kept", broker, clock="feed")

    first, second, third = await apply(feed), await apply(feed), await apply(silent)

    assert (first.clock, second.clock, third.clock) == ("feed", "", "")
    assert await kept(silent) == Kept("feed", has_closed=False)
    assert (await with_clock(silent)).clock == "feed"
    records = await read_topic(silent, silent.topic(CLOCK))
    assert [(record.partition, record.timestamp) for record in records] == [(0, 0), (1, 0)]


async def test_without_a_word_it_is_the_system(broker: EmbeddedKafka) -> None:
    settings = settings_for("untold", broker)

    assert (await with_clock(settings)).clock == "system"
    assert (await apply(settings)).clock == "system"


async def test_it_changes_until_the_system_has_closed_a_day(broker: EmbeddedKafka) -> None:
    system = settings_for("handed", broker, clock="system")
    feed = settings_for("handed", broker, clock="feed")
    await apply(system)

    assert (await apply(feed)).clock == "feed"
    await close(feed, APRIL, "feed")
    assert (await apply(system)).clock == "system"  # the load is over
    await close(system, APRIL + 1, "system")
    with pytest.raises(ConfigurationError, match="a new topic_prefix and app_id"):
        await apply(feed)

    assert await kept(system) == Kept("system", has_closed=True)


async def test_now_is_the_portfolios_day_where_a_feed_keeps_the_clock(
    broker: EmbeddedKafka,
) -> None:
    fed, current = settings_for("fed", broker), settings_for("current", broker)
    await apply(settings_for("fed", broker, clock="feed"))
    await apply(current)
    wall = time.time_ns() // 1_000_000
    before = await present(fed)

    for settings, source in ((fed, "feed"), (current, "system")):
        await close(settings, APRIL, source)

    assert (before.is_simulated, before.instant >= wall) == (True, True)  # no day has begun
    assert await present(fed) == ((APRIL + 1) * DAY_MS + 1, True)
    assert (await present(current)).instant >= wall


@pytest.mark.parametrize(
    "line",
    [
        ("worker",),
        ("log", "contact", "C1", "--new", "--channel", "phone", "--outcome", "answered"),
        ("go-live",),
        ("produce", "events.jsonl"),
    ],
    ids=lambda line: line[0],
)
def test_a_setting_that_contradicts_the_topics_is_an_error_that_names_both(
    deployed: Callable[..., Settings],
    tocsin: Tocsin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: tuple[str, ...],
) -> None:
    deployed(f"torn-{line[0]}", clock="feed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.jsonl").write_text(json.dumps(invoice(APRIL, "I1")))

    told = tocsin(*line, "--set", "clock=system", code=Exit.CONFIGURATION)

    assert "--set clock says that the clock is system" in told
    assert "the topics say that it is feed" in told
    assert "leave the setting out" in told


def test_produce_closes_days_where_the_topics_say_so_and_tells_what_it_sent(
    deployed: Callable[..., Settings], tocsin: Tocsin, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text("\n".join(json.dumps(invoice(APRIL + 600 * n, f"I{n}")) for n in range(3)))
    feed = deployed("sent-feed", clock="feed")

    sent = tocsin("produce", str(events))

    assert (sent["facts"], sent["closings"], sent["clock"]) == (1203, 1200, "feed")
    records = asyncio.run(read_topic(feed, feed.topic(CLOCK)))
    assert len(records) == (1200 + 1) * 2


def test_produce_sends_nothing_of_which_some_would_be_refused(
    deployed: Callable[..., Settings], tocsin: Tocsin, tmp_path: Path
) -> None:
    gap, bad = tmp_path / "gap.jsonl", tmp_path / "bad.jsonl"
    gap.write_text("\n".join(json.dumps(invoice(APRIL + 600 * n, f"I{n}")) for n in range(3)))
    bad.write_text(json.dumps(invoice(APRIL, "I9", amount_minor=-5)))
    system = deployed("sent-system")

    told = tocsin("produce", str(gap), code=Exit.CONFIGURATION)
    worse = tocsin("produce", str(bad), code=Exit.CONFIGURATION)

    assert "nothing was sent: 2 of 3 events would be refused" in told
    assert "2 as AHEAD_OF_CLOCK, the first: InvoiceIssued I1 of C1 at 2020-12-04" in told
    assert "The clock is system" in told
    assert "1 of 1 events would be refused" in worse
    assert "AMOUNT_NOT_POSITIVE" in worse
    assert asyncio.run(read_topic(system, system.topic(INVOICES))) == []


def test_produce_knows_the_day_that_the_deployment_has_reached(
    deployed: Callable[..., Settings], tocsin: Tocsin, tmp_path: Path
) -> None:
    later = tmp_path / "later.jsonl"
    later.write_text(json.dumps(invoice(APRIL + 600, "I1")))
    feed = deployed("reached", clock="feed")
    asyncio.run(close(feed, APRIL, "feed"))

    told = tocsin("produce", str(later), code=Exit.CONFIGURATION)

    assert "days after the business date 2019-04-14" in told
