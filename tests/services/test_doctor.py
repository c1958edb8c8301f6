"""`tocsin doctor` against broken set-ups: each is named, with how to mend it.

Brokers, engine and registry are real, and so are the faults, but for four: an old ClickHouse, its
full disk and its bound profile are told by an endpoint that alters statements on their way to the
real one; for a full disk of ours the answer of the operating system is replaced; and for skewed
clocks it is our own that is put wrong.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests import journals
from tests.services.altering import altering
from tests.services.secured import PASSWORDS, SecuredKafka, grant
from tocsin.agents.clickhouse.client import connect as connect_clickhouse
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.clickhouse.views import VERSION, packaged_views, replace_views
from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.topics import apply
from tocsin.agents.doctor.doctor import examine
from tocsin.agents.doctor.findings import Finding, Health
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.embedded.registry import EmbeddedRegistry
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.kafka.acls import WRITE, needs
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.rights import lacking
from tocsin.agents.registry.client import open_http_registry
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.codec.channels import subject_of
from tocsin.schemas.contracts.catalog import INVOICES, JOURNAL, PAYMENTS, POLICIES, WARNINGS, Topic

NAME = "patient"
TEN_MINUTES_MS = 600_000


@pytest.fixture(scope="module")
def given(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Settings of a sound deployment: topics, policies and tables are there."""
    found: dict[str, Any] = {
        "bootstrap_servers": broker.bootstrap_servers,
        "clickhouse_url": f"{engine.url}/{NAME}",
        "clickhouse_user": WRITER,
        "clickhouse_password": engine.token,
        "data_dir": str(tmp_path_factory.mktemp(NAME)),
        "app_id": NAME,
        "topic_prefix": f"{NAME}.",
        "partitions": 2,
        "clock": "feed",
    }
    clickhouse = connect_clickhouse(engine.url, user=WRITER, password=engine.token)
    clickhouse.command(f"CREATE DATABASE {NAME}")
    clickhouse.close()
    settings = load(found, discover=False)
    asyncio.run(apply(settings))
    tables = connect_clickhouse(settings.clickhouse_url, user=WRITER, password=engine.token)
    migrate(tables)
    tables.close()
    return found


@pytest.fixture
def sound(given: dict[str, Any]) -> Settings:
    return load(given, discover=False)


def ill(given: dict[str, Any], **more: Any) -> Settings:
    """The sound deployment's settings with something wrong in them."""
    return load({**given, **more}, discover=False)


def diagnosed(found: list[Finding], about: str, what: str, mend: str) -> None:
    """Assert that a thing is named as not fine, with its remedy, and that each fault has one."""
    assert all(finding.mend for finding in found if finding.health is not Health.FINE), found
    assert any(
        finding.health is not Health.FINE
        and (finding.about, what in finding.what, mend in finding.mend) == (about, True, True)
        for finding in found
    ), "\n".join(map(str, found))


@asynccontextmanager
async def altered(settings: Settings, topic: Topic, **own: str) -> AsyncIterator[None]:
    """A topic's settings other than they must be, for the block."""
    name = settings.topic(topic)
    given = {key.replace("_", "."): value for key, value in own.items()}
    async with connect(settings) as brokers:
        before = (await brokers.topic_settings([name]))[name]
        await brokers.set_topic(name, given)
    yield
    async with connect(settings) as brokers:
        await brokers.set_topic(name, {key: before[key].value for key in given})


async def test_of_a_sound_deployment_only_worker_and_audit_are_missed(sound: Settings) -> None:
    found = {finding.about: finding for finding in await examine(sound)}

    assert {about for about, finding in found.items() if finding.health is not Health.FINE} == {
        "worker",
        "journal",
        "audit",
    }
    assert "Kafka 3.8 or newer" in found["Kafka"].what
    assert found["Kafka's clock"].what == found["ClickHouse's clock"].what == "agrees with ours"
    assert found["worker"].mend == "start one: tocsin worker"
    assert "may work as admin, worker, audit" in found["rights"].what


async def test_a_partition_count_that_differs(given: dict[str, Any]) -> None:
    found = await examine(ill(given, partitions=3))

    diagnosed(found, "topics", "has 2 partitions, the settings say 3", "TOCSIN_PARTITIONS=2")


@pytest.mark.parametrize(
    ("topic", "own", "what"),
    [
        (INVOICES, {"retention_ms": "604800000"}, "has retention.ms=604800000"),
        (WARNINGS, {"cleanup_policy": "compact"}, "has cleanup.policy=compact"),
        (
            PAYMENTS,
            {"message_timestamp_type": "LogAppendTime"},
            "has message.timestamp.type=LogAppendTime",
        ),
    ],
    ids=["records that are deleted", "warnings that are compacted", "a broker's own times"],
)
async def test_settings_of_topics_that_lose_or_disorder_records(
    sound: Settings, topic: Topic, own: dict[str, str], what: str
) -> None:
    async with altered(sound, topic, **own):
        found = await examine(sound)

    diagnosed(found, "topics", f"{sound.topic(topic)}: {what}", "tocsin topics apply --fix")


async def test_a_topic_that_is_missing_and_one_without_a_policy(given: dict[str, Any]) -> None:
    settings = ill(given, topic_prefix="unwell.", app_id="unwell")
    await apply(settings)
    async with connect(settings) as brokers:
        await brokers.delete([settings.topic(POLICIES)])
    diagnosed(await examine(settings), "topics", "does not exist", "tocsin topics apply")
    async with connect(settings) as brokers:
        own = {"retention.ms": "-1", "retention.bytes": "-1"}
        await brokers.create(settings.topic(POLICIES), 2, 1, own)

    found = await examine(settings)

    diagnosed(found, "topics", "holds no policy in partition 0, 1", "tocsin topics apply, or")


async def test_a_right_that_is_missing(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    settings = load(
        {
            "bootstrap_servers": secured_kafka.address("SASL_SSL"),
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(secured_kafka.authority.cafile),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "audit",
            "sasl_password": PASSWORDS["audit"],
            "data_dir": str(tmp_path),
            "app_id": "bound",
            "topic_prefix": "bound.",
            "partitions": 2,
        },
        discover=False,
    )
    owner = load(
        {
            "bootstrap_servers": secured_kafka.bootstrap_servers,
            "app_id": "bound",
            "topic_prefix": "bound.",
            "partitions": 2,
        },
        discover=False,
    )
    await apply(owner)
    lacked = f"topic {settings.topic(WARNINGS)}"
    rights = [
        need
        for need in needs("worker", settings)
        if not (need.name == settings.topic(WARNINGS) and WRITE in need.operations)
    ]
    await asyncio.to_thread(grant, secured_kafka, "audit", rights)

    for _ in range(300):
        if len(await lacking(settings, "worker")) == 1:
            break
        await asyncio.sleep(0.1)  # rights take a moment to be in force

    found = await examine(settings, "worker")

    diagnosed(found, "rights", f"user audit lacks, to work as worker: Write on {lacked}", "docs/")
    assert "canary" not in str(found)


async def test_brokers_that_are_not_there_speak_otherwise_or_refuse_the_login(
    given: dict[str, Any], secured_kafka: SecuredKafka
) -> None:
    away = ill(given, bootstrap_servers=f"127.0.0.1:{free_port()}")
    diagnosed(await examine(away), "Kafka", "does not answer", "tocsin up")

    plain = ill(given, bootstrap_servers=secured_kafka.address("SASL_SSL"))
    diagnosed(await examine(plain), "Kafka", "speaks TLS, we do not", "security_protocol")

    stranger = ill(
        given,
        bootstrap_servers=secured_kafka.address("SASL_PLAINTEXT"),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="nobody",
        sasl_password="canary-guess",
    )
    found = await examine(stranger)
    diagnosed(found, "Kafka", "refuses the login of user nobody", "check sasl_username")
    assert "canary" not in str(found)


async def test_a_registry_that_lost_its_guard_or_its_memory_or_is_away(
    given: dict[str, Any], registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    settings = ill(given, registry_url=registry.url, data_dir=str(tmp_path / "a"))
    await apply(settings)
    (about,) = [found for found in await examine(settings) if found.about == "subjects"]
    assert about.health is Health.FINE
    client = open_http_registry(settings)
    client.set_level(subject_of(WARNINGS), "NONE")

    found = await examine(settings)

    diagnosed(found, "subjects", "has compatibility level NONE", "tocsin topics apply --fix")
    client.set_level(subject_of(WARNINGS), "BACKWARD_TRANSITIVE")

    (remembered,) = (tmp_path / "a" / "schemas").iterdir()
    lines = json.loads(remembered.read_text())
    for line in lines:
        line["schema_id"] += 1000
    stale = tmp_path / "b" / "schemas" / remembered.name
    stale.parent.mkdir(parents=True)
    stale.write_text(json.dumps(lines))
    found = await examine(ill(given, registry_url=registry.url, data_dir=str(tmp_path / "b")))
    diagnosed(found, "subjects", "it was emptied or replaced", "restore the registry")

    away = f"http://127.0.0.1:{free_port()}"
    found = await examine(ill(given, registry_url=away, data_dir=str(tmp_path / "c")))
    diagnosed(found, "schema registry", f"{away} does not answer", "registry_url is right")
    assert len([finding for finding in found if away in finding.what]) == 1


async def test_a_clickhouse_that_is_not_there_or_refuses_the_login(given: dict[str, Any]) -> None:
    away = ill(given, clickhouse_url=f"http://127.0.0.1:{free_port()}/{NAME}")
    diagnosed(await examine(away), "ClickHouse", "cannot be used", "clickhouse_url is right")

    stranger = ill(given, clickhouse_password="canary-guess")
    found = await examine(stranger)
    diagnosed(found, "ClickHouse", "refuses the login", "check clickhouse_user")
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("old", "new", "about", "what", "mend"),
    [
        ("version()", "'24.3.1.1'", "ClickHouse", "24.3.1.1 is too old", "upgrade the server"),
        (
            "unreserved_space",
            "toUInt64(4096)",
            "ClickHouse's disk",
            "0.0 GiB free at ClickHouse's disk default",
            "make room there",
        ),
        (
            "system.settings WHERE readonly != 0",
            "(SELECT 'async_insert' AS name, '1' AS value) WHERE 1",
            "ClickHouse's settings",
            "bound to async_insert=1",
            "do not fix these in its profile",
        ),
    ],
    ids=["too old", "a full disk", "a bound profile"],
)
async def test_a_clickhouse_that_is_not_fit(
    given: dict[str, Any], engine: EmbeddedEngine, old: str, new: str, about: str, what: str,
    mend: str,
) -> None:  # fmt: skip
    with altering(engine.url, old, new) as url:
        found = await examine(ill(given, clickhouse_url=f"{url}/{NAME}"))

    diagnosed(found, about, what, mend)


async def test_tables_that_were_never_made(given: dict[str, Any], engine: EmbeddedEngine) -> None:
    found = await examine(ill(given, clickhouse_url=f"{engine.url}/default"))

    diagnosed(found, "tables", "not as they should be", "tocsin audit")


async def test_views_of_an_older_version_and_of_a_newer_one(
    given: dict[str, Any], engine: EmbeddedEngine
) -> None:
    clickhouse = connect_clickhouse(engine.url, user=WRITER, password=engine.token)
    clickhouse.command("CREATE DATABASE doctor_views")
    clickhouse.close()
    settings = ill(given, clickhouse_url=f"{engine.url}/doctor_views")
    tables = connect_clickhouse(settings.clickhouse_url, user=WRITER, password=engine.token)
    migrate(tables)
    tables.command("DROP VIEW v_precision")
    older = await examine(settings)
    replace_views(tables, packaged_views(), VERSION + 1)
    newer = await examine(settings)
    tables.close()

    diagnosed(older, "views", "older than this program: 1, the first is v_precision", "migrate")
    diagnosed(newer, "views", "a newer tocsin made them", "use that version")


@pytest.mark.parametrize(
    ("wrong_ms", "says"), [(TEN_MINUTES_MS, "behind ours"), (-TEN_MINUTES_MS, "ahead of ours")]
)
async def test_clocks_that_disagree(sound: Settings, wrong_ms: int, says: str) -> None:
    found = await examine(sound, now_ms=lambda: time.time_ns() // 1_000_000 + wrong_ms)

    diagnosed(found, "Kafka's clock", says, "NTP")
    diagnosed(found, "ClickHouse's clock", says, "NTP")


async def test_a_full_disk(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=4096))

    diagnosed(await examine(sound), "disk", "0.0 GiB free", "--data-dir")


@pytest.fixture
def two_clocks(sound: Settings) -> Iterator[None]:
    """Closings by two sources, the one's among the other's, in the history."""
    url, password = sound.clickhouse_url, sound.clickhouse_password.reveal()
    client = connect_clickhouse(url, user=WRITER, password=password)
    rows = ", ".join(
        f"(1, 0, {offset}, fromUnixTimestamp64Milli({offset + 1}), 'DayClosed', '{source}')"
        for offset, source in enumerate(("system", "feed", "system", "feed"))
    )
    names = "topic_id, partition, offset, timestamp, event_type, source"
    client.command(f"INSERT INTO clock ({names}) VALUES {rows}")
    yield
    client.command("TRUNCATE TABLE clock")
    client.close()


async def test_two_who_close_days(sound: Settings, two_clocks: None) -> None:
    diagnosed(await examine(sound), "clock", "system and feed both close days", "setting clock")


async def test_another_zone_than_was_decided_by_and_a_topic_on_hold(given: dict[str, Any]) -> None:
    settings = ill(given, topic_prefix="moved.", app_id="moved")
    await apply(settings)
    journal = journals.entry(
        sequence=1,
        held=(PAYMENTS.topic_id,),
        business_date=20_000,
        reference_hash=convention_of(settings).reference_hash,
    )
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        value = open_codec(settings).encode_journal(journal)
        await producer.send_and_wait(settings.topic(JOURNAL), value, partition=1)

    found = await examine(settings)
    diagnosed(found, "holds", "payments is held in partition 1", "tocsin dead-letters release")
    assert not [finding for finding in found if finding.about == "convention"]

    found = await examine(ill(given, topic_prefix="moved.", app_id="moved", zone="Asia/Shanghai"))
    diagnosed(found, "convention", "partition 1 was decided under another", "tocsin reset")
