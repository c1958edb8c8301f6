"""Events that a user gives as files of JSON Lines, also packed by gzip."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact, LinesError
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed

PACKED = ".gz"

UNPACKED_BYTES_MAX = 16 << 30
FREE_BYTES_KEPT = 512 << 20
_PIECE_BYTES = 1 << 20


class EventFiles:
    """Files of events of which every line was looked at; see `open_events`."""

    def __init__(self, checked: jsonlines.Checked, convention: Convention) -> None:
        self._checked = checked
        self._convention = convention

    def facts(self, *, is_closing: bool = True) -> Iterator[Fact]:
        """The events in their order, and the closing of every day, so that all partitions close it.

        Where another closes days (not `is_closing`), none is added, and those in the files are left
        out. Each call reads the files anew.
        """
        facts = self._checked.facts()
        if is_closing:
            return jsonlines.with_closings(facts, self._convention)
        return (fact for fact in facts if not isinstance(fact.event, DayClosed))


@contextmanager
def open_events(settings: Settings, paths: Iterable[Path]) -> Iterator[EventFiles]:
    """Look at every line of files, once, and have them for reading; unpacked ones go at the end.

    Raises InputError that tells every line that is no event.
    """
    convention = convention_of(settings)
    with ExitStack() as stack:
        given = {_unpacked(path, stack): path for path in paths}
        try:
            checked = jsonlines.checked(given, convention)
        except LinesError as error:
            told = str(error)
            for file, path in given.items():
                told = told.replace(str(file), str(path))
            raise InputError(f"the events cannot be taken:\n{told}") from error
        yield EventFiles(checked, convention)


def _unpacked(path: Path, stack: ExitStack) -> Path:
    """A file that can be read at any place: the given one, or what it is the packed form of."""
    if path.suffix != PACKED:
        return path
    folder = stack.enter_context(TemporaryDirectory(prefix="tocsin-events-"))
    target = Path(folder) / path.stem
    try:
        with gzip.open(path) as packed, target.open("wb") as file:
            _unpack(path, packed, file)
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is no whole gzip file: {error}", mend="pack it anew") from error
    return target


def _unpack(path: Path, packed: gzip.GzipFile, file: IO[bytes]) -> None:
    """Write what is packed, as long as it is not too much: a small file may hold any amount."""
    room = min(UNPACKED_BYTES_MAX, shutil.disk_usage(file.name).free - FREE_BYTES_KEPT)
    while piece := packed.read(_PIECE_BYTES):
        room -= len(piece)
        if room < 0:
            raise InputError(
                f"{path} holds more than fits beside {FREE_BYTES_KEPT >> 20} MiB left free for "
                f"temporary files, or more than {UNPACKED_BYTES_MAX >> 30} GiB",
                mend="unpack it where there is room, and give the plain file",
            )
        file.write(piece)
