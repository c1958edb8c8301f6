"""Events that a user gives as files of JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tocsin.agents.errors import InputError
from tocsin.agents.settings import Settings
from tocsin.agents.wire import convention_of
from tocsin.schemas import jsonlines
from tocsin.schemas.jsonlines import Fact, LinesError
from tocsin.streams.events import DayClosed


def read_facts(
    settings: Settings, paths: Iterable[Path], *, is_closing: bool = True
) -> Iterator[Fact]:
    """Events of files, with the closing of every day, so that all partitions close it.

    Where another closes days (not `is_closing`), none is added, and those in the files are left
    out. Raises InputError that tells every line that is no event, before any is yielded.
    """
    convention = convention_of(settings)
    try:
        facts = jsonlines.read(paths, convention)
        if is_closing:
            return jsonlines.with_closings(facts, convention)
        return (fact for fact in facts if not isinstance(fact.event, DayClosed))
    except LinesError as error:
        raise InputError(f"the events cannot be taken:\n{error}") from error
