"""What goes wrong first, looked at in the order in which one thing rests on another.

Each look is a `Finding`: fine, a caution or wrong, with what to do about it. A look that cannot be
taken because of an earlier finding is left out, so that the first thing told is the cause.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable

from tocsin.agents.doctor.findings import (
    Finding,
    Health,
    caution,
    failed,
    fine,
    looked,
    space,
    wrong,
)
from tocsin.agents.doctor.history import look_at_history
from tocsin.agents.doctor.kafka import Clock, look_at_kafka, wall_ms
from tocsin.agents.doctor.keys import look_at_keys
from tocsin.agents.settings.data_folder import discover
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.settings import Settings


async def examine(settings: Settings, role: str = "", now_ms: Clock = wall_ms) -> list[Finding]:
    """Look at everything; never raises for what is wrong with the deployment.

    With a `role` the login must have all of that role's rights at the brokers.
    """
    registry = await looked("schema registry", lambda: asyncio.to_thread(_registry, settings))
    kafka, spans = await look_at_kafka(settings, role, now_ms)
    history = await asyncio.to_thread(look_at_history, settings, spans, now_ms)
    keys = await asyncio.to_thread(look_at_keys, settings)
    return _once([_folder(settings), _disk(settings), *keys, *registry, *kafka, *history])


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Without what an earlier finding told: an outage stops several looks."""
    told: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        is_fine = finding.health is Health.FINE
        about = (finding.about, finding.what) if is_fine else (finding.what, finding.mend)
        told.setdefault(about, finding)
    return list(told.values())


def _folder(settings: Settings) -> Finding:
    """The data folder's note of running services, which a killed run leaves behind."""
    note = settings.data_path / "services.json"
    if not note.exists():
        return fine("embedded services", f"none run over {settings.data_path}")
    if discover(settings.data_path) is not None:
        return fine("embedded services", f"they run over {settings.data_path}")
    what = f"{note} was left by a run that was killed"
    return caution("embedded services", what, "`tocsin up` clears it away")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_path
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    mend = "make room, or give another folder with --data-dir"
    return space("disk", str(folder), free_bytes, mend)


def _registry(settings: Settings) -> list[Finding]:
    """The schema registry: whether it answers, and what its subjects lack."""
    if not settings.registry_url:
        return [fine("schema registry", "none is used; schemas come from a file")]
    from tocsin.agents.registry.client import open_http_registry
    from tocsin.agents.registry.subjects import check_subjects

    count = len(open_http_registry(settings).subjects())
    answers = fine("schema registry", f"{settings.registry_url} answers, with {count} subject(s)")
    try:
        problems = check_subjects(settings)
    except TocsinError as error:
        return [answers, failed("subjects", error)]
    if not problems:
        return [answers, fine("subjects", "each is registered, at a level that protects history")]
    return [
        answers,
        *(wrong("subjects", f"{found.subject} {found.what}", found.mend) for found in problems),
    ]
