"""docs/policies.md: what each packaged policy is for, and what it does on a generated portfolio.

Written by `make docs`; a test compares the file with what this module would write today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.schemas.policies.policy_file import DEFAULT, PACKAGED, packaged_policy_text, read_policy
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PolicyPublished

FILE = Path("docs") / "policies.md"
CUSTOMERS = 60
TRIALS = (("EUR", "strict-exporter"), ("CNY", "china-sme"))
"""In which currency an example is tried beside the default policy."""

_HEAD = """# Policies

Three policies come with tocsin: one that is published at first, and two examples of how a business
of another kind would write its own. An example says only where it differs (`extends: default`).

    tocsin policy show --example china-sme --source > policy.yaml  # as written, to be changed
    tocsin policy show --example china-sme --whole    # with what it extends written out
    tocsin policy diff packaged china-sme             # by meaning
    tocsin policy publish policy.yaml                 # the whole of it is published
"""
_TRIED = """
## On a generated portfolio

{customers} customers over {days} days to {until}, {events} events, drawn with seed {seed}; warnings
raised by rule. Nothing of it is real: it shows how the policies differ, not how good they are.
"""


class Trial(Struct, frozen=True):
    """What the default policy and an example raised of one portfolio, by rule, in this order."""

    request: Request
    events: int
    example: str
    raised: tuple[Counter[str], Counter[str]]


def policies_text() -> str:
    """The whole document."""
    texts = {name: packaged_policy_text(name) for name in PACKAGED}
    plain = {name: msgspec.json.decode(_document(text)) for name, text in texts.items()}
    parts = [_HEAD]
    for name, text in texts.items():
        parts.append(f"\n## {name}\n\n{purpose(text)}\n")
        if name != DEFAULT:
            parts.append("\n" + "".join(_differences(plain[DEFAULT], plain[name])))
    parts.extend(_tried())
    return "".join(parts)


def purpose(text: str) -> str:
    """What a policy is for: the first paragraph of its head."""
    lines = text.split("\n#\n", 1)[0].splitlines()
    return "\n".join(line.removeprefix("#").strip() for line in lines)


def _document(text: str) -> str:
    policy, document, problems = read_policy(text, Convention().horizon_days)
    if policy is None:
        raise ValueError("; ".join(map(str, problems)))
    return document


def _differences(base: dict[str, Any], example: dict[str, Any]) -> Iterator[str]:
    old, new = base["rules"], example["rules"]
    changed = [name for name in new if name in old and new[name] != old[name]]
    for what, names in (
        ("Rules of its own", sorted(new.keys() - old.keys())),
        ("Changed", sorted(changed)),
        ("Left out", sorted(old.keys() - new.keys())),
        ("Otherwise", [key for key in sorted(base) if key not in ("name", "rules", "version")]),
    ):
        if what == "Otherwise":
            names = [key for key in names if base[key] != example.get(key)]
        if names:
            yield f"- {what}: {', '.join(f'`{name}`' for name in names)}\n"


@cache
def trials() -> tuple[Trial, ...]:
    """Each example beside the default policy, on a portfolio in its currency."""
    found = []
    for currency, example in TRIALS:
        request = Request(customers=CUSTOMERS, currency=currency)
        facts = list(Portfolio(request, Convention()).facts())
        raised = (_raised(facts, DEFAULT), _raised(facts, example))
        found.append(Trial(request, len(facts), example, raised))
    return tuple(found)


def _tried() -> Iterator[str]:
    first, *_ = trials()
    yield _TRIED.format(
        customers=first.request.customers,
        days=first.request.days,
        until=first.request.until,
        events=f"{first.events:,}",
        seed=first.request.seed,
    )
    for trial in trials():
        yield f"\n### default and {trial.example}, invoices in {trial.request.currency}\n\n"
        yield from _table((DEFAULT, trial.example), trial.raised)


def _raised(facts: Sequence[Fact], name: str) -> Counter[str]:
    raised: Counter[str] = Counter()

    def count(warning: RiskWarning) -> None:
        if warning.transition == "RAISED":
            raised[warning.rule] += 1

    document = _document(packaged_policy_text(name))
    policy = Fact(0, POLICIES.topic_id, PolicyPublished(name, 1, 0, document, ""))
    decide([policy, *facts], Convention(), count)
    return raised


def _table(names: Sequence[str], raised: Sequence[Counter[str]]) -> Iterator[str]:
    rules = sorted(set().union(*raised))
    differing = [rule for rule in rules if len({found[rule] for found in raised}) > 1]
    rest = sum(raised[0][rule] for rule in rules if rule not in differing)
    rows = [(f"`{rule}`", *(found[rule] for found in raised)) for rule in differing]
    rows.append((f"{len(rules) - len(differing)} other rules, each alike", *(rest for _ in names)))
    rows.append(("all", *(found.total() for found in raised)))
    yield f"| rule | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    for label, *counts in rows:
        yield f"| {label} | {' | '.join(f'{count:,}' for count in counts)} |\n"


def main() -> None:
    """Write the document below the current folder."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(policies_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
