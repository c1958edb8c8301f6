"""The worklist: who is worth the next call, by money at stake and severity, within a budget.

Who is left over is told with the reason, so that nothing is lost: the order is the same the next
time, and whoever was dealt with makes room for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tocsin.agents.settings.formats import money
from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.facts.money import weigh
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.collection_texts import FRIENDLY_NOTICE, STEP_WORDS

OVER_BUDGET, NOT_YET, BLOCKED = "OVER_BUDGET", "NOT_YET", "BLOCKED"


class Candidate(Struct, frozen=True):
    """A customer with something to do, or to wait for.

    `step` is one of the ladder, or empty where only a warning of `rule` says what to do. `due_on`
    is an epoch day; `severity` 0 (no open warning) to 4; `stake_minor` is past due, or else owed,
    and then `other_stakes` are what is owed in further currencies.
    """

    customer_id: str
    step: str
    action: Text
    due_on: int
    why: str
    stake_minor: int
    currency: str
    severity: int
    invoice_id: str = ""
    rule: str = ""
    is_blocked: bool = False
    blocked_until: int | None = None
    other_stakes: tuple[Exposure, ...] = ()

    @property
    def stakes(self) -> tuple[Exposure, ...]:
        """Money at stake in each currency."""
        return (Exposure(self.currency, self.stake_minor), *self.other_stakes)

    def rank(self, floors: Mapping[str, int], usual: str) -> tuple[int, int, str]:
        """Sorts by stake times severity; amounts are compared as multiples of their floors."""
        units = sum(weigh(one.exposure_minor, one.currency, floors, usual) for one in self.stakes)
        weight = 0 if self.step == FRIENDLY_NOTICE else max(self.severity, 1)
        return -units * weight, -units, self.customer_id


class LeftOut(Struct, frozen=True):
    """Who is not shown, and why: over the budget, not due yet, or blocked by what `why` says."""

    candidate: Candidate
    reason: str


class Worklist(Struct, frozen=True):
    """Who is to be dealt with now, the first first, and who is left."""

    shown: tuple[Candidate, ...]
    left: tuple[LeftOut, ...]


def rank_candidates(
    candidates: Iterable[Candidate],
    as_of: int,
    budget: int,
    floors: Mapping[str, int],
    currency: str,
) -> Worklist:
    """Rank candidates and show the first `budget` of those with something to do on `as_of`.

    `floors` are the amounts by currency that amounts are measured by; a currency without one is
    measured by that of `currency`, unit for unit.
    """
    ranked = sorted(candidates, key=lambda found: found.rank(floors, currency))
    shown: list[Candidate] = []
    left: list[LeftOut] = []
    for found in ranked:
        if found.is_blocked or (not found.step and not found.rule):
            left.append(LeftOut(found, BLOCKED))
        elif found.due_on > as_of:
            left.append(LeftOut(found, NOT_YET))
        elif len(shown) < budget:
            shown.append(found)
        else:
            left.append(LeftOut(found, OVER_BUDGET))
    return Worklist(tuple(shown), tuple(left))


def step_action(step: str) -> Text:
    """What is to be done in a step of the ladder."""
    return STEP_WORDS.get(step, Text("wait", "等待"))


def stakes_of(one: Candidate) -> str:
    """Money at stake in each currency."""
    return ", ".join(money(stake.exposure_minor, stake.currency) for stake in one.stakes)
