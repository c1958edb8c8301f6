"""Ask of the past: the partitions that matter are decided again, all cores at once, and asked.

The answer is that of the same question at that moment, since it is the same code over the same
tables, filled with what the worker held.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import Final, TypeVar

from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.past.cut import Cut, cut
from tocsin.agents.past.database import database_of
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.queries.customer import CreditFile, read_file
from tocsin.agents.queries.lookup import Lookup, PlacedWarning, WarningFilter, open_history
from tocsin.agents.queries.warnings import view_of
from tocsin.agents.queries.worklist import RankedWorklist, read_worklist
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.replay.replay import ClickHouseLog
from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.formats import instant as told
from tocsin.agents.settings.settings import Settings

T = TypeVar("T")
Shown = tuple[list[PlacedWarning], WarningView]
MEND: Final = "`tocsin verify` tells what differs, and where"
_FIRST: Final = """
SELECT min(first) FROM
(
    SELECT min(toUnixTimestamp64Milli(timestamp)) AS first FROM customers HAVING count() > 0
    UNION ALL
    SELECT min(toUnixTimestamp64Milli(timestamp)) FROM invoices HAVING count() > 0
    UNION ALL
    SELECT min(toUnixTimestamp64Milli(timestamp)) FROM payments HAVING count() > 0
    UNION ALL
    SELECT min(toUnixTimestamp64Milli(timestamp)) FROM complaints HAVING count() > 0
    UNION ALL
    SELECT min(toUnixTimestamp64Milli(timestamp)) FROM engagements HAVING count() > 0
)
"""


def past_file(
    settings: Settings, instant: int, lookup: Lookup, customer_id: str, event_limit: int
) -> CreditFile:
    """A customer's credit file as of an instant; see `ask_past`. Raises InputError for a stranger.

    `lookup` knows who is a customer today.
    """
    stored = lookup.customer(customer_id)
    lookup.require_customer(stored)
    question = partial(
        read_file,
        customer_id=customer_id,
        event_limit=event_limit,
        horizon_days=settings.horizon_days,
    )
    return ask_past(settings, instant, question, stored)


def past_warnings(
    settings: Settings, instant: int, wanted: WarningFilter, language: Language = "en"
) -> Shown:
    """The warnings known at an instant, and what is needed to show them; see `ask_past`."""
    question = partial(_warnings, wanted=wanted, language=language)
    return ask_past(settings, instant, question, wanted.customer_id)


def past_worklist(
    settings: Settings, instant: int, budget: int, owner: str | None
) -> RankedWorklist:
    """The worklist as of an instant; see `ask_past`."""
    question = partial(
        read_worklist, horizon_days=settings.horizon_days, budget=budget, owner=owner
    )
    return ask_past(settings, instant, question)


def _warnings(lookup: Lookup, wanted: WarningFilter, language: Language) -> Shown:
    found = lookup.warnings(wanted)
    return found, view_of(lookup, [placed.warning for placed in found], language)


def ask_past(
    settings: Settings, instant: int, question: Callable[[Lookup], T], customer_id: str = ""
) -> T:
    """Ask a question as of an instant (epoch ms); of one customer, by its name in records, or all.

    As of an instant is, in each partition, just before the worker took the first record of a later
    sequence time. The question goes to another process, so it and its answer must be picklable.

    Raises InputError where nothing was known by then, ConfigurationError where it can't be told
    exactly, UnavailableError.
    """
    portable = settings.portable()
    partitions = _partitions(settings, customer_id)
    processes = min(len(os.sched_getaffinity(0)), len(partitions))
    work = partial(cut, portable, instant=instant, customer_id=customer_id)
    try:
        with ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_in_utc
        ) as pool:
            cuts = list(pool.map(work, partitions))
            _require_known(settings, cuts, instant, customer_id)
            return pool.submit(_answer, portable, cuts, customer_id, question).result()
    except BrokenProcessPool as error:
        raise UnavailableError(
            "a process that decided the past again was ended from outside",
            mend="see that there is memory for it, then try again",
        ) from error


def _partitions(settings: Settings, customer_id: str) -> list[int]:
    if customer_id:
        return [partition_of(customer_id.encode(), settings.partitions)]
    with open_history(settings) as client:
        found = ClickHouseLog(client).partitions()
    if not found:
        raise ConfigurationError("nothing was decided yet", mend="load some events first")
    return found


def _in_utc() -> None:
    """Instants read the same on every machine, as in the embedded engine."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def _require_known(settings: Settings, cuts: Sequence[Cut], instant: int, customer_id: str) -> None:
    for one in cuts:
        report = one.report
        if report.differing or report.other_logic:
            why = "; ".join(report.differences[:1]) or "another version of the logic decided then"
            raise ConfigurationError(
                f"what was held at {told(instant)} can't be told exactly: deciding again gives "
                f"something else ({why})",
                mend=MEND,
            )
    if not customer_id and not any(one.business_date for one in cuts):
        with open_history(settings) as client:
            ((first,),) = client.rows(_FIRST)
        raise InputError(
            f"--as-of: nothing was known at {told(instant)}: the first facts are of {told(first)}",
            mend="name a later moment",
        )
    if customer_id and not any(cut.standings[0] for cut in cuts):
        raise InputError(
            f"--as-of: customer {customer_id!r} was not known yet at {told(instant)}",
            mend="name a later moment",
        )


def _answer(
    settings: Settings, cuts: Sequence[Cut], customer_id: str, question: Callable[[Lookup], T]
) -> T:
    guard = open_decrypting_guard(settings)
    codec = open_codec(settings, guard)
    server = open_clickhouse(settings, is_reader=True)
    try:
        with database_of(server, open_codec(settings), cuts, customer_id) as client:
            return question(Lookup(client, codec, guard))
    finally:
        server.close()
