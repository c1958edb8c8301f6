"""Topics: make those of the catalog, tell what differs, publish the first policy, name the clock.

What exists is never altered in silence: `check` tells, `apply` refuses or, when asked, mends
settings. A partition count is never changed, since it decides which partition a customer is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.deployment.clock_keeper import DEFAULT, Kept, contradiction, kept
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.control import open_announcer, retrying
from tocsin.agents.deployment.policies import publish_first_policy
from tocsin.agents.kafka import codecs
from tocsin.agents.kafka.brokers import Brokers, TopicSetting, connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.kafka.trouble import RIGHTS_MEND, login
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import LETTER_BYTES_MAX
from tocsin.schemas.contracts.catalog import CLOCK, DEAD_LETTERS, POLICIES, TOPICS, Keeping, Topic
from tocsin.streams.facts.events import DayClosed
from tocsin.streams.facts.sources import BEFORE_ANY_EVENT

KEEPER_PURPOSE = "clock"


class Problem(Struct, frozen=True):
    """What the product cannot work with, in a topic or a registry's subject, and how to mend it."""

    topic: str
    what: str
    mend: str
    own: dict[str, str] = {}  # topic settings that mend it, if settings can

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}; {self.mend}"


class Applied(Struct, frozen=True):
    """What `apply` did."""

    created: tuple[str, ...]
    mended: tuple[str, ...]
    subjects: tuple[str, ...]  # of the schema registry, registered or mended
    policy: str = ""  # name and version of the policy that it published, or empty
    clock: str = ""  # who keeps the clock, if it recorded that


def topic_settings(topic: Topic, replication_factor: int) -> dict[str, str]:
    """The settings that a topic is created with; none is left to a broker's default.

    Retention is by no means the default's seven days: records carry business time, so that a
    back-fill would be deleted within minutes.
    """
    own = {
        "cleanup.policy": topic.keeping.value,
        "message.timestamp.type": "CreateTime",
        "min.insync.replicas": str(_insync(replication_factor)),
    }
    if topic.keeping is Keeping.FOR_EVER:
        own |= {"retention.ms": "-1", "retention.bytes": "-1"}
    if topic is DEAD_LETTERS:
        own["max.message.bytes"] = str(LETTER_BYTES_MAX)
    return own


async def require_topic(settings: Settings, topic: Topic) -> None:
    """Raise ConfigurationError unless a topic exists with the deployment's partitions."""
    async with connect(settings) as brokers:
        count = (await brokers.partitions()).get(settings.topic(topic))
    if count != settings.partitions:
        found = "does not exist" if count is None else f"has {count} partitions"
        mend = "see `tocsin topics check`"
        raise ConfigurationError(f"topic {Problem(settings.topic(topic), found, mend)}")


async def check(settings: Settings) -> list[Problem]:
    """What is wrong with the topics; empty if the product can work."""
    async with connect(settings) as brokers:
        problems = await _check_topics(brokers, settings)
    problems += await _check_subjects(settings)
    if not problems:
        problems = await _check_policy(settings)
    return problems


async def require(settings: Settings) -> None:
    """Raise ConfigurationError, listing every problem, unless the topics are fit for use."""
    problems = await check(settings)
    if problems:
        raise _refusal(problems)


async def apply(settings: Settings, *, fix: bool = False) -> Applied:
    """Create what is missing, publish the packaged policy if there has never been one.

    Also record who keeps the clock. `fix` also sets what differs. Raises ConfigurationError for
    what then remains.
    """
    applied = await create(settings, fix=fix)
    first = await publish_first_policy(settings)
    keeper = await retrying(lambda: _record_keeper(settings))
    policy = f"{first.name} {first.version}" if first else ""
    return replace(applied, policy=policy, clock=keeper)


async def _record_keeper(settings: Settings) -> str:
    """Record who keeps the clock, unless the topics say it; empty if there is no need.

    Asked only after the announcer is open: a second program that does the same overtakes us, or
    finds it there. Raises ConfigurationError if it can't change any more.
    """
    if _is_said(settings, await kept(settings)):
        return ""
    async with open_announcer(settings, KEEPER_PURPOSE) as announcer:
        if _is_said(settings, await kept(settings)):
            return ""
        keeper = settings.clock or DEFAULT
        last = convention_of(settings).business_date(BEFORE_ANY_EVENT) - 1
        await announcer.send_everywhere(CLOCK, DayClosed(last, keeper), BEFORE_ANY_EVENT)
    return keeper


def _is_said(settings: Settings, found: Kept | None) -> bool:
    """Whether the topics say what the setting does, if it says anything."""
    if found is None or settings.clock in (None, found.keeper):
        return found is not None
    if found.is_settled:
        raise contradiction(settings, found)
    return False


async def create(settings: Settings, *, fix: bool = False) -> Applied:
    """Create topics that are missing; schemas go to the registry, if one is used.

    `fix` also sets what differs. Raises ConfigurationError for what then remains.
    """
    async with connect(settings) as brokers:
        await _check_replication(brokers, settings)
        counts = await brokers.partitions()
        problems = _check_counts(counts, settings)
        if problems:
            raise _refusal(problems)
        created = await _create(brokers, settings, counts)
        await brokers.until_known(settings.topic(topic) for topic in TOPICS)
        problems = await _check_settings(brokers, settings)
        mended = tuple(problem.topic for problem in problems) if fix else ()
        for problem in problems if fix else ():
            await brokers.set_topic(problem.topic, problem.own)
        remaining = await _check_topics(brokers, settings)
    subjects = await _apply_subjects(settings, fix=fix)
    remaining += await _check_subjects(settings)
    if remaining:
        raise _refusal(remaining)
    return Applied(created, mended, subjects)


async def _create(
    brokers: Brokers, settings: Settings, counts: Mapping[str, int]
) -> tuple[str, ...]:
    created = []
    for topic in TOPICS:
        name = settings.topic(topic)
        own = topic_settings(topic, settings.replication_factor)
        if name not in counts and await brokers.create(
            name, settings.partitions, settings.replication_factor, own
        ):
            created.append(name)
    return tuple(created)


async def _check_replication(brokers: Brokers, settings: Settings) -> None:
    nodes = await brokers.nodes()
    if settings.replication_factor > nodes:
        raise ConfigurationError(
            f"replication_factor is {settings.replication_factor} but Kafka at "
            f"{settings.bootstrap_servers} has {nodes} broker(s); lower it or add brokers"
        )


async def _check_topics(brokers: Brokers, settings: Settings) -> list[Problem]:
    counts = await brokers.partitions()
    absent = [name for name in map(settings.topic, TOPICS) if name not in counts]
    hidden = await brokers.hidden(absent) if absent else set()
    missing = [
        Problem(name, f"does not exist, or {login(settings)} may not see it", RIGHTS_MEND)
        if name in hidden
        else Problem(name, "does not exist", "create it: tocsin topics apply")
        for name in absent
    ]
    differing = _check_counts(counts, settings)
    return missing + differing + await _check_settings(brokers, settings)


def _check_counts(counts: Mapping[str, int], settings: Settings) -> list[Problem]:
    """Topics that exist with another number of partitions than the settings say."""
    names = [settings.topic(topic) for topic in TOPICS]
    existing = {name: counts[name] for name in names if name in counts}
    if set(existing.values()) <= {settings.partitions}:
        return []
    if len(set(existing.values())) == 1:
        count = next(iter(existing.values()))
        mend = f"set partitions to {count} (TOCSIN_PARTITIONS={count}), or move: tocsin reshard"
    else:
        mend = (
            "all topics need one count, and a topic's count cannot be changed back; give a new "
            "topic_prefix and app_id, run `tocsin topics apply`, and send the events again"
        )
    return [
        Problem(name, f"has {count} partitions, the settings say {settings.partitions}", mend)
        for name, count in existing.items()
        if count != settings.partitions
    ]


async def _check_settings(brokers: Brokers, settings: Settings) -> list[Problem]:
    counts = await brokers.partitions()
    topics = [topic for topic in TOPICS if settings.topic(topic) in counts]
    in_force = await brokers.topic_settings(settings.topic(topic) for topic in topics)
    problems = []
    for topic in topics:
        name = settings.topic(topic)
        wrong = dict(_differences(topic, settings, in_force[name]))
        if wrong:
            found = ", ".join(f"{key}={in_force[name][key].value}" for key in wrong)
            wanted = ", ".join(f"{key}={value}" for key, value in wrong.items())
            mend = f"needs {wanted}: tocsin topics apply --fix"
            problems.append(Problem(name, f"has {found}", mend, wrong))
        compression = in_force[name]["compression.type"].value
        if not codecs.is_readable(compression):
            what = f"has compression.type={compression}: {' and '.join(codecs.lacking())} "
            problems.append(Problem(name, f"{what}can't be read here", codecs.MEND))
    return problems


def _differences(
    topic: Topic, settings: Settings, in_force: Mapping[str, TopicSetting]
) -> Iterable[tuple[str, str]]:
    for key, wanted in topic_settings(topic, settings.replication_factor).items():
        found = in_force[key].value
        if key == "min.insync.replicas":
            if int(found) < int(wanted):  # more copies than needed are the owner's choice
                yield key, wanted
        elif found != wanted:
            yield key, wanted


async def _check_subjects(settings: Settings) -> list[Problem]:
    if not settings.registry_url:
        return []
    from tocsin.agents.registry.subjects import check_subjects

    found = await asyncio.to_thread(check_subjects, settings)
    return [Problem(problem.subject, problem.what, problem.mend) for problem in found]


async def _apply_subjects(settings: Settings, *, fix: bool) -> tuple[str, ...]:
    if not settings.registry_url:
        return ()
    from tocsin.agents.registry.subjects import apply_subjects

    return await asyncio.to_thread(apply_subjects, settings, fix=fix)


async def _check_policy(settings: Settings) -> list[Problem]:
    name = settings.topic(POLICIES)
    having = {record.partition for record in await read_topic(settings, name)}
    lacking = sorted(set(range(settings.partitions)) - having)
    if not lacking:
        return []
    listed = ", ".join(map(str, lacking))
    mend = "publish one: tocsin topics apply, or tocsin policy publish FILE"
    return [Problem(name, f"holds no policy in partition {listed}", mend)]


def _insync(replication_factor: int) -> int:
    """Copies that must be written before a record counts: all but one, at least one."""
    return max(1, replication_factor - 1)


def _refusal(problems: list[Problem]) -> ConfigurationError:
    if len(problems) == 1:
        return ConfigurationError(f"topic {problems[0]}")
    return ConfigurationError("topics:" + "".join(f"\n  - {problem}" for problem in problems))
