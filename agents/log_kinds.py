"""What can be logged by hand: per subcommand the event that it makes and the options it takes.

A table, so that every engagement is entered the same way. An option bears the name of the event's
field that it fills; an amount fills the field of its currency too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import click
from msgspec import Struct

from tocsin.agents.log_values import Day, Fingerprint, Instalment, Money, Share, Word
from tocsin.agents.options import Named
from tocsin.streams import checks_engagements as words
from tocsin.streams import events

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Kind(Struct, frozen=True, kw_only=True):
    """A subcommand: the event's type, what it says of itself, its own options, fixed fields."""

    make: type[events.CustomerEvent]
    about: str
    options: tuple[Decorator, ...] = ()
    fixed: Mapping[str, Any] = {}
    names_another: bool = False  # its id is that of what was logged before: it must be given
    begins_with: tuple[str, str] | None = None  # field and word with which it is a new one instead
    names_warning: bool = False  # it is about a warning, which also tells the customer

    @property
    def own_id(self) -> str:
        """The field that holds the id of what is logged; empty if the customer is all."""
        own = self.make.__struct_fields__[1]
        return own if own.endswith("_id") and not self.names_warning else ""

    @property
    def has_author(self) -> bool:
        """Whether the event says who speaks."""
        return "author" in self.make.__struct_fields__


def _word(field: str, among: Collection[str], about: str, *, required: bool = True) -> Decorator:
    return click.option(_flag(field), field, type=Word(among), required=required, help=about)


def _text(field: str, about: str, *, required: bool = False, flag: str = "") -> Decorator:
    kind = Named() if required else None
    return click.option(
        flag or _flag(field), field, type=kind, required=required, help=about, metavar="TEXT"
    )


def _money(field: str, about: str, *, required: bool = True, flag: str = "--amount") -> Decorator:
    return click.option(flag, field, type=Money(), required=required, help=about)


def _day(flag: str, field: str, about: str, *, required: bool = True) -> Decorator:
    return click.option(flag, field, type=Day(), required=required, help=about)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


_INVOICE = click.option("--invoice", "invoice_id", required=True, help="The invoice meant.")
_WHY = _text("reason", "Why; kept with the record.", required=True)
_UNTIL = _day("--until", "until", "The last day of it, if it is to end by itself.", required=False)
_LIMIT = _money("limit_minor", "The limit.", required=False)
_CREDIT_OUTCOME = _word("outcome", words.CREDIT_OUTCOMES, "What was decided.", required=False)
_OUR_FAULT = click.option("--our-fault", "is_own_fault", is_flag=True, help="It was our fault.")
_TEXT = _text("text", "In words.")

KINDS: Final[Mapping[str, Kind]] = {
    "contact": Kind(
        make=events.ContactLogged,
        about="A contact with the customer, or an attempt at one.",
        options=(
            _word("channel", words.CHANNELS, "How."),
            _word("outcome", words.CONTACT_OUTCOMES, "What came of it."),
            _word("reason", words.REFUSED_BECAUSE, "Why it refuses to pay.", required=False),
            _text("text", "What was said."),
            _word(
                "step", words.CONTACT_STEPS, "The collection step that it takes.", required=False
            ),
            click.option(
                "--confirmed/--unconfirmed",
                "is_confirmed",
                default=None,
                help="Whether the customer confirmed the minutes.",
            ),
            click.option(
                "--attachment",
                "attachment_sha256",
                type=Fingerprint(),
                metavar="FILE",
                help="A file that proves it: its SHA-256 is kept, the file stays yours.",
            ),
        ),
    ),
    "dispute": Kind(
        make=events.DisputeOpened,
        about="The customer disputes a part of an invoice.",
        options=(
            _INVOICE,
            _money("amount_minor", "The part disputed."),
            _word("reason", words.DISPUTE_REASONS, "What it disputes."),
            _OUR_FAULT,
        ),
    ),
    "dispute-resolved": Kind(
        make=events.DisputeResolved,
        about="A dispute is settled.",
        options=(_word("outcome", words.DISPUTE_OUTCOMES, "How."), _OUR_FAULT),
        names_another=True,
    ),
    "promise": Kind(
        make=events.PromiseMade,
        about="The customer promises to pay by a day; with the --id of a promise: revises it.",
        options=(
            _money("amount_minor", "How much."),
            _day("--due", "due_date", "By when."),
            click.option("--invoice", "invoice_ids", multiple=True, help="For what; may repeat."),
        ),
    ),
    "promise-withdrawn": Kind(
        make=events.PromiseWithdrawn,
        about="A promise no longer holds, by agreement: neither kept nor broken.",
        options=(_WHY,),
        names_another=True,
    ),
    "plan": Kind(
        make=events.PlanAgreed,
        about="Instalments are agreed; with the --id of a plan: revises it.",
        options=(
            click.option(
                "--instalment",
                "instalments",
                type=Instalment(),
                multiple=True,
                required=True,
                help="When and how much, such as '2025-03-31=500.00 EUR'; may repeat.",
            ),
            _text("reason", "Why it was agreed, or revised."),
        ),
    ),
    "plan-ended": Kind(
        make=events.PlanEnded,
        about="A plan holds no longer.",
        options=(_word("outcome", words.PLAN_OUTCOMES, "What became of it."), _WHY),
        names_another=True,
    ),
    "hold": Kind(
        make=events.CreditDecided,
        about="Deliver no more on credit.",
        options=(_UNTIL, _WHY),
        fixed={"kind": "HOLD"},
    ),
    "release": Kind(
        make=events.CreditDecided,
        about="Lift the hold; with --until only for days of grace, then it is back.",
        options=(_UNTIL, _WHY),
        fixed={"kind": "RELEASE"},
    ),
    "limit": Kind(
        make=events.CreditDecided,
        about="Set the credit limit; without --amount there is none, which is not 0.",
        options=(_LIMIT, _UNTIL, _WHY),
        fixed={"kind": "LIMIT"},
    ),
    "prepayment": Kind(
        make=events.CreditDecided,
        about="Demand a share of each order in advance.",
        options=(
            click.option(
                "--share",
                "prepayment_basis_points",
                type=Share(),
                required=True,
                help="Percent of the order; 0: none.",
            ),
            _UNTIL,
            _WHY,
        ),
        fixed={"kind": "PREPAYMENT"},
    ),
    "review": Kind(
        make=events.CreditDecided,
        about="Review the customer's credit: without --outcome it begins.",
        options=(_CREDIT_OUTCOME, _LIMIT, _WHY),
        fixed={"kind": "REVIEW"},
    ),
    "screening": Kind(
        make=events.CreditDecided,
        about="Screen a new customer or partner: without --outcome it begins.",
        options=(_CREDIT_OUTCOME, _LIMIT, _WHY),
        fixed={"kind": "SCREENING"},
    ),
    "retire": Kind(
        make=events.RetirementAdvanced,
        about="Take a step towards ending the business with the customer, or back.",
        options=(
            _word("step", words.RETIREMENT_STEPS, "Which step."),
            click.option(
                "--initiative",
                type=Word(words.INITIATIVES),
                default="seller",
                show_default=True,
                help="Who wants it.",
            ),
            _word("money_decision", words.MONEY_DECISIONS, "Of what is owed.", required=False),
            _WHY,
        ),
        begins_with=("step", "PROPOSED"),
    ),
    "breach": Kind(
        make=events.ContractBreached,
        about="The customer did not perform what the contract says.",
        options=(
            _word("kind", words.BREACH_KINDS, "What was not performed."),
            click.option("--serious", "is_serious", is_flag=True, help="It is a serious breach."),
            _TEXT,
        ),
    ),
    "satisfaction": Kind(
        make=events.SatisfactionReported,
        about="How content the customer says it is.",
        options=(
            click.option(
                "--rating",
                type=click.IntRange(0, words.RATING_MAX),
                required=True,
                help=f"From 0 to {words.RATING_MAX}, the best.",
            ),
        ),
    ),
    "alert": Kind(
        make=events.AlertRaised,
        about="A court, a registry or the market says something about the customer.",
        options=(_word("kind", words.ALERT_KINDS, "Who, or of what."), _TEXT),
    ),
    "alert-lifted": Kind(
        make=events.AlertLifted, about="An alert holds no longer.", names_another=True
    ),
    "order-change": Kind(
        make=events.OrderChanged,
        about="The customer changed an order or a requirement.",
        options=(
            _word("kind", words.CHANGE_KINDS, "What was changed."),
            click.option("--order", "order_id", help="The order, if it is one."),
        ),
    ),
    "service": Kind(
        make=events.ServiceRecorded,
        about="Work done for the customer beside its orders.",
        options=(
            click.option(
                "--minutes",
                type=click.IntRange(0, words.MINUTES_MAX),
                required=True,
                help="Time that it took.",
            ),
            _money("cost_minor", "What it cost us.", required=False, flag="--cost"),
        ),
    ),
    "silence": Kind(
        make=events.SilenceBegan,
        about="Mute the customer's warnings, of one rule or all, until a day.",
        options=(
            _day("--until", "expires_on", "The first day on which it no longer holds."),
            _text("rule", "Only this rule; all if not given."),
            _WHY,
        ),
    ),
    "silence-ended": Kind(
        make=events.SilenceEnded,
        about="Lift a silence before its day.",
        options=(_WHY,),
        names_another=True,
    ),
    "acknowledge": Kind(
        make=events.WarningAcknowledged,
        about="Someone has taken a warning in hand: it is not repeated until it escalates.",
        options=(_text("note", "What is being done."),),
        names_warning=True,
    ),
    "verdict": Kind(
        make=events.VerdictGiven,
        about="Say whether a warning turned out to be right.",
        options=(_word("verdict", words.VERDICTS, "Whether it was."), _WHY),
        names_warning=True,
    ),
}
