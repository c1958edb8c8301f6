"""A backtest as one HTML page that needs nothing else: for those who decide about a policy."""

from __future__ import annotations

from html import escape

from tocsin.agents.backtest.figures import BacktestReport, HarmFigures, Predictor
from tocsin.agents.backtest.plots import (
    Bar,
    Dot,
    calibration_plot,
    figure_bars,
    front_plot,
    histogram,
    share_curves,
    stacked_months,
)
from tocsin.agents.backtest.sweeping import SweepFigures
from tocsin.agents.backtest.tables import (
    Table,
    difference_table,
    facts,
    harm_facts,
    harm_tables,
    load_table,
    setting_text,
    sweep_tables,
)
from tocsin.agents.backtest.texts import in_language, say
from tocsin.agents.render.warning_cards import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")
CUSTOMERS_LEAST = 5
_NAMES = {"en": "English", "zh": "中文"}
_STYLE = """
body{font:15px/1.45 sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1.5em;font-size:13px}
th,td{padding:2px 10px 2px 0;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th.l,td.l{text-align:left}
h2{border-top:2px solid #1f4e79;padding-top:.6em;margin-top:2em}
.wide{overflow-x:auto}
.note{color:#555}
details{margin:1em 0}
summary{cursor:pointer;font-weight:bold}
svg{max-width:100%;min-width:36em;height:auto}
.choice{position:absolute;opacity:0;pointer-events:none}
.choice:checked+label{color:#222;font-weight:bold;text-decoration:none}
.choice:focus-visible+label{outline:2px solid #1f4e79}
section{display:none}
#en:checked~#s-en,#zh:checked~#s-zh{display:block}
label{margin-right:1em;color:#1f4e79;cursor:pointer;text-decoration:underline}
@media print{label{display:none}}
"""


def page(found: BacktestReport, language: Language = "en") -> str:
    """The page in both languages; the one that is shown first is `language`."""
    choices = "".join(
        f'<input class="choice" type="radio" name="lang" id="{one}"'
        f"{' checked' if one == language else ''}>"
        f'<label for="{one}">{_NAMES[one]}</label>'
        for one in LANGUAGES
    )
    bodies = "".join(
        f'<section id="s-{one}" lang="{one}">{_body(found, one)}</section>' for one in LANGUAGES
    )
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f"<title>{escape(say('title', language))}</title><style>{_STYLE}</style></head>"
        f"<body>{choices}{bodies}</body></html>\n"
    )


def _body(found: BacktestReport, language: Language) -> str:
    parts = [
        f"<h1>{escape(say('title', language))}</h1>",
        _note("intro", language),
        _note("read", language),
        _facts(facts(found, language)),
    ]
    for harm in found.harms:
        parts += _harm(harm, language)
    for load in found.policies:
        parts.append(f"<h2>{escape(load.policy)}: {escape(say('alarms', language))}</h2>")
        parts.append(f"<h3>{escape(say('month_plot', language))}</h3>")
        drawing = stacked_months(load.load.by_month, say("others", language))
        parts.append(f'<div class="wide">{drawing}</div>')
        parts.append(_table(load_table(load, language)))
    for difference in found.differences:
        parts.append(_table(difference_table(difference, language)))
    if found.sweep is not None:
        parts += _sweep(found.sweep, language)
    return "".join(parts)


def _sweep(sweep: SweepFigures, language: Language) -> list[str]:
    """Curves and fronts of each harm, and the tables."""
    parts = [
        f"<h2>{escape(sweep.policy)}: {escape(say('sweep', language))}</h2>",
        _note("sweep_note", language),
    ]
    names = [setting_text(point, language) for point in sweep.points]
    for place, first in enumerate(sweep.points[0].cuts):
        cuts = [point.cuts[place] for point in sweep.points]
        series = {
            say("precision", language): [cut.quality.precision for cut in cuts],
            say("recall", language): [cut.quality.recall for cut in cuts],
        }
        # The policy as it is comes first and is no setting among the others: a line across.
        title = f"{first.harm}: {say('curve_plot', language)}"
        parts += _plot(title, "curve_note", share_curves(series, names[1:]), language)
        dots = [
            Dot(name, cut.lead.median.value, cut.quality.precision.value, cut.is_front)
            for name, cut in zip(names, cuts, strict=True)
            if cut.lead.median is not None and cut.quality.precision is not None
        ]
        drawing = front_plot(dots, say("lead", language), say("precision", language))
        parts += _plot(
            f"{first.harm}: {say('front_plot', language)}", "front_note", drawing, language
        )
    parts += [_table(table) for table in sweep_tables(sweep, language)]
    return parts


def _harm(harm: HarmFigures, language: Language) -> list[str]:
    whole = harm.parts[0]
    parts = [
        f"<h2>{escape(harm.harm)}: {escape(in_language(harm.label, language))}</h2>",
        _facts(harm_facts(harm, language)),
    ]
    for policy in whole.policies:
        bars = [bar for one in policy.predictors for bar in _bars(one, language)]
        bars += [bar for one in whole.references for bar in _bars(one, language)]
        parts += _plot(
            f"{policy.policy}: {say('lift_plot', language)}",
            "lift_note",
            figure_bars(bars, 1) if bars else "",
            language,
        )
        series = {
            say(one.name, language): one.calibration
            for one in (*policy.predictors, *whole.references)
            if one.calibration
        }
        across, up = say("predicted", language), say("observed", language)
        parts += _plot(
            f"{policy.policy}: {say('calibration_plot', language)}",
            "calibration_note",
            calibration_plot(series, across, up) if series else "",
            language,
        )
        days = harm.lead_days[policy.policy]
        parts += _plot(
            f"{policy.policy}: {say('lead_plot', language)}", "lead_note", histogram(days), language
        )
    parts += [_table(table) for table in harm_tables(harm, language)]
    return parts


def _bars(predictor: Predictor, language: Language) -> list[Bar]:
    """The lift of each cut that flags anything; of a rule only where it says something often."""
    cuts = predictor.cuts
    if predictor.kind == "rule":
        cuts = [cut for cut in cuts[:1] if cut.quality.customers >= CUSTOMERS_LEAST]
    return [
        Bar(f"{say(predictor.name, language)} ≥ {cut.at}", cut.quality.lift)
        for cut in cuts
        if cut.quality.lift is not None
    ]


def _plot(title: str, note: str, drawing: str, language: Language) -> list[str]:
    shown = drawing or f"<p>{escape(say('none', language))}</p>"
    return [f"<h3>{escape(title)}</h3>", _note(note, language), f'<div class="wide">{shown}</div>']


def _note(key: str, language: Language) -> str:
    return f'<p class="note">{escape(say(key, language))}</p>'


def _facts(pairs: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><td class="l">{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in pairs
    )
    return f"<table>{rows}</table>"


def _table(table: Table) -> str:
    def cells(tag: str, row: list[str]) -> str:
        return "".join(
            f"<{tag}{' class=l' if place < table.left else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    head = f"<tr>{cells('th', table.names)}</tr>"
    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    body = f'<div class="wide"><table>{head}{rows}</table></div>'
    title = escape(table.title)
    if table.is_detail:
        return f"<details><summary>{title}</summary>{body}</details>"
    return f"<h3>{title}</h3>{body}"
