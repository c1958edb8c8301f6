"""The console's templates: where they are, and what they may use.

Everything is escaped unless a template says otherwise, and none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tocsin.agents.console.texts import kind_word, label_word, measure_word, value_word, word
from tocsin.agents.queries.events import record_place
from tocsin.agents.queries.ranking import stakes_of
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.formats import day, instant, money
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE
from tocsin.streams.measures.severity import SEVERITY_NAMES

FOLDER: Final = Path(__file__).parent / "static"
STATIC: Final = {
    "web.css": "text/css",
    "web.js": "text/javascript",
    "web.svg": "image/svg+xml",
}
MACHINES: Final = {machine.name: machine for machine in (PROMISE, PLAN)}
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    day=day, instant=instant, share=lambda part, whole: round(100 * part / whole) if whole else 0
)
_ENVIRONMENT.globals.update(
    money=money, place=record_place, severity_names=SEVERITY_NAMES, stakes_of=stakes_of
)


def page(
    name: str, language: Language, values: Mapping[str, Any], status: int = 200
) -> web.Response:
    """Fill a template in a language."""
    text = _ENVIRONMENT.get_template(f"{name}.html").render(
        {**_spoken(language), **values, "language": language}
    )
    return web.Response(text=text, status=status, content_type="text/html")


def _spoken(language: Language) -> dict[str, Any]:
    """What templates call to speak a language."""

    def both(text: Text) -> str:
        return text.zh if language == "zh" else text.en

    def told(event: Any) -> tuple[str, str, str]:
        kind, name, said = describe_event(event)
        return kind_word(kind, language), name, said

    def value_of(warning: RiskWarning) -> str:
        return measure_word(warning.value, warning.unit, warning.currency, language)

    def threshold_of(warning: RiskWarning) -> str:
        return measure_word(warning.threshold, warning.unit, warning.currency, language)

    def process_word(machine: str, state: str) -> str:
        words = MACHINES[machine].states.get(state)
        return state if words is None else (words.zh if language == "zh" else words.en)

    return {
        "process_word": process_word,
        "w": lambda name: word(name, language),
        "v": lambda name: value_word(name, language),
        "label_word": lambda label: label_word(label, language),
        "both": both,
        "told": told,
        "value_of": value_of,
        "threshold_of": threshold_of,
        "text_of": lambda warning: cards.text_of(warning, language),
        "action_of": lambda warning: cards.action_of(warning, language),
        "clears_when": lambda warning: cards.clears_when(warning, language),
        "who": lambda warning, names: cards.customer_label(warning, WarningView(language, names)),
        "owed": cards.exposure_text,
    }
