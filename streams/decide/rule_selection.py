"""Plans: which rules are looked at for a customer, after what was affected, under its overrides."""

from __future__ import annotations

from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.policy.policy import Policy, Rule, Variant


class RuleSelection:
    """Plans of one policy while the same topics are suspended and missing; each is made once.

    A customer's overrides are given as `met`, the bits of their places in the policy.
    """

    def __init__(self, policy: Policy, suspended: frozenset[int], missing: frozenset[int]) -> None:
        self.has_overrides = bool(policy.overrides)
        self._policy = policy
        self._suspended = suspended
        self._missing = missing
        self._named = frozenset().union(*(one.customers or () for one in policy.overrides))
        self._met: dict[tuple[str | None, str | None, str, str], int] = {}
        self._variants: dict[int, Variant] = {}
        self._affected: dict[int, dict[int, tuple[Rule, ...]]] = {}
        self._timed: dict[int, dict[int, Rule]] = {}

    def met_overrides(self, ledger: Ledger) -> int:
        """Which overrides the customer meets as it is now."""
        if not self.has_overrides:
            return 0
        summary, name = ledger.summary, ledger.customer_id
        profile = summary.profile
        named = name if name in self._named else ""
        key = (profile.segment, profile.country, summary.grade, named)
        found = self._met.get(key)
        if found is None:
            found = self._met[key] = self._policy.overrides_of(
                profile.segment or "", profile.country or "", summary.grade, named
            )
        return found

    def variant(self, met: int) -> Variant:
        """All rules under some overrides."""
        found = self._variants.get(met)
        if found is None:
            found = self._variants[met] = self._policy.variant(met)
        return found

    def rules_after(self, met: int, affected: int) -> tuple[Rule, ...]:
        """Rules to look at after an event that affected something."""
        plans = self._affected.get(met)
        if plans is None:
            plans = self._affected[met] = {}
        rules = plans.get(affected)
        if rules is None:
            rules = plans[affected] = self.variant(met).plan(
                affected, self._suspended, self._missing
            )
        return rules

    def rules_due(self, met: int, affected: int, ledger: Ledger, today: int) -> tuple[Rule, ...]:
        """Rules to look at on a new day: those affected by it, and those whose turn has come.

        Turns that have come are taken off the ledger: looking at a rule gives its next one.
        """
        timed = self._timed.get(met)
        if timed is None:
            timed = self._timed[met] = self.variant(met).timed_plan(self._suspended, self._missing)
        turns = ledger.summary.turns
        come = [number for number, day in turns.items() if day <= today]
        for number in come:
            del turns[number]
        found = {number: timed[number] for number in come if number in timed}
        stirring = self.rules_after(met, affected) if affected else ()
        if not found:
            return stirring
        found.update((rule.number, rule) for rule in stirring)
        return tuple(found[number] for number in sorted(found))
