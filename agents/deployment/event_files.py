"""Events that a user gives as files of JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact, LinesError


def read_facts(settings: Settings, paths: Iterable[Path]) -> Iterator[Fact]:
    """Events of files, with the closing of every day, so that all partitions close it.

    Raises InputError that tells every line that is no event, before any is yielded.
    """
    convention = convention_of(settings)
    try:
        return jsonlines.with_closings(jsonlines.read(paths, convention), convention)
    except LinesError as error:
        raise InputError(f"the events cannot be taken:\n{error}") from error
