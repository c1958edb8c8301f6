"""How the console asks ClickHouse: a few connections, each question within its time.

Questions block, so each runs in a thread of its own; who finds no free connection waits, but no
longer than a question may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final, TypeVar

from tocsin.agents.queries.lookup import Lookup, open_lookup
from tocsin.agents.settings.errors import ClickHouseRefusedError, UnavailableError
from tocsin.agents.settings.settings import Settings

CONNECTIONS: Final = 4
ANSWER_WITHIN_S: Final = 20
T = TypeVar("T")


class HistoryPool:
    """The history, for many at once. `answer_within_s` bounds each question, waiting included."""

    def __init__(self, settings: Settings, answer_within_s: int = ANSWER_WITHIN_S) -> None:
        self._settings = settings
        self._within_s = answer_within_s
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="web")
        self._idle: list[tuple[ExitStack, Lookup]] = []

    async def ask(self, question: Callable[[Lookup], T]) -> T:
        """Ask and return the answer. Raises UnavailableError if it does not come in time."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, question)
        try:
            return await asyncio.wait_for(work, self._within_s)
        except TimeoutError as error:
            raise UnavailableError(
                f"ClickHouse has not answered within {self._within_s} s", mend="try again later"
            ) from error

    def close(self) -> None:
        """Close the connections; a question that is being asked is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop()[0].close()

    def _ask(self, question: Callable[[Lookup], T]) -> T:
        stack, lookup = self._idle.pop() if self._idle else self._connect()
        try:
            answer = question(lookup)
        except (UnavailableError, ClickHouseRefusedError):
            stack.close()  # the next one tries a new connection
            raise
        except BaseException:
            self._idle.append((stack, lookup))
            raise
        self._idle.append((stack, lookup))
        return answer

    def _connect(self) -> tuple[ExitStack, Lookup]:
        stack = ExitStack()
        return stack, stack.enter_context(open_lookup(self._settings, self._within_s))
