"""Policy files: YAML text to a policy, with every problem at once and the line it stands on."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from tocsin.schemas.files.yaml_files import BrokenYamlError, FileProblem, Reader, read_yaml
from tocsin.schemas.policies.policy_extending import EXTENDS, extended
from tocsin.streams.policy.policy import Policy, canonical, hash_of
from tocsin.streams.policy.reading import build_policy

DEFAULT = "default"
EXAMPLES = ("strict-exporter", "china-sme")
PACKAGED = (DEFAULT, *EXAMPLES)
"""The policies that come with tocsin, by name."""

_WIDTH = 100  # columns of a text that is written out


def default_policy_text() -> str:
    """The packaged default policy, as its author wrote it."""
    return packaged_policy_text(DEFAULT)


def packaged_policy_text(name: str) -> str:
    """A policy that comes with tocsin, as its author wrote it."""
    source = resources.files(__package__).joinpath(f"{name}.yaml")
    return source.read_text(encoding="utf-8")


def read_policy(text: str, horizon_days: int) -> tuple[Policy | None, str, list[FileProblem]]:
    """Parse a policy file into (policy, canonical JSON document, problems).

    With problems there is no policy; the document is then as far as it could be read.
    """
    try:
        plain, reader = read_yaml(text)
    except BrokenYamlError as error:
        return None, "", [error.problem]
    plain = extended(plain, _packaged, PACKAGED, reader.note)
    document = canonical(plain)
    policy, problems = build_policy(plain, horizon_days, hash_of(document))
    found = [
        *reader.problems,
        *(
            FileProblem(reader.line(problem.path), ".".join(problem.path), problem.message)
            for problem in problems
        ),
    ]
    found.sort(key=lambda problem: (problem.line, problem.path, problem.message))
    return (None if found else policy), document, found


def written_out(text: str) -> str:
    """A sound policy's text with what it extends written out, or itself if it extends nothing."""
    plain = _plain(text)
    if not isinstance(plain, dict) or EXTENDS not in plain:
        return text
    whole = yaml.safe_dump(
        extended(plain, _packaged, PACKAGED, Reader().note),
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
    )
    return f"# What this policy was written to extend, {plain[EXTENDS]}, is written out.\n{whole}"


@lru_cache(maxsize=len(PACKAGED))
def _packaged(name: str) -> Any:  # any plain value; nobody may change it
    return extended(_plain(packaged_policy_text(name)), _packaged, PACKAGED, Reader().note)


def _plain(text: str) -> Any:  # any plain value
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return None if root is None else Reader().plain(root, ())
