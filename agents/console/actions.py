"""What is entered through the console: the events of `tocsin log`, made, checked and sent alike.

The author is the user who asks, whatever the body says: bodies have no field for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from tocsin.agents.console.answers import IsoDate
from tocsin.agents.console.guard import Refusal
from tocsin.agents.entry.engagement import EntryResult, enter, known_at, make_event
from tocsin.agents.entry.engagement_kinds import KINDS, Amount
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import EPOCH
from tocsin.agents.settings.settings import Settings

WAIT_S: Final = 5.0
TEXT_MAX: Final = 1_000
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
OwnId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Its id, so that the same call again enters nothing new; made if not given.",
    ),
]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]


class Acknowledgement(Struct, frozen=True, forbid_unknown_fields=True):
    """Someone has taken a warning in hand."""

    note: Text | UnsetType = UNSET


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a warning turned out to be right."""

    verdict: Literal["TRUE_ALARM", "FALSE_ALARM"]
    reason: Text


class Silence(Struct, frozen=True, forbid_unknown_fields=True):
    """Warnings of a customer, of one rule or all, are muted until a day."""

    until: IsoDate
    reason: Text
    rule: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    id: OwnId | UnsetType = UNSET


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """A contact with the customer, or an attempt at one."""

    channel: Literal["EMAIL", "LETTER", "MEETING", "MESSAGE", "PHONE", "VISIT"]
    outcome: Literal[
        "ANSWERED",
        "CAME_IN",
        "COOPERATIVE",
        "NOT_INTERESTED",
        "REFUSED_TO_PAY",
        "UNANSWERED",
        "UNCOOPERATIVE",
    ]
    reason: Literal["DIFFICULTY", "DISPUTE", "OTHER"] | UnsetType = UNSET
    step: Literal["CALL", "LAWSUIT", "LAWYER_LETTER", "REMINDER", "WRITTEN_NOTICE"] | UnsetType = (
        UNSET
    )
    text: Text | UnsetType = UNSET
    id: OwnId | UnsetType = UNSET


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """The customer promises to pay an amount by a day."""

    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    currency: Currency
    due_date: IsoDate
    invoice_ids: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=200)
    ] = ()
    id: OwnId | UnsetType = UNSET


Body = Acknowledgement | Verdict | Silence | Contact | Promise
NAMES: Final[Mapping[type[Struct], str]] = {
    Acknowledgement: "acknowledge",
    Verdict: "verdict",
    Silence: "silence",
    Contact: "contact",
    Promise: "promise",
}
"""The subcommand of `tocsin log` that each body stands for."""


async def act(
    settings: Settings, author: str, customer_id: str, episode_id: str, body: Body
) -> EntryResult:
    """Make the event of a body, check it, send it, and wait a little for what the worker says.

    `episode_id` is that of the warning it is about, empty if it is about the customer. Raises
    Refusal if the product's checks refuse it, UnavailableError.
    """
    name = NAMES[type(body)]
    kind = KINDS[name]
    values = _values(body)
    if kind.own_id and "id" in values:
        values[kind.own_id] = values.pop("id")
    if kind.names_warning:
        values["episode_id"] = episode_id
    if kind.has_author:
        values["author"] = author
    occurred_at, recorded_at = await known_at(settings, None)
    try:
        event = make_event(kind, name, customer_id, values, occurred_at, recorded_at)
    except InputError as error:
        raise Refusal(422, str(error)) from error
    return await enter(settings, event, WAIT_S)


def _values(body: Body) -> dict[str, Any]:
    """The fields of a body as `make_event` takes them."""
    values = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
    match body:
        case Silence():
            values["expires_on"] = epoch_day("until", values.pop("until"))
        case Promise():
            amount = Amount(values.pop("amount_minor"), values.pop("currency"))
            values["amount_minor"] = amount
            values["due_date"] = epoch_day("due_date", values["due_date"])
        case _:
            pass
    return values


def epoch_day(name: str, text: str) -> int:
    """The epoch day of an ISO date. Raises Refusal."""
    try:
        return (date.fromisoformat(text) - EPOCH).days
    except ValueError as error:
        raise Refusal(422, f"{name}: {text} is no date") from error
