"""The options of `tocsin log`, by subcommand.

An option bears the name of the event's field that it fills; an amount fills the field of its
currency too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import click

from tocsin.agents.commands.options import Named
from tocsin.agents.commands.values import Day, Fingerprint, Instalment, Money, Share, Word
from tocsin.streams.facts import engagement_checks as words
from tocsin.streams.facts.checks import REVERSAL_KINDS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
_CREDIT = (_INVOICE, _money("amount_minor", "How much of it."))

OPTIONS: Final[Mapping[str, tuple[Decorator, ...]]] = {
    "contact": (
        _word("channel", words.CHANNELS, "How."),
        _word("outcome", words.CONTACT_OUTCOMES, "What came of it."),
        _word("reason", words.REFUSED_BECAUSE, "Why it refuses to pay.", required=False),
        _text("text", "What was said."),
        _word("step", words.CONTACT_STEPS, "The collection step that it takes.", required=False),
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
    "dispute": (
        _INVOICE,
        _money("amount_minor", "The part disputed."),
        _word("reason", words.DISPUTE_REASONS, "What it disputes."),
        _OUR_FAULT,
    ),
    "dispute-resolved": (_word("outcome", words.DISPUTE_OUTCOMES, "How."), _OUR_FAULT),
    "promise": (
        _money("amount_minor", "How much."),
        _day("--due", "due_date", "By when."),
        click.option("--invoice", "invoice_ids", multiple=True, help="For what; may repeat."),
    ),
    "promise-withdrawn": (_WHY,),
    "plan": (
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
    "plan-ended": (_word("outcome", words.PLAN_OUTCOMES, "What became of it."), _WHY),
    "hold": (_UNTIL, _WHY),
    "release": (_UNTIL, _WHY),
    "limit": (_LIMIT, _UNTIL, _WHY),
    "prepayment": (
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
    "review": (_CREDIT_OUTCOME, _LIMIT, _WHY),
    "screening": (_CREDIT_OUTCOME, _LIMIT, _WHY),
    "retire": (
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
    "breach": (
        _word("kind", words.BREACH_KINDS, "What was not performed."),
        click.option("--serious", "is_serious", is_flag=True, help="It is a serious breach."),
        _TEXT,
    ),
    "satisfaction": (
        click.option(
            "--rating",
            type=click.IntRange(0, words.RATING_MAX),
            required=True,
            help=f"From 0 to {words.RATING_MAX}, the best.",
        ),
    ),
    "alert": (_word("kind", words.ALERT_KINDS, "Who, or of what."), _TEXT),
    "refund": (
        _money("amount_minor", "How much."),
        click.option("--payment", "payment_id", help="The payment that it gives back."),
        _text("reason", "Why."),
    ),
    "reversal": (
        _word("kind", REVERSAL_KINDS, "What happened; bounced if not given.", required=False),
        _money("amount_minor", "The part; all of it if not given.", required=False),
        _text("bank_code", "The bank's reason code."),
        _text("reason", "Why."),
    ),
    "write-off": (*_CREDIT, _text("note", "Why; kept with the record.", required=True)),
    "withheld-tax": (*_CREDIT, _text("note", "The certificate, if it has come.")),
    "bank-fee": (*_CREDIT, _text("note", "Which bank.")),
    "credit-note-cancelled": (_text("reason", "Why."),),
    "order-change": (
        _word("kind", words.CHANGE_KINDS, "What was changed."),
        click.option("--order", "order_id", help="The order, if it is one."),
    ),
    "service": (
        click.option(
            "--minutes",
            type=click.IntRange(0, words.MINUTES_MAX),
            required=True,
            help="Time that it took.",
        ),
        _money("cost_minor", "What it cost us.", required=False, flag="--cost"),
    ),
    "silence": (
        _day("--until", "expires_on", "The first day on which it no longer holds."),
        _text("rule", "Only this rule; all if not given."),
        _WHY,
    ),
    "silence-ended": (_WHY,),
    "acknowledge": (_text("note", "What is being done."),),
    "verdict": (_word("verdict", words.VERDICTS, "Whether it was."), _WHY),
}
