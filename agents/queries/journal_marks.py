"""Where the journal stood when a paper was made: a record of it and its hash, to be checked later.

The journal is a chain: whoever holds the hash of one record can find a later change of any before.
"""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_positions
from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import JOURNAL

_FORM: Final = re.compile(rf"{JOURNAL.name}/(\d{{1,9}})/(\d{{1,18}}):([0-9a-f]{{64}})")


class JournalMark(Struct, frozen=True):
    """A record of the journal: where it is, and the SHA-256 of its value in hexadecimal digits."""

    partition: int
    offset: int
    hash: str

    def __str__(self) -> str:
        return f"{JOURNAL.name}/{self.partition}/{self.offset}:{self.hash}"


def latest_mark(settings: Settings, lookup: Lookup, customer_id: str) -> JournalMark | None:
    """The last record of a customer's journal that the history has; None before the first."""
    partition = partition_of(customer_id.encode(), settings.partitions)
    found = lookup.journal_hash(partition)
    return None if found is None else JournalMark(partition, *found)


def read_mark(text: str) -> JournalMark:
    """The mark that stands on a paper. Raises InputError for what is none."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"{text!r} is no mark of the journal",
            mend=f"copy it whole from the paper: {JOURNAL.name}/PARTITION/OFFSET:SHA-256",
        )
    return JournalMark(int(found[1]), int(found[2]), found[3])


def is_kept(settings: Settings, mark: JournalMark) -> bool:
    """Whether the journal's topic has that record with that hash still."""
    place = (settings.topic(JOURNAL), mark.partition, mark.offset)
    record = asyncio.run(read_positions(settings, [place])).get(place)
    return record is not None and sha256(record.value or b"").hexdigest() == mark.hash
