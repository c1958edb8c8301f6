"""Warnings as commands, console and programs ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tocsin.agents.queries.lookup import Lookup, WarningFilter
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.formats import day, instant
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.measures.severity import SEVERITIES


def view_of(lookup: Lookup, warnings: Iterable[RiskWarning], language: Language) -> WarningView:
    """What is needed to show these warnings to people."""
    names = lookup.names({warning.customer_id for warning in warnings})
    return WarningView(language, names)


def warning_json(warning: RiskWarning, view: WarningView) -> dict[str, Any]:
    """A warning as programs get it: fields of the schema, instants and dates in ISO 8601."""
    fields = {name: getattr(warning, name) for name in warning.__struct_fields__}
    fields["as_of"] = day(warning.as_of)
    fields["occurred_at"] = instant(warning.occurred_at).replace(" ", "T")
    fields["customer_name"] = view.names.get(warning.customer_id)
    return fields


def matches(warning: RiskWarning, wanted: WarningFilter) -> bool:
    """Whether a warning read from the topic is one that is asked for."""
    return (
        wanted.customer_id in ("", warning.customer_id)
        and wanted.rule in ("", warning.rule)
        and wanted.phase in ("", warning.phase)
        and SEVERITIES.get(warning.severity, 0) >= SEVERITIES[wanted.severity]
        and warning.as_of >= wanted.since
    )
