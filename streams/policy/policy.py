"""A policy: which rules hold over which measures, from what threshold, with which words.

Values only; `policy_reading` builds them from a plain document. `docs` of the format are the
packaged default policy, which uses every part of it.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from tocsin.streams.facts.texts import Text
from tocsin.streams.ledger.ledger import ALL
from tocsin.streams.measures.collection_ladder import Collection
from tocsin.streams.measures.measure import Measure, Parameters, Read
from tocsin.streams.measures.scorecard import Scorecard
from tocsin.streams.measures.severity import Ladder

RULES_MAX = 200
TEXT_MAX = 1_000
DAYS_MAX = 3_650

PLACEHOLDERS = frozenset(
    {
        "customer",
        "subject",
        "value",
        "threshold",
        "clear_at",
        "to_clear",
        "exposure",
        "count",
        "items",
        "severity",
        "rule",
        "as_of",
        "cause",
        "conditions",
        "score",
        "grade",
        "points",
        "strategy",
        "step",
    }
)
"""What a text may mention in braces."""

OPENING_DIGEST = "opening-digest"
RESUMPTION_DIGEST = "resumption-digest"
SOURCE_INCOMPLETE = "source-incomplete"
SOURCE_HELD = "source-held"
SOURCE_GAP = "source-gap"
RESERVED = frozenset(
    {OPENING_DIGEST, RESUMPTION_DIGEST, SOURCE_INCOMPLETE, SOURCE_HELD, SOURCE_GAP}
)
"""Names under which the product itself warns; no rule may bear them."""


class Problem(Struct, frozen=True):
    """Something wrong in a policy: where (a path such as rules.overdue-age.clear_at) and what."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or 'policy'}: {self.message}"


class SourceWords(Struct, frozen=True):
    """What is said of a source that cannot be relied on, and when it is over."""

    action: str
    text: Text
    clears_when: Text
    action_text: Text
    over: Text


class Bounds(Struct, frozen=True):
    """Between which values a condition holds: from `at_least` on, `below` excluded; None: open.

    `ladder` has both as rungs, so that a measure can tell on which day one could be crossed.
    """

    at_least: int | None
    below: int | None
    ladder: Ladder


class Condition(Struct, frozen=True):
    """A further measure that must lie within bounds for a rule to hold.

    Bounds are by currency for money, else one under the empty key. Where the measure is by
    currency, a rule by currency asks for its own; any other rule for some currency that reaches
    `at_least`, and none that reaches `below`. What can't be judged does not hold.
    """

    measure: Measure
    parameters: Parameters
    bounds: dict[str, Bounds]


class Rule(Struct, frozen=True):
    """One rule of a policy. Ladders are by currency for money, else one under the empty key.

    With `dwell_days` a crossing must last so many whole business days before it is raised or
    escalates; with `quiet_days` nothing but a graver episode follows so soon on the last warning.
    """

    name: str
    measure: Measure
    parameters: Parameters
    ladders: dict[str, Ladder]
    repeat_days: int
    action: str
    text: Text
    clears_when: Text
    action_text: Text
    read: Read
    by_currency: bool
    key: str
    """Its episodes' key, up to the subject."""
    ladder: Ladder | None
    """The only ladder, where thresholds don't depend on the currency."""
    affected_by: int
    topics: frozenset[int]
    moves_by_time: bool
    conditions: tuple[Condition, ...] = ()
    dwell_days: int = 0
    quiet_days: int = 0
    inhibited_by: tuple[str, ...] = ()
    audience: str = ""
    """Whom it is for, if not for readers of credit."""
    told_from: int = 0
    """The mildest severity that is told; 0: as the policy says of all rules."""
    is_off: bool = False
    is_held_incomplete: bool = True
    """Whether it is held back while a source that it reads is incomplete, or else said so."""
    counts: str = ""
    """The tally without which there is nothing to look at, if it is about one."""
    is_plain: bool = True
    """Neither conditions nor dwell nor quiet days: the value alone decides."""
    number: int = 0
    """Its place in the policy, under which a ledger keeps the day of its next turn."""


class Variant(Struct, frozen=True):
    """The rules that hold for some customers, and the names of those that are off for them."""

    rules: tuple[Rule, ...]
    off: frozenset[str]

    def plan(
        self, affected: int, suspended: frozenset[int], missing: frozenset[int] = frozenset()
    ) -> tuple[Rule, ...]:
        """Rules to look at after `affected`, without those that read a suspended topic.

        Rules that wait for complete sources are left out while a topic of theirs is `missing`.
        """
        return tuple(
            rule
            for rule in self.rules
            if rule.affected_by & affected
            and not rule.topics & suspended
            and not (rule.is_held_incomplete and rule.topics & missing)
        )

    def timed_plan(
        self, suspended: frozenset[int], missing: frozenset[int] = frozenset()
    ) -> dict[int, Rule]:
        """Rules that may be looked at because their day has come, by their numbers."""
        return {
            rule.number: rule for rule in self.plan(ALL, suspended, missing) if rule.moves_by_time
        }


class Override(Struct, frozen=True):
    """For which customers rules differ; None matches everyone. Names the rules it changes."""

    segments: frozenset[str] | None
    countries: frozenset[str] | None
    grades: frozenset[str] | None
    customers: frozenset[str] | None
    rules: frozenset[str]
    place: int = 0
    """Where it stands in the policy's list."""


class Telling(Struct, frozen=True):
    """Whom warnings are for. What is not told is recorded like the rest, muted with its cause.

    `inhibitors`: the rules that mute a rule while they have an open episode. `audiences`: whom
    rules are for that are not for readers of credit. `least`: the mildest severity that is told, of
    some rules another one.
    """

    inhibitors: dict[str, tuple[str, ...]] = {}
    audiences: dict[str, str] = {}
    least: int = 1
    least_of: dict[str, int] = {}

    def told_from(self, rule: str) -> int:
        """The mildest severity of a rule that is told."""
        return self.least_of.get(rule, self.least)

    @property
    def is_muting(self) -> bool:
        """Whether anything can be muted but by a silence."""
        return bool(self.inhibitors or self.audiences or self.is_by_severity)

    @property
    def is_by_severity(self) -> bool:
        """Whether some severities are not told."""
        return self.least > 1 or bool(self.least_of)


class Policy(Struct, frozen=True):
    """A policy: its rules by name, and the words that belong to no single rule.

    `overrides` rise in precedence: a later one wins over those before. `variants` holds each rule
    under each set of overrides that can meet: name, then the overrides as bits of their places.
    """

    name: str
    version: int
    reporting_currency: str
    rules: tuple[Rule, ...]
    cleared: Text
    withdrawn: Text
    digest: Text
    resumed: Text
    digest_action: str
    digest_action_text: Text
    hash: str
    overrides: tuple[Override, ...] = ()
    variants: dict[str, dict[int, Rule]] = {}
    telling: Telling = Telling()
    scorecard: Scorecard | None = None
    collection: Collection | None = None
    sources: dict[str, SourceWords] = {}

    @property
    def listed_amounts(self) -> dict[str, int]:
        """Minor units by currency that are worth about the same: from which on it collects."""
        return {} if self.collection is None else self.collection.floor_minor

    def variant(self, overrides: int) -> Variant:
        """The rules that hold under some overrides, given as the bits of their places."""
        found = self.rules_under(overrides)
        off = frozenset(rule.name for rule in found if rule.is_off)
        return Variant(tuple(rule for rule in found if not rule.is_off), off)

    def rules_under(self, overrides: int) -> list[Rule]:
        """Every rule as some overrides make it, those that are off too."""
        found = []
        for rule in self.rules:
            touching = 0
            for place, override in enumerate(self.overrides):
                touching |= (rule.name in override.rules) << place
            met = overrides & touching
            found.append(self.variants[rule.name][met] if met else rule)
        return found

    def overrides_of(self, segment: str, country: str, grade: str, customer_id: str) -> int:
        """Which overrides a customer meets, as bits of their places."""
        met = 0
        for place, override in enumerate(self.overrides):
            if (
                (override.segments is None or segment in override.segments)
                and (override.countries is None or country in override.countries)
                and (override.grades is None or grade in override.grades)
                and (override.customers is None or customer_id in override.customers)
            ):
                met |= 1 << place
        return met

    def plan(self, affected: int, suspended: frozenset[int]) -> tuple[Rule, ...]:
        """Rules to look at for a customer without overrides; see `Variant.plan`."""
        return self.variant(0).plan(affected, suspended)


def canonical(document: object) -> str:
    """A document as canonical JSON: sorted keys, no spaces; what is hashed and published."""
    return msgspec.json.encode(document, order="sorted").decode()


def hash_of(document: str) -> str:
    """SHA-256 of a canonical document."""
    return hashlib.sha256(document.encode()).hexdigest()
