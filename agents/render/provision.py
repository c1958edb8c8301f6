"""The provision matrix for people and programs: what is provided, and what the rates rest on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.formats import day, money
from tocsin.streams.receivables.interest import MILLION, half_up
from tocsin.streams.receivables.provision import BUCKETS, Cohort, Group, Provision
from tocsin.streams.receivables.statutory import percent

NAMES = dict(
    zip(
        BUCKETS,
        ("not due", "1-30 days", "31-60 days", "61-90 days", "over 90 days"),
        strict=True,
    )
)
MATRIX = (
    Column("past due"),
    *(Column(name, right=True) for name in ("open", "loss rate")),
    Column("rate of"),
    Column("provision", right=True),
)
DERIVATION = (
    Column("of"),
    Column("invoices", right=True),
    *(Column(name, right=True) for name in (*NAMES.values(), "lost")),
)


def show_provision(terminal: Terminal, provision: Provision) -> None:
    """Print the matrix by currency and segment, its total, and the derivation of the rates."""
    terminal.say(f"Expected credit losses as of {day(provision.as_of)}", style="bold")
    totals: dict[str, list[int]] = {}
    for group, cells in provision.matrix.items():
        terminal.heading(f"{group.currency}, {_name(group)}")
        rows = [
            (
                NAMES[cell.bucket],
                money(cell.open_minor, group.currency),
                _percent(cell.rate),
                "-" if cell.rate is None else _name(cell.derived_from),
                "unknown"
                if cell.provision_minor is None
                else money(cell.provision_minor, group.currency),
            )
            for cell in cells
        ]
        terminal.table(MATRIX, rows)
        total = totals.setdefault(group.currency, [0, 0, 0])
        total[0] += sum(cell.open_minor for cell in cells)
        total[1] += sum(cell.provision_minor or 0 for cell in cells)
        total[2] += sum(cell.open_minor for cell in cells if cell.rate is None)
    terminal.heading("Total")
    for currency, (open_minor, provided, unknown) in sorted(totals.items()):
        terminal.say(f"{money(provided, currency)} on {money(open_minor, currency)} open")
        if unknown:
            terminal.say(f"not provided for, no rate known: {money(unknown, currency)}")
    _show_derivation(terminal, provision)


def _show_derivation(terminal: Terminal, provision: Provision) -> None:
    window, parameters = provision.window, provision.parameters
    terminal.heading("Derivation")
    terminal.say(
        f"Invoices due from {day(window.first)} to {day(window.last)}; what was unpaid "
        f"{window.loss_days} days after its due date, or written off by then, counts as lost."
    )
    terminal.say(
        f"Rates of its own: a segment with {parameters.items_min} such invoices or more, a bucket "
        f"that {parameters.bucket_items_min} or more of them reached; else of all segments, or "
        "unknown. "
        f"Outlook: all rates times {percent(parameters.outlook_millionths)} %, declared."
    )
    rows = []
    for group, cohort in provision.history.items():
        name = f"{group.currency}, {_name(group)}"
        reached = [money(amount, group.currency) for amount in cohort.reached_minor]
        lost = money(cohort.lost_minor, group.currency)
        rows.append((f"{name}: reached", str(cohort.items), *reached, lost))
        reached_by = map(str, cohort.reached_items)
        rows.append((f"{name}: invoices", str(cohort.items), *reached_by, ""))
        rows.append((f"{name}: rolls on", "", *map(_percent, cohort.roll_rates), ""))
        rows.append((f"{name}: loss rate", "", *map(_percent, cohort.rates), ""))
    terminal.table(DERIVATION, rows, empty="no invoice is old enough: no rate can be derived")


def provision_json(provision: Provision) -> dict[str, Any]:
    """The same for programs; rates in millionths, rounded half up."""
    return {
        "as_of": day(provision.as_of),
        "first_due": day(provision.window.first),
        "last_due": day(provision.window.last),
        "loss_days": provision.window.loss_days,
        "items_min": provision.parameters.items_min,
        "bucket_items_min": provision.parameters.bucket_items_min,
        "outlook_millionths": provision.parameters.outlook_millionths,
        "matrix": [
            {
                **_group_json(group),
                "bucket": cell.bucket,
                "open_minor": cell.open_minor,
                "rate_millionths": _millionths(cell.rate),
                "rate_of": None if cell.rate is None else cell.derived_from.segment or "*",
                "provision_minor": cell.provision_minor,
            }
            for group, cells in provision.matrix.items()
            for cell in cells
        ],
        "history": [
            _group_json(group) | _cohort_json(cohort) for group, cohort in provision.history.items()
        ],
    }


def _cohort_json(cohort: Cohort) -> dict[str, Any]:
    return {
        "invoices": cohort.items,
        "reached_invoices": dict(zip(BUCKETS, cohort.reached_items, strict=True)),
        "reached_minor": dict(zip(BUCKETS, cohort.reached_minor, strict=True)),
        "lost_minor": cohort.lost_minor,
        "roll_millionths": dict(zip(BUCKETS, map(_millionths, cohort.roll_rates), strict=True)),
        "loss_millionths": dict(zip(BUCKETS, map(_millionths, cohort.rates), strict=True)),
    }


def _group_json(group: Group) -> dict[str, str]:
    return {"currency": group.currency, "segment": group.segment or "*"}


def _name(group: Group) -> str:
    return group.segment or "all segments"


def _millionths(rate: Fraction | None) -> int | None:
    return None if rate is None else half_up(rate.numerator * MILLION, rate.denominator)


def _percent(rate: Fraction | None) -> str:
    """A rate with two decimals of a percent."""
    if rate is None:
        return "-"
    hundredths = half_up(rate.numerator * 10_000, rate.denominator)
    return f"{hundredths // 100}.{hundredths % 100:02} %"
