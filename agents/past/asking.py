"""Ask of the past: the partitions that matter are decided again, all cores at once, and asked.

The answer is that of the same question at that moment, since it is the same code over the same
tables, filled with what the worker held.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Final, TypeVar

from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.past.cut import Cut, cut
from tocsin.agents.past.database import database_of
from tocsin.agents.privacy.encryption import opening
from tocsin.agents.queries.lookup import Lookup, history
from tocsin.agents.replay.replay import ClickHouseLog
from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.formats import instant as told
from tocsin.agents.settings.settings import Settings

T = TypeVar("T")
MEND: Final = "`tocsin verify` tells what differs, and where"
_FIRST: Final = "SELECT min(toUnixTimestamp64Milli(timestamp)) FROM journal WHERE is_decoded"


def ask_past(
    settings: Settings, instant: int, question: Callable[[Lookup], T], customer_id: str = ""
) -> T:
    """Ask a question as of an instant (epoch ms); of one customer, by its name in records, or all.

    As of an instant is, in each partition, just before the worker took the first record of a later
    sequence time. The question goes to another process, so it and its answer must be picklable.

    Raises InputError where nothing was known by then, ConfigurationError where it can't be told
    exactly, UnavailableError.
    """
    portable = replace(settings, origins=dict(settings.origins))  # a view of one cannot be sent
    partitions = _partitions(settings, customer_id)
    processes = min(len(os.sched_getaffinity(0)), len(partitions))
    work = partial(cut, portable, instant=instant, customer_id=customer_id)
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            cuts = list(pool.map(work, partitions))
            _require_known(settings, cuts, instant)
            return pool.submit(_answer, portable, cuts, customer_id, question).result()
    except BrokenProcessPool as error:
        raise UnavailableError(
            "a process that decided the past again was ended from outside",
            mend="see that there is memory for it, then try again",
        ) from error


def _partitions(settings: Settings, customer_id: str) -> list[int]:
    if customer_id:
        return [partition_of(customer_id.encode(), settings.partitions)]
    with history(settings) as client:
        found = ClickHouseLog(client).partitions()
    if not found:
        raise ConfigurationError("nothing was decided yet", mend="load some events first")
    return found


def _require_known(settings: Settings, cuts: Sequence[Cut], instant: int) -> None:
    for one in cuts:
        report = one.report
        if report.differing or report.other_logic:
            why = "; ".join(report.differences[:1]) or "another version of the logic decided then"
            raise ConfigurationError(
                f"what was held at {told(instant)} can't be told exactly: deciding again gives "
                f"something else ({why})",
                mend=MEND,
            )
    if not any(one.records for one in cuts):
        with history(settings) as client:
            ((first,),) = client.rows(_FIRST)
        raise InputError(
            f"--as-of: nothing was known at {told(instant)}: the first records were taken at "
            f"{told(first)}",
            mend="name a later moment",
        )


def _answer(
    settings: Settings, cuts: Sequence[Cut], customer_id: str, question: Callable[[Lookup], T]
) -> T:
    guard = opening(settings)
    codec = open_codec(settings, guard)
    server = open_clickhouse(settings, is_reader=True)
    try:
        with database_of(server, open_codec(settings), cuts, customer_id) as client:
            return question(Lookup(client, codec, guard))
    finally:
        server.close()
