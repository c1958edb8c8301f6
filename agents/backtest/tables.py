"""The figures of a backtest as tables: one form for terminals and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from tocsin.agents.backtest.figures import (
    BacktestReport,
    HarmFigures,
    Part,
    PolicyLoad,
    PolicyQuality,
    Predictor,
    QualityDifference,
)
from tocsin.agents.backtest.resampling import Figure
from tocsin.agents.backtest.sweeping import SweepFigures, SweepPoint
from tocsin.agents.backtest.texts import in_language, say
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import money
from tocsin.streams.evaluate.alarms import TRANSITIONS
from tocsin.streams.evaluate.comparison import Difference

NOTHING = "-"


class Table(Struct, frozen=True):
    """A table with its title; the first `left` columns hold words, the others numbers."""

    title: str
    names: list[str]
    rows: list[list[str]]
    left: int = 1
    is_detail: bool = False


def show(terminal: Terminal, found: BacktestReport, language: Language) -> None:
    """Print everything for people."""
    terminal.facts(facts(found, language))
    for harm in found.harms:
        terminal.heading(f"{harm.harm}: {in_language(harm.label, language)}")
        terminal.facts(harm_facts(harm, language))
        for table in harm_tables(harm, language):
            _print(terminal, table)
    for load in found.policies:
        _print(terminal, load_table(load, language))
    for difference in found.differences:
        _print(terminal, difference_table(difference, language))
    if found.sweep is not None:
        for table in sweep_tables(found.sweep, language):
            _print(terminal, table)
    terminal.say()
    terminal.say(say("read", language), style="dim")


def facts(found: BacktestReport, language: Language) -> list[tuple[str, str]]:
    """What the run was over."""
    return [
        (say("period", language), f"{found.begin} - {found.end}"),
        (say("events", language), f"{found.events:,}"),
        (say("refused", language), f"{found.refused:,}"),
        (say("customers", language), f"{found.customers:,}"),
        *(
            (f"{say('warnings', language)}, {load.policy}", f"{load.warnings:,}")
            for load in found.policies
        ),
    ]


def harm_facts(harm: HarmFigures, language: Language) -> list[tuple[str, str]]:
    """How many observations a harm has, and what became of them."""
    whole = harm.parts[0]
    return [
        (say("observations", language), f"{whole.rows:,}"),
        (say("harmful", language), f"{whole.harmful:,}"),
        (say("base", language), told(whole.base)),
        (say("largest", language), f"{harm.largest_customer_rows:,}"),
        (say("censored", language), f"{harm.outcomes['censored']:,}"),
        (say("void", language), f"{harm.outcomes['void']:,}"),
    ]


def harm_tables(harm: HarmFigures, language: Language) -> Iterator[Table]:
    """How well each thing ranks, in all parts; and for all observations each cut."""
    whole = harm.parts[0]
    for place, policy in enumerate(whole.policies):
        columns = [_of_policy(part, place) for part in harm.parts]
        yield _ranking(policy.policy, columns, harm.parts, language)
        yield _beside(policy, language)
        yield _cuts(policy.policy, policy.predictors, language)
        yield _by_grade(policy, language)
    if harm.differences:
        yield _gained(harm.differences, language)
    yield _ranking(
        say("references", language),
        [_by_name(part.references) for part in harm.parts],
        harm.parts,
        language,
    )
    yield _cuts(say("references", language), whole.references, language)


def load_table(load: PolicyLoad, language: Language) -> Table:
    """Warnings of each rule by step, a customer and month, and what became of its episodes."""
    names = [
        say("rule", language),
        *(say(name, language) for name in TRANSITIONS),
        say("per_month", language),
        say("episodes", language),
        say("ended", language),
        say("short", language),
    ]
    rows = []
    for rule in sorted(load.load.by_rule.keys() | load.load.episodes.keys()):
        counts = load.load.by_rule.get(rule, {})
        episodes = load.load.episodes.get(rule)
        rows.append(
            [
                rule,
                *(f"{counts.get(name, 0):,}" for name in TRANSITIONS),
                _rate(sum(counts.values()), load.load.customer_months),
                *(
                    (NOTHING, NOTHING, NOTHING)
                    if episodes is None
                    else (
                        f"{episodes.begun:,}",
                        f"{episodes.ended:,}",
                        f"{episodes.ended_within_week:,}",
                    )
                ),
            ]
        )
    alarms = load.load.alarms
    rows.append(
        [
            say("total", language),
            *(f"{alarms[name]:,}" for name in TRANSITIONS),
            _rate(sum(alarms.values()), load.load.customer_months),
            f"{sum(one.begun for one in load.load.episodes.values()):,}",
            f"{sum(one.ended for one in load.load.episodes.values()):,}",
            f"{sum(one.ended_within_week for one in load.load.episodes.values()):,}",
        ]
    )
    muted = f"{say('muted', language)}: {load.load.muted:,}"
    return Table(f"{load.policy}: {say('alarms', language)} ({muted})", names, rows)


def difference_table(difference: Difference, language: Language) -> Table:
    """What another policy adds and takes away."""
    d = difference
    rows = [
        [say("unchanged", language), f"{d.unchanged:,}", "", ""],
        [say("moved", language), f"{d.moved:,}", "", _days(d.moved_days_median)],
        _changed("added", d.added, d.added_customers, d.added_at_stake, language),
        _changed("removed", d.removed, d.removed_customers, d.removed_at_stake, language),
        *([f"  + {rule}", f"{count:,}", "", ""] for rule, count in d.added_by.items()),
        *([f"  - {rule}", f"{count:,}", "", ""] for rule, count in d.removed_by.items()),
    ]
    names = [
        "",
        say("warnings", language),
        say("customers", language),
        f"{say('at_stake', language)} / {say('moved_days', language)}",
    ]
    return Table(f"{d.other}, {say('difference', language)} {d.base}", names, rows)


def sweep_tables(sweep: SweepFigures, language: Language) -> Iterator[Table]:
    """Each setting's worth by harm, and the choice within the budget."""
    keys = ("setting", "a_month", "flagged", "precision", "recall", "lift", "lead", "lead10")
    title = f"{sweep.policy}: {say('sweep', language)}"
    for place, cut in enumerate(sweep.points[0].cuts):
        rows = [
            [
                setting_text(point, language),
                f"{point.warnings_a_month:g}",
                f"{point.cuts[place].quality.flagged:,}",
                told(point.cuts[place].quality.precision),
                told(point.cuts[place].quality.recall),
                told(point.cuts[place].quality.lift, 2),
                told(point.cuts[place].lead.median, 1),
                told(point.cuts[place].lead.p10, 1),
                "*" if point.cuts[place].is_front else "",
            ]
            for point in sweep.points
        ]
        names = [*(say(key, language) for key in keys), say("front", language)]
        yield Table(f"{title}, {cut.harm}", names, rows)
    if sweep.budget is not None:
        yield _choices(sweep, sweep.budget, language)


def _choices(sweep: SweepFigures, budget: float, language: Language) -> Table:
    rows = []
    for place, choice in enumerate(sweep.choices):
        if choice.point is None:
            said = say("nothing_within", language)
            rows.append([choice.harm, said, NOTHING, NOTHING, NOTHING])
            continue
        point = sweep.points[choice.point]
        rows.append(
            [
                choice.harm,
                setting_text(point, language),
                f"{point.warnings_a_month:g}",
                told(point.cuts[place].quality.recall),
                told(choice.recall_cost),
            ]
        )
    keys = ("harm", "setting", "a_month", "recall", "recall_cost")
    title = f"{say('budget', language)}: {budget:g} {say('budget_of', language)}"
    return Table(title, [say(key, language) for key in keys], rows, left=2)


def setting_text(point: SweepPoint, language: Language) -> str:
    """What a combination of levers is set to."""
    told_of = [f"{lever}={value}" for lever, value in point.settings.items()]
    return " ".join(told_of) or say("as_is", language)


def told(figure: Figure | None, digits: int = 3) -> str:
    """A figure with its interval."""
    if figure is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f} {figure.high:.{digits}f}]"


def _ranking(
    title: str,
    columns: Sequence[dict[str, Predictor]],
    parts: Sequence[Part],
    language: Language,
) -> Table:
    rows = [
        [
            say(name, language),
            f"{predictor.rows:,}",
            *(told(other.auc if (other := column.get(name)) else None) for column in columns),
            told(predictor.calibration_error),
        ]
        for name, predictor in columns[0].items()
    ]
    names = [
        say("by", language),
        say("rows", language),
        *(say(part.part, language) for part in parts),
        say("error", language),
    ]
    return Table(f"{title}: {say('ranking', language)}", names, rows)


def _beside(policy: PolicyQuality, language: Language) -> Table:
    """Score and references over the same observations."""
    score = next((one for one in policy.predictors if one.name == "score"), None)
    found = {} if score is None else {"score": score.auc}
    rows = [
        [say(name, language), told(auc)]
        for name, auc in {**found, **policy.references_where_rated}.items()
    ]
    names = [say("by", language), say("auc", language)]
    return Table(f"{policy.policy}: {say('rated', language)}", names, rows)


def _by_grade(policy: PolicyQuality, language: Language) -> Table:
    """Each rule among the customers of each grade."""
    rows = [
        [
            one.rule,
            one.grade or say("ungraded", language),
            f"{one.rows:,}",
            f"{one.quality.flagged:,}",
            f"{one.quality.customers:,}",
            told(one.quality.precision),
            told(one.quality.recall),
            told(one.quality.lift, 2),
        ]
        for one in policy.by_grade
    ]
    keys = (
        "rule", "grade", "observations", "flagged", "customers", "precision", "recall", "lift",
    )  # fmt: skip
    names = [say(key, language) for key in keys]
    title = f"{policy.policy}: {say('by_grade', language)}"
    return Table(title, names, rows, left=2, is_detail=True)


def _gained(differences: Sequence[QualityDifference], language: Language) -> Table:
    """What further policies gain on the first."""
    rows = [
        [
            one.other,
            say(one.by, language),
            one.at,
            told(one.auc),
            told(one.precision),
            told(one.recall),
        ]
        for one in differences
    ]
    names = [say(key, language) for key in ("policy", "by", "at", "auc", "precision", "recall")]
    title = f"{say('gained', language)} {differences[0].base}"
    return Table(title, names, rows, left=3)


def _cuts(title: str, predictors: Sequence[Predictor], language: Language) -> Table:
    keys = (
        "by",
        "at",
        "flagged",
        "customers",
        "share",
        "precision",
        "recall",
        "lift",
        "lead",
        "lead10",
    )
    rows = []
    for predictor in predictors:
        for cut in predictor.cuts:
            quality, lead = cut.quality, cut.lead
            if not quality.flagged:
                continue
            share = quality.flagged_share
            rows.append(
                [
                    say(predictor.name, language),
                    cut.at,
                    f"{quality.flagged:,}",
                    f"{quality.customers:,}",
                    NOTHING if share is None else f"{share.value:.3f}",
                    told(quality.precision),
                    told(quality.recall),
                    told(quality.lift, 2),
                    told(None if lead is None else lead.median, 1),
                    told(None if lead is None else lead.p10, 1),
                ]
            )
    names = [say(key, language) for key in keys]
    return Table(f"{title}: {say('cuts', language)}", names, rows, left=2, is_detail=True)


def _changed(
    key: str, count: int, customers: list[str], at_stake: dict[str, int], language: Language
) -> list[str]:
    amounts = ", ".join(money(amount, currency) for currency, amount in at_stake.items())
    return [say(key, language), f"{count:,}", f"{len(customers):,}", amounts]


def _of_policy(part: Part, place: int) -> dict[str, Predictor]:
    return _by_name(part.policies[place].predictors)


def _by_name(predictors: Sequence[Predictor]) -> dict[str, Predictor]:
    return {predictor.name: predictor for predictor in predictors}


def _days(days: float | None) -> str:
    return NOTHING if days is None else f"{days:g}"


def _rate(count: int, months: int) -> str:
    return f"{count / months:.4f}" if months else NOTHING


def _print(terminal: Terminal, table: Table) -> None:
    terminal.heading(table.title)
    columns = [Column(name, right=place >= table.left) for place, name in enumerate(table.names)]
    terminal.table(columns, table.rows)
