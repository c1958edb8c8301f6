"""What is wrong or odd about a policy file, and about what it does over a given history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.schemas.files.yaml_files import FileProblem, lines_of
from tocsin.schemas.policies.policy_file import read_policy
from tocsin.streams.decide.policy_doubts import FiredRules, policy_doubts
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import CustomerUpdated, PolicyPublished
from tocsin.streams.policy.policy import Policy, Problem

LIMIT_MEASURE = "credit_utilisation"


class History(Struct, frozen=True):
    """Events that a policy is tried on, and how they are named to people."""

    name: str
    facts: Iterable[Fact]


def lint(text: str, convention: Convention, history: History | None = None) -> list[FileProblem]:
    """All problems of a policy text; without any, what is odd about it, by line."""
    policy, document, problems = read_policy(text, convention.horizon_days)
    if policy is None:
        return problems
    found = policy_doubts(policy)
    if history is not None:
        found += _tried(policy, document, convention, history)
    line = lines_of(text)
    told = [FileProblem(line(odd.path), ".".join(odd.path), odd.message) for odd in found]
    return sorted(told, key=lambda problem: (problem.line, problem.path, problem.message))


class _Customers:
    """What a history says of its customers."""

    def __init__(self) -> None:
        self.profiles: dict[str, CustomerUpdated | None] = {}

    def watch(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        """Yield the facts, taking note of customers and their latest profiles."""
        for fact in facts:
            customer_id = getattr(fact.event, "customer_id", None)
            if isinstance(fact.event, CustomerUpdated):
                self.profiles[fact.event.customer_id] = fact.event
            elif customer_id is not None:
                self.profiles.setdefault(customer_id, None)
            yield fact

    def limits(self) -> tuple[int, int]:
        """How many customers have no limit (null), and how many one of 0."""
        limits = [
            None if profile is None else profile.credit_limit_minor
            for profile in self.profiles.values()
        ]
        return limits.count(None), limits.count(0)


def _tried(
    policy: Policy, document: str, convention: Convention, history: History
) -> list[Problem]:
    published = PolicyPublished(policy.name, policy.version, 0, document, "")
    customers, fired = _Customers(), FiredRules()

    def facts() -> Iterator[Fact]:
        yield Fact(0, POLICIES.topic_id, published)
        yield from customers.watch(
            fact for fact in history.facts if not isinstance(fact.event, PolicyPublished)
        )

    decide(facts(), convention, fired.add)
    return [
        *fired.doubts(policy, history.name),
        *_limits(policy, customers, history.name),
        *_unmet(policy, customers, history.name),
    ]


def _limits(policy: Policy, customers: _Customers, name: str) -> Iterator[Problem]:
    missing, zero = customers.limits()
    whole = len(customers.profiles)
    for rule in policy.rules:
        if rule.is_off or rule.measure.name != LIMIT_MEASURE:
            continue
        path = ("rules", rule.name, "measure")
        if missing:
            yield Problem(
                path,
                f"is not judged for {missing} of {whole} customers in {name}: their credit limit "
                "is null, which is not 0; send CustomerUpdated with credit_limit_minor",
            )
        if zero:
            yield Problem(
                path,
                f"holds for any exposure of {zero} of {whole} customers in {name}: their credit "
                "limit is 0, no credit; send null where no limit was set",
            )


def _unmet(policy: Policy, customers: _Customers, name: str) -> Iterator[Problem]:
    """Overrides that no customer of a history meets."""
    profiles = [profile for profile in customers.profiles.values() if profile is not None]
    segments = {profile.segment for profile in profiles}
    countries = {profile.country for profile in profiles}
    for override in policy.overrides:
        for key, wanted, known in (
            ("segment", override.segments, segments),
            ("country", override.countries, countries),
            ("customer", override.customers, customers.profiles.keys()),
        ):
            if wanted is not None and not wanted & known:
                path = ("overrides", str(override.place), "match", key)
                yield Problem(path, f"matches no customer in {name}: mend its spelling, or drop it")
