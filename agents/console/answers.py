"""What the API answers: the readings of the commands, asked for by path and query.

Each answer is what the command of the same matter prints with `--json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from tocsin.agents.console.guard import Refusal
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.past.asking import past_file, past_warnings, past_worklist
from tocsin.agents.past.moment import read_moment
from tocsin.agents.queries.contacts import contacts_json, latest
from tocsin.agents.queries.customer import file_json, read_file
from tocsin.agents.queries.dead_letters import refused_json
from tocsin.agents.queries.events import event_json
from tocsin.agents.queries.explanation import explanation_json, read_explanation
from tocsin.agents.queries.lookup import Lookup, PlacedWarning, WarningFilter
from tocsin.agents.queries.warnings import view_of, warning_json
from tocsin.agents.queries.worklist import policy_of, read_worklist, worklist_json
from tocsin.agents.render import rule_cards
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.formats import EPOCH, day
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import BY_NAME
from tocsin.streams.facts.checks import check_id

LIMIT_MAX: Final = 200
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many at most.")]
Severity = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
Cursor = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,9}-[0-9]{1,18}$", description="`next` of the page before."),
]
Id = Annotated[str, Meta(min_length=1, max_length=200)]
IsoDate = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", extra_json_schema={"format": "date"})
]
AsOf = Annotated[
    str,
    Meta(
        max_length=40,
        description="What was known then: a day, to its end in the deployment's zone, or an "
        "instant (ISO 8601). All is decided again up to there, which takes its time.",
    ),
]
SourceTopic = Literal[
    "policies", "clock", "customers", "invoices", "payments", "complaints", "engagements"
]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """A query without parameters."""


class WarningsAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Which warnings; open ones come gravest first, else the newest first."""

    open: Annotated[bool, Meta(description="Only episodes that have not ended.")] = False
    severity: Annotated[Severity, Meta(description="The least severity.")] = "LOW"
    rule: Id | None = None
    customer: Id | None = None
    phase: Literal["HISTORY", "LIVE"] | None = None
    muted: Annotated[bool | None, Meta(description="Only muted ones, or only others.")] = None
    since: Annotated[IsoDate | None, Meta(description="From this business date on.")] = None
    cursor: Cursor | None = None
    limit: Limit = 50
    as_of: AsOf | None = None


class CustomersAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Which customers: a part of an id or a name."""

    q: Annotated[str, Meta(min_length=2, max_length=100)]
    limit: Limit = 20


class FileAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a credit file."""

    events: Annotated[int, Meta(ge=0, le=LIMIT_MAX, description="Latest events in it.")] = 10
    as_of: AsOf | None = None


class ListAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a list."""

    limit: Limit = 50


class WorklistAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """For how many customers there is time, and whose they are."""

    budget: Annotated[int, Meta(ge=0, le=LIMIT_MAX)] = 20
    owner: Id | None = None
    as_of: AsOf | None = None


class LettersAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Which refused records; `raw` adds key, value and headers, for operators."""

    topic: SourceTopic | None = None
    code: Id | None = None
    raw: bool = False
    limit: Limit = 50


class Asked(Struct, frozen=True):
    """A question: by whom is settled, from where it is answered, and what the path names."""

    settings: Settings
    lookup: Lookup
    path: Mapping[str, str]
    may_act: bool


def warnings(asked: Asked, query: WarningsAsked) -> dict[str, Any]:
    """A page of warnings."""
    if query.as_of is None:
        found, following = warnings_page(asked.lookup, query)
        view = view_of(asked.lookup, [placed.warning for placed in found], "en")
    else:
        wanted = _wanted(asked.lookup, query)
        with _told_plainly():
            moment = read_moment(query.as_of, convention_of(asked.settings))
            placed, view = past_warnings(asked.settings, moment, wanted)
        found, following = _page(placed, query.limit)
    return {"items": [warning_json(placed.warning, view) for placed in found], "next": following}


def warnings_page(lookup: Lookup, query: WarningsAsked) -> tuple[list[PlacedWarning], str | None]:
    """The warnings of a page, and the cursor of the next if there is one."""
    return _page(lookup.warnings(_wanted(lookup, query)), query.limit)


def _wanted(lookup: Lookup, query: WarningsAsked) -> WarningFilter:
    """What a page asks for: one more than it shows."""
    return WarningFilter(
        is_open=query.open,
        customer_id=lookup.customer(query.customer or ""),
        rule=query.rule or "",
        severity=query.severity,
        phase=query.phase or "",
        since=_epoch_day(query.since),
        muted=query.muted,
        after=_place(query.cursor),
        limit=query.limit + 1,
    )


def _page(found: list[PlacedWarning], limit: int) -> tuple[list[PlacedWarning], str | None]:
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], f"{last.partition}-{last.offset}"


@contextmanager
def _told_plainly() -> Iterator[None]:
    """What cannot be told of the past becomes a Refusal that says why."""
    try:
        yield
    except InputError as error:
        raise Refusal(400, str(error)) from error
    except ConfigurationError as error:
        raise Refusal(404, str(error)) from error


def warning(asked: Asked, query: Nothing) -> dict[str, Any]:
    """A warning with all that stands behind it."""
    found = read_explanation(
        asked.settings, asked.lookup, the_warning(asked.lookup, asked.path["warning_id"])
    )
    return explanation_json(found, view_of(asked.lookup, [found.placed.warning], "en"))


def the_warning(lookup: Lookup, warning_id: str) -> PlacedWarning:
    """The warning with an id, whole. Raises Refusal if there is none."""
    found = lookup.warnings_with_id(warning_id) if is_plain(warning_id) else []
    if len(found) != 1 or found[0].warning.warning_id != warning_id:
        raise Refusal(404, "there is no warning with this id")
    return found[0]


def customers(asked: Asked, query: CustomersAsked) -> dict[str, Any]:
    """Customers by a part of their ids or names."""
    found = asked.lookup.customers_like(query.q, query.limit)
    return {"items": [{"customer_id": found_id, "name": name or None} for found_id, name in found]}


def customer(asked: Asked, query: FileAsked) -> dict[str, Any]:
    """A credit file."""
    customer_id = the_customer(asked.lookup, asked.path["customer_id"])
    settings, lookup = asked.settings, asked.lookup
    if query.as_of is None:
        file = read_file(lookup, customer_id, query.events, settings.horizon_days)
    else:
        with _told_plainly():
            moment = read_moment(query.as_of, convention_of(settings))
            file = past_file(settings, moment, lookup, customer_id, query.events)
    names = {customer_id: file.standing["name"] or ""}
    return file_json(file, WarningView("en", names))


def the_customer(lookup: Lookup, customer_id: str) -> str:
    """The id, if there is such a customer. Raises Refusal if there is none."""
    is_known = is_plain(customer_id) and check_id("customer_id", customer_id) is None
    stored = lookup.customer(customer_id) if is_known else ""
    if not is_known or lookup.standing(stored) is None:
        raise Refusal(404, "there is no customer with this id")
    return stored


def items(asked: Asked, query: Nothing) -> dict[str, Any]:
    """What a customer owes, by currency and due date."""
    customer_id = the_customer(asked.lookup, asked.path["customer_id"])
    return {
        "as_of": day(asked.lookup.business_date()),
        "items": [
            {"currency": currency, "due_date": day(due), "open_minor": amount, "items": count}
            for currency, due, amount, count in asked.lookup.due(customer_id)
        ],
    }


def contacts(asked: Asked, query: Nothing) -> dict[str, Any]:
    """Every contact with a customer."""
    customer_id = the_customer(asked.lookup, asked.path["customer_id"])
    return contacts_json(latest(asked.lookup.contacts(customer_id, 0)))


def episodes(asked: Asked, query: ListAsked) -> dict[str, Any]:
    """The last step of each of a customer's episodes."""
    customer_id = the_customer(asked.lookup, asked.path["customer_id"])
    found = [placed.warning for placed in asked.lookup.episodes(customer_id, query.limit)]
    view = view_of(asked.lookup, found, "en")
    return {
        "items": [
            {"is_open": one.transition != "CLEARED", "last": warning_json(one, view)}
            for one in found
        ]
    }


def timeline(asked: Asked, query: ListAsked) -> dict[str, Any]:
    """What became known of a customer last."""
    customer_id = the_customer(asked.lookup, asked.path["customer_id"])
    return {"items": [event_json(seen) for seen in asked.lookup.events(customer_id, query.limit)]}


def worklist(asked: Asked, query: WorklistAsked) -> dict[str, Any]:
    """Whom to deal with next; who is left is named as far as a page goes, and counted."""
    settings = asked.settings
    if query.as_of is None:
        try:
            found = read_worklist(asked.lookup, settings.horizon_days, query.budget, query.owner)
        except ConfigurationError as error:
            raise Refusal(404, str(error)) from error
    else:
        with _told_plainly():
            moment = read_moment(query.as_of, convention_of(settings))
            found = past_worklist(settings, moment, query.budget, query.owner)
    told = worklist_json(found)
    return {**told, "left": told["left"][:LIMIT_MAX], "left_count": len(told["left"])}


def rules(asked: Asked, query: Nothing) -> dict[str, Any]:
    """The rules of the policy in force."""
    try:
        policy = policy_of(asked.lookup, asked.settings.horizon_days)
    except ConfigurationError as error:
        raise Refusal(404, str(error)) from error
    return {
        "policy": policy.name,
        "version": policy.version,
        "reporting_currency": policy.reporting_currency,
        "rules": [rule_cards.rule_json(rule) for rule in policy.rules],
    }


def aging(asked: Asked, query: Nothing) -> dict[str, Any]:
    """Receivables by age, of all customers."""
    names = ("currency", "segment", "bucket", "open_minor", "items", "customers")
    rows = [dict(zip(names, row, strict=True)) for row in asked.lookup.aging()]
    return {"as_of": day(asked.lookup.business_date()), "items": rows}


def dead_letters(asked: Asked, query: LettersAsked) -> dict[str, Any]:
    """Refused records."""
    if query.raw and not asked.may_act:
        raise Refusal(403, "raw records are shown to operators only")
    topic_id = None if query.topic is None else BY_NAME[query.topic].topic_id
    found = asked.lookup.dead_letters(topic_id=topic_id, code=query.code or "", limit=query.limit)
    hidden = () if query.raw else ("key", "value", "headers")
    return {
        "items": [
            {name: value for name, value in refused_json(one).items() if name not in hidden}
            for one in found
        ]
    }


def health(asked: Asked, query: Nothing) -> dict[str, Any]:
    """That the history answers, and up to which business date it has come."""
    date = asked.lookup.business_date()
    return {"status": "ok", "business_date": None if date is None else day(date)}


def is_plain(text: str) -> bool:
    """Whether a text can be asked for at all: printable, and no half characters."""
    return text.isprintable() and len(text) <= LIMIT_MAX


def _place(cursor: str | None) -> tuple[int, int] | None:
    if cursor is None:
        return None
    partition, _, offset = cursor.partition("-")
    return int(partition), int(offset)


def _epoch_day(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return (date.fromisoformat(text) - EPOCH).days
    except ValueError as error:
        raise Refusal(400, f"since: {text} is no date") from error
