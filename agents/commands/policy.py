"""`tocsin policy`: check a policy, show it, compare two versions, publish one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from tocsin.agents.commands.fit import policy_fit
from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import GivenPath, connected, run
from tocsin.agents.commands.values import Instant
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.deployment.policies import Published, checked, publish, published
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.render import rule_cards
from tocsin.agents.render.collection_cards import show_collection
from tocsin.agents.render.score_cards import show_scorecard
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.replay.policy_lint import History, lint
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.files.near import did_you_mean
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX
from tocsin.schemas.policies.policy_diff import compare
from tocsin.schemas.policies.policy_file import (
    DEFAULT,
    EXAMPLES,
    default_policy_text,
    packaged_policy_text,
    written_out,
)
from tocsin.schemas.policies.signals import read_signals
from tocsin.streams.policy.policy import Policy, Rule
from tocsin.streams.policy.value_reading import NAME as RULE_NAME

FILE = GivenPath()
EVENTS = GivenPath(is_folder_too=True)
PACKAGED = "packaged"


@click.group(cls=Group)
def policy() -> None:
    """Policies: which rules hold, from what threshold, with which words."""


policy.add_command(policy_fit)


@policy.command("lint")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--events", multiple=True, type=EVENTS, help="Try it on these; may repeat.")
@connected
def policy_lint(
    settings: Settings, terminal: Terminal, files: tuple[Path, ...], events: tuple[Path, ...]
) -> Exit:
    """Tell all that is wrong or odd in policy files; exit code 1 if anything is.

    Thresholds that contradict each other, can't be reached, are dominated by another rule or change
    nothing; with --events also rules that never fire on that history, and overrides nobody meets.
    """
    convention = convention_of(settings)
    name = ", ".join(path.name for path in events)
    with open_events(settings, events) as given:
        problems = [
            (file, problem)
            for file in files
            for problem in lint(
                _text(file), convention, History(name, given.facts()) if events else None
            )
        ]
    terminal.result(
        [{"file": str(file), **msgspec.to_builtins(problem)} for file, problem in problems]
    )
    for file, problem in problems:
        terminal.say(problem.located(file))
    if not problems:
        terminal.say(f"{len(files)} file(s) without problems", style="green")
    return Exit.DIFFERENCE if problems else Exit.OK


@policy.command("show")
@click.argument("rules", nargs=-1)
@click.option("--packaged", is_flag=True, help="The default policy that comes with tocsin.")
@click.option("--example", type=click.Choice(EXAMPLES), help="An example that comes with tocsin.")
@click.option("--file", type=FILE, help="A policy file.")
@click.option("--version", type=int, help="This published version; the latest if not given.")
@click.option("--source", is_flag=True, help="As its author wrote it, not as cards.")
@click.option("--whole", is_flag=True, help="As YAML, with what it extends written out.")
@click.option("--customer", default="", metavar="ID", help="As it holds for this customer.")
@connected
def policy_show(
    settings: Settings,
    terminal: Terminal,
    *,
    rules: tuple[str, ...],
    packaged: bool,
    example: str | None,
    file: Path | None,
    version: int | None,
    source: bool,
    whole: bool,
    customer: str,
) -> Exit:
    """Print a card for each rule: thresholds, what it reads, what it says in both languages.

    And how it scores. Of the published versions the latest, unless told otherwise; only RULES if
    some are named. With --customer what overrides change for that customer is marked with a star.
    """
    versions: list[Published] | None = None
    if file is not None:
        chosen = [(str(file), _text(file))]
    elif packaged or example:
        chosen = [(example or PACKAGED, packaged_policy_text(example or DEFAULT))]
    else:
        _require_rules(settings, rules)
        versions = run(published(settings))
        chosen = [
            (f"{found.name} {found.version}", found.source)
            for found in versions
            if version in (None, found.version)
        ]
        if not chosen and version is not None:
            raise _no_version(version)
        if not chosen:
            _list(terminal, versions, is_result=True)
            terminal.note("no policy was published; `tocsin topics apply` publishes one")
            return Exit.DIFFERENCE
    where, text = chosen[-1]
    is_part = bool(customer or rules)
    if source:
        _list(terminal, versions, is_result=not is_part)
        return _say_source(terminal, text)
    policy, _ = checked(text, where, settings.horizon_days)
    shown = () if whole else _rules_shown(settings, policy, rules, customer)
    _list(terminal, versions, is_result=not is_part)
    if whole:
        return _say_source(terminal, written_out(text))
    _show_cards(terminal, policy, shown, is_result=is_part)
    if policy.scorecard is not None and not rules:
        show_scorecard(terminal, policy.scorecard)
    if policy.collection is not None and not rules:
        show_collection(terminal, policy.collection)
    return Exit.OK


@policy.command("diff")
@click.argument("old")
@click.argument("new")
@connected
def policy_diff(settings: Settings, terminal: Terminal, old: str, new: str) -> Exit:
    """Compare two policies by meaning; exit code 1 if they differ.

    OLD and NEW are files, the numbers of published versions, `packaged`, or an example's name.
    """
    documents: list[Any] = []
    _require_policies(old, new)
    for name in (old, new):
        _, document = checked(_named(settings, name), name, settings.horizon_days)
        documents.append(msgspec.json.decode(document))
    changes = compare(*documents)
    terminal.result(changes)
    for change in changes:
        terminal.say(str(change))
    if not changes:
        terminal.say("they mean the same", style="green")
    return Exit.DIFFERENCE if changes else Exit.OK


@policy.command("signals")
@connected
def policy_signals(settings: Settings, terminal: Terminal) -> None:
    """Print what makes a bad customer, and which rules, records and commands serve each point."""
    signals = read_signals()
    terminal.result([msgspec.to_builtins(signal) for signal in signals])
    columns = [Column("id"), Column("what", wraps=True), Column("served by", wraps=True)]
    terminal.table(columns, [(found.id, found.what, found.served_by) for found in signals])


@policy.command("publish")
@click.argument("file", type=FILE)
@click.option(
    "--effective-from", type=Instant(), help="When it comes into force, ISO 8601; now if not."
)
@connected
def policy_publish(
    settings: Settings, terminal: Terminal, file: Path, effective_from: int | None
) -> None:
    """Publish a policy version: one copy per partition, in one transaction.

    When it comes into force every customer is assessed by it, and warnings say so.
    """
    moment = time.time_ns() // 1_000_000 if effective_from is None else effective_from
    done = run(publish(settings, _text(file), str(file), moment))
    terminal.result(done)
    terminal.say(
        f"published {done.name} {done.version} to {len(done.partitions)} partitions, "
        f"in force from {instant(done.effective_from)}"
    )


def _say_source(terminal: Terminal, text: str) -> Exit:
    terminal.result({"source": text})
    terminal.say(text.rstrip())
    return Exit.OK


def _named(settings: Settings, name: str) -> str:
    """The text of a policy: packaged, published under a number, or in a file."""
    if name == PACKAGED:
        return default_policy_text()
    if name in EXAMPLES:
        return packaged_policy_text(name)
    if name.isdigit() and not Path(name).exists():
        for found in run(published(settings)):
            if found.version == int(name):
                return found.source
        raise _no_version(int(name))
    return _text(Path(name))


def _no_version(version: int) -> InputError:
    return InputError(f"no policy version {version} was published", mend="see `tocsin policy show`")


def _require_policies(*names: str) -> None:
    """Refuse what can name no policy, before anything is asked for one."""
    known = (PACKAGED, *EXAMPLES)
    for name in names:
        if name not in known and not name.isdigit() and not Path(name).is_file():
            raise click.UsageError(
                f"{name} is no file, no version's number, and none of {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )


def _require_rules(settings: Settings, names: tuple[str, ...]) -> None:
    """Refuse what can name no published rule, before Kafka is asked for those that are.

    Where no broker is known, rules of the packaged policies are all that a name can mean.
    """
    for name in names:
        if name in (PACKAGED, *EXAMPLES):
            flag = "--packaged" if name == PACKAGED else f"--example {name}"
            raise click.UsageError(f"{name} is a policy, no rule: give {flag}")
        if Path(name).is_file():
            raise click.UsageError(f"{name} is a file, no rule: give --file {name}")
        if not RULE_NAME.fullmatch(name):
            raise click.UsageError(f"{name!r} is no rule's name: those are like overdue-amount")
        if not settings.bootstrap_servers and name not in (known := _packaged_rules(settings)):
            raise click.UsageError(
                f"{name} is no rule of the packaged policies{did_you_mean(name, known)}, "
                "and no Kafka broker is known to ask for others"
            )


def _packaged_rules(settings: Settings) -> list[str]:
    texts = [packaged_policy_text(name) for name in (DEFAULT, *EXAMPLES)]
    policies = [checked(text, PACKAGED, settings.horizon_days)[0] for text in texts]
    return list(dict.fromkeys(rule.name for policy in policies for rule in policy.rules))


def _rules_shown(
    settings: Settings, policy: Policy, names: tuple[str, ...], customer: str
) -> Sequence[Rule]:
    """The rules wanted, as they hold for a customer if one is named. Raises for unknown names."""
    known = [rule.name for rule in policy.rules]
    for name in names:
        if name not in known:
            listed = did_you_mean(name, known) or f": {', '.join(known)}"
            raise click.UsageError(f"{name} is no rule of this policy{listed}")
    met = _overrides_of(settings, policy, customer) if customer else 0
    return [rule for rule in policy.rules_under(met) if not names or rule.name in names]


def _show_cards(
    terminal: Terminal, policy: Policy, shown: Sequence[Rule], *, is_result: bool
) -> None:
    known = {rule.name: rule for rule in policy.rules}
    if terminal.as_json and is_result:
        terminal.result([rule_cards.rule_json(rule) for rule in shown])
    for rule in shown:
        plain = set(rule_cards.lines(known[rule.name]))
        changed = {label for label, text in rule_cards.lines(rule) if (label, text) not in plain}
        rule_cards.rule_card(terminal, rule, frozenset(changed - {""}))


def _overrides_of(settings: Settings, policy: Policy, customer: str) -> int:
    with open_lookup(settings) as lookup:
        customer = lookup.customer(customer)
        standing = lookup.standing(customer)
        if standing is None:
            raise lookup.unknown_customer(customer)
    return policy.overrides_of(
        standing["segment"] or "",
        standing["country"] or "",
        standing.get("grade") or "",
        customer,
    )


def _text(file: Path) -> str:
    return read_given(file, POLICY_BYTES_MAX)


def _list(terminal: Terminal, versions: list[Published] | None, *, is_result: bool) -> None:
    """Tell the versions that were published, if those were asked for."""
    if versions is None:
        return
    if is_result:
        terminal.result(versions)
    columns = [Column("policy"), Column("version", right=True), Column("in force from")]
    rows = [
        (found.name, str(found.version), instant(found.effective_from), found.hash[:12])
        for found in versions
    ]
    terminal.table([*columns, Column("hash", style="dim")], rows, empty="no policy was published")
