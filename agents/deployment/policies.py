"""Policies of a deployment: what was published, and how one is published.

The policies topic is the authority: append-only, one copy of each version in every partition,
written in one transaction and stamped with the instant from which it is in force.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from msgspec import Struct

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.control import open_announcer, retrying
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy, written_out
from tocsin.streams.facts.events import PolicyPublished
from tocsin.streams.facts.sources import BEFORE_ANY_EVENT
from tocsin.streams.policy.policy import Policy, hash_of

PURPOSE = "policies"


class PolicyError(InputError):
    """A policy text has problems; they are listed with their lines."""


class Published(Struct, frozen=True):
    """A policy version on the topic. `hash` is SHA-256 of its document, `effective_from` epoch ms.

    `partitions` are those that hold a copy.
    """

    name: str
    version: int
    hash: str
    effective_from: int
    partitions: tuple[int, ...]
    document: str
    source: str


def checked(text: str, where: str, horizon_days: int) -> tuple[Policy, str]:
    """The policy of a text and its canonical document. Raises PolicyError with all problems."""
    policy, document, problems = read_policy(text, horizon_days)
    if policy is None:
        raise PolicyError(f"policy {where}:" + "".join(f"\n  - {line}" for line in problems))
    return policy, document


def candidate_of(settings: Settings) -> Policy | None:
    """The policy of the setting `shadow_policy`; None if it is empty. Raises PolicyError."""
    if not settings.shadow_policy:
        return None
    text = read_given(Path(settings.shadow_policy), POLICY_BYTES_MAX, "shadow_policy")
    policy, _ = checked(text, settings.shadow_policy, settings.horizon_days)
    return policy


def clause(source: str, rule: str) -> list[tuple[int, str]]:
    """The numbered lines of a rule in a policy's source, and of the overrides that name it.

    None if the rule cannot be found there.
    """
    try:
        root = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return []
    sections = [_entry(root, name) for name in ("rules", "sources")]
    clauses = [_entry(section[1], rule) for section in sections if section]
    found = next((clause for clause in clauses if clause), None)
    if found is None:
        return []
    numbered = _lines(source, *found)
    overrides = _entry(root, "overrides")
    for entry in overrides[1].value if overrides else ():
        changed = _entry(entry, "rules")
        if changed and _entry(changed[1], rule):
            numbered += _lines(source, entry, entry)
    return numbered


def _lines(source: str, first: yaml.Node, last: yaml.Node) -> list[tuple[int, str]]:
    start, end, column = first.start_mark.line, last.end_mark.line, last.end_mark.column
    lines = source.splitlines()
    # A block ends where the next one begins, what is in braces within its last line.
    if end < len(lines) and lines[end][:column].strip():
        end += 1
    lines = lines[start:end]
    while lines and not lines[-1].strip():
        lines.pop()
    return [(start + 1 + index, line) for index, line in enumerate(lines)]


async def published(settings: Settings) -> list[Published]:
    """Policy versions in the order in which they were published."""
    codec = open_codec(settings)
    found: dict[str, Published] = {}
    for record in await read_topic(settings, settings.topic(POLICIES)):
        event = codec.decode(POLICIES.topic_id, record.value)
        if not isinstance(event, PolicyPublished):
            continue
        key = hash_of(event.document)
        before = found[key].partitions if key in found else ()
        found[key] = Published(
            event.name,
            event.version,
            key,
            event.effective_from,
            tuple(sorted({*before, record.partition})),
            event.document,
            event.source,
        )
    return list(found.values())


async def publish(settings: Settings, text: str, where: str, effective_from: int) -> Published:
    """Check a policy and write it to every partition.

    Raises PolicyError for its problems, ConfigurationError if its version was published with other
    content, or if it is there already.
    """
    policy, document = checked(text, where, settings.horizon_days)
    async with open_announcer(settings, PURPOSE) as announcer:
        for other in await published(settings):
            if (other.name, other.version) == (policy.name, policy.version):
                is_same = other.hash == hash_of(document)
                what = "is published already" if is_same else "was published with other content"
                raise ConfigurationError(
                    f"policy {policy.name} version {policy.version} {what}",
                    mend=f"raise its version in {where} if it changed",
                )
        event = _event(policy, document, text, effective_from)
        await announcer.send_everywhere(POLICIES, event, effective_from)
    return _published(event, settings)


async def publish_first_policy(settings: Settings) -> Published | None:
    """Publish the packaged policy unless there has ever been one; None if there has.

    It is in force from 1970 on, so that it precedes any history. Asked only after the announcer is
    open: a second program that does the same overtakes us, or finds it there.
    """
    return await retrying(lambda: _publish_first(settings))


async def _publish_first(settings: Settings) -> Published | None:
    async with open_announcer(settings, PURPOSE) as announcer:
        if await read_topic(settings, settings.topic(POLICIES)):
            return None
        event = first_event(settings, None)
        await announcer.send_everywhere(POLICIES, event, BEFORE_ANY_EVENT)
    return _published(event, settings)


def first_event(settings: Settings, path: Path | None) -> PolicyPublished:
    """The record that puts a policy file, or the packaged policy, in force before any event.

    Raises PolicyError for its problems, InputError, UnavailableError.
    """
    text = default_policy_text() if path is None else read_given(path, POLICY_BYTES_MAX, "policy")
    where = "packaged with tocsin" if path is None else str(path)
    return first_event_of(settings, text, where)


def first_event_of(settings: Settings, text: str, where: str) -> PolicyPublished:
    """The record that puts a policy's text in force before any event. Raises PolicyError."""
    policy, document = checked(text, where, settings.horizon_days)
    return _event(policy, document, text, BEFORE_ANY_EVENT)


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of a mapping's entry."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _event(policy: Policy, document: str, text: str, effective_from: int) -> PolicyPublished:
    return PolicyPublished(
        name=policy.name,
        version=policy.version,
        effective_from=effective_from,
        document=document,
        source=written_out(text),
    )


def _published(event: PolicyPublished, settings: Settings) -> Published:
    return Published(
        event.name,
        event.version,
        hash_of(event.document),
        event.effective_from,
        tuple(range(settings.partitions)),
        event.document,
        event.source,
    )
