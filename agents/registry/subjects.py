"""What the topics need in a schema registry: their schemas, under a level that protects history.

Topics are read from their beginning for ever, so a new version must read all that came before it:
`BACKWARD_TRANSITIVE`, or the stricter `FULL_TRANSITIVE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tocsin.agents.registry.client import HttpRegistry, open_http_registry
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.channels import registered, subject_of
from tocsin.schemas.contracts.catalog import OWN_SCHEMAS, Topic
from tocsin.schemas.contracts.registry import RegistryError, packaged_schema

LEVEL: Final = "BACKWARD_TRANSITIVE"
LEVELS: Final = frozenset({LEVEL, "FULL_TRANSITIVE"})


class SubjectProblem(Struct, frozen=True):
    """A subject that the product cannot work with, and how to mend it."""

    subject: str
    what: str
    mend: str


def check_subjects(settings: Settings) -> list[SubjectProblem]:
    """What is wrong with the subjects in the registry that the settings name.

    A registry that is away is no problem while all schemas are remembered; else UnavailableError.
    """
    registry = open_http_registry(settings)
    try:
        return list(_problems(registry, settings))
    except UnavailableError:
        if not registry.remembers(map(subject_of, OWN_SCHEMAS)):
            raise
        return []


def apply_subjects(settings: Settings, *, fix: bool = False) -> tuple[str, ...]:
    """Register what is missing and set the level where none is set; returns what was changed.

    `fix` also sets a level that is too weak. Raises ConfigurationError where the registry finds a
    schema incompatible with what it has, UnavailableError.
    """
    registry = open_http_registry(settings)
    changed = []
    for topic in OWN_SCHEMAS:
        subject = subject_of(topic)
        is_new = not registry.by_subject(subject)
        is_lacking = is_new or not _is_registered(registry, topic)
        if is_lacking:
            registry.register(subject, packaged_schema(topic.name))
        level = registry.level(subject)
        # Some registries tell of a new subject the level that holds for all, as if it were its own.
        is_set = level is None or ((is_new or fix) and level not in LEVELS)
        if is_set:
            registry.set_level(subject, LEVEL)
        if is_lacking or is_set:
            changed.append(settings.topic_prefix + subject)
    return tuple(changed)


def _problems(registry: HttpRegistry, settings: Settings) -> Iterator[SubjectProblem]:
    for topic in OWN_SCHEMAS:
        name = settings.topic_prefix + subject_of(topic)
        if not _is_registered(registry, topic):
            what = "is not in the schema registry in the version that this tocsin writes"
            yield SubjectProblem(name, what, "register it: tocsin topics apply")
            continue
        level = registry.level(subject_of(topic))
        if level is None:
            what = "has no compatibility level of its own in the schema registry"
            yield SubjectProblem(name, what, f"set {LEVEL}: tocsin topics apply")
        elif level not in LEVELS:
            what = f"has compatibility level {level} in the schema registry"
            yield SubjectProblem(name, what, f"needs {LEVEL}: tocsin topics apply --fix")


def _is_registered(registry: HttpRegistry, topic: Topic) -> bool:
    try:
        registered(topic, registry)
    except RegistryError:
        return False
    return True
