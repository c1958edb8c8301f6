"""The dossier of a customer with whom the business may end, read from the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin.agents.queries.dossier_rules import Dossier, Process, dossier_of
from tocsin.agents.queries.lookup import Lookup, WarningFilter
from tocsin.agents.queries.offboarding_notice import (
    notice_of,
    reasons_to_choose,
    withheld_because,
)
from tocsin.agents.queries.warnings import warning_json
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.formats import day

STANDARDS_MAX = 200


def read_dossier(lookup: Lookup, customer_id: str) -> Dossier:
    """Gather a customer's dossier. Raises InputError for a stranger."""
    customer_id = lookup.customer(customer_id)
    standing = lookup.standing(customer_id)
    if standing is None:
        raise lookup.unknown_customer(customer_id)
    wanted = WarningFilter(is_open=True, customer_id=customer_id, limit=STANDARDS_MAX)
    return dossier_of(
        standing,
        [placed.warning for placed in lookup.warnings(wanted)],
        lookup.engagements(customer_id),
        [Process(*row) for row in lookup.processes(customer_id)],
    )


def dossier_json(found: Dossier, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """A dossier as programs get it; dates in ISO 8601, the notice in both languages.

    `reasons` are what a person chose for the notice. Raises InputError for a wrong choice.
    """
    view = WarningView("en", {found.customer_id: found.name})
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return {
        **plain,
        "as_of": day(found.as_of),
        "standards": [warning_json(warning, view) for warning in found.standards],
        "blocks": msgspec.to_builtins(found.blocks),
        "triggers": [warning.rule for warning in found.triggers],
        "notice": msgspec.to_builtins(notice_of(found, reasons)),
        "notice_withheld": msgspec.to_builtins(withheld_because(found, reasons)),
        "reasons_to_choose": reasons_to_choose(found),
    }
