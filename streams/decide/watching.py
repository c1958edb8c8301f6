"""Watching a desk: seeing what it decides by, without changing what it decides.

A backtest installs a watch to sweep thresholds afterwards; a worker has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import CustomerEvent
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.policy.policy import Policy


class Watch(Protocol):
    """What a desk tells of its work, in the order in which it does it. Days are epoch days."""

    def telling(self, policy: Policy) -> Policy:
        """The policy that comes into force, with rules that tell the watch what they read.

        They may ask to be looked at on more days, and decide the same.
        """

    def hear(self, customer_id: str, event: CustomerEvent) -> None:
        """Take note of an event of a customer that is about to be folded."""

    def look(
        self,
        ledger: Ledger,
        met: int,
        affected: int,
        as_of: int,
        said: Sequence[RiskWarning],
        *,
        is_opening: bool = False,
    ) -> None:
        """Look at a decided ledger: the overrides `met`, what was `affected`, what was said.

        `is_opening` says that the day has just begun: rules whose day has come are looked at, too.
        Without it, ALL affected means that every rule was looked at again.
        """

    def open_day(self, day: int) -> None:
        """Take note that a day begins: looks at its opening follow."""

    def turns(self, day: int) -> Iterable[str]:
        """The customers to look at on this day whom the desk had no cause to visit."""

    def pause(self, suspended: frozenset[int], missing: frozenset[int]) -> None:
        """Take note of the topic ids that nothing is judged by now, and of those not complete."""
