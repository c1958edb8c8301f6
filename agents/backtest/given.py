"""What a user names for a backtest: policies and harms, packaged or in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tocsin.agents.backtest.tracks import Candidate
from tocsin.agents.deployment.policies import first_event, first_event_of
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX
from tocsin.schemas.harms.harm_file import PACKAGED as HARMS
from tocsin.schemas.harms.harm_file import packaged_harm_text, read_harm, read_labels
from tocsin.schemas.policies.policy_file import DEFAULT, packaged_policy_text
from tocsin.schemas.policies.policy_file import PACKAGED as POLICIES
from tocsin.streams.evaluate.harm import Harm

LABEL_BYTES_MAX = 64 << 20
PROBLEMS_SHOWN_MAX = 20
AS_PUBLISHED = "published"


def candidates(
    settings: Settings, names: Sequence[str], *, has_policies: bool = False
) -> list[Candidate]:
    """The policies of names or files. Raises PolicyError, InputError, UnavailableError.

    Of none, the policies among the events, as in `replay`: after the packaged one, unless the
    events have one before anything else (`has_policies`).
    """
    if not names:
        first = None if has_policies else first_event(settings, None)
        return [Candidate(AS_PUBLISHED if has_policies else DEFAULT, first, follows_events=True)]
    found = {name: _candidate(settings, name) for name in names}
    return list(found.values())


def harms(names: Sequence[str]) -> list[Harm]:
    """The harms of names or files; all packaged ones of none. Raises InputError."""
    found: dict[str, Harm] = {}
    for name in names or HARMS:
        harm = _harm(name)
        if harm.name in found:
            raise InputError(f"two harms are named {harm.name}", mend="name them apart: `harm:`")
        found[harm.name] = harm
    return list(found.values())


def _candidate(settings: Settings, name: str) -> Candidate:
    if name in POLICIES:
        text = packaged_policy_text(name)
    else:
        text = read_given(Path(name), POLICY_BYTES_MAX, "--policy")
    return Candidate(name, first_event_of(settings, text, name))


def _harm(name: str) -> Harm:
    if name in HARMS:
        text, where = packaged_harm_text(name), Path(name)
    else:
        where = Path(name)
        text = read_given(where, POLICY_BYTES_MAX, "--harm")
    told, problems = read_harm(text)
    if told is None:
        raise InputError(f"harm {name}:" + "".join(f"\n  - {problem}" for problem in problems))
    labels = None
    if told.labels_file:
        labels = _labels(where.parent / told.labels_file, told.kind)
    return Harm(
        told.name,
        told.label,
        told.judged,
        told.past_due_days,
        told.settled_least,
        told.within_days,
        told.active_days,
        labels,
    )


def _labels(path: Path, kind: str) -> tuple[tuple[str, int], ...]:
    lines = read_given(path, LABEL_BYTES_MAX, "labels").splitlines()
    found, problems = read_labels(lines, kind)
    if problems:
        told = "".join(f"\n  - {problem}" for problem in problems[:PROBLEMS_SHOWN_MAX])
        raise InputError(f"labels {path}:{told}")
    return tuple(found)
