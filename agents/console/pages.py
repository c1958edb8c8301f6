"""The console's pages: what a credit controller reads, and the forms to act by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web
from msgspec import Struct

from tocsin.agents.console import actions, answers
from tocsin.agents.console.answers import Asked
from tocsin.agents.console.api import GUARD, POSTS, VISITOR, asked, enter, query_of
from tocsin.agents.console.guard import CSRF_FIELD, Refusal
from tocsin.agents.console.templates import page
from tocsin.agents.console.texts import word
from tocsin.agents.queries.contacts import latest
from tocsin.agents.queries.customer import AGES, CreditFile, aging, read_file
from tocsin.agents.queries.explanation import read_explanation
from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.queries.worklist import left_reason_text, policy_of, read_worklist, reason_text
from tocsin.agents.render.remedy_cards import sentences
from tocsin.agents.render.rule_cards import lines
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.streams.facts.money import MINOR_DIGITS, parse_major
from tocsin.streams.measures.severity import SEVERITIES

LANGUAGE_COOKIE: Final = "tocsin_language"
PAGE: Final = 50
EVENTS: Final = 40
EPISODES: Final = 30
RULES_MAX: Final = 200
BUCKETS: Final = dict(zip(AGES, ("CURRENT", "D1_30", "D31_60", "D61_90", "D91_PLUS"), strict=True))


class Note(Struct, frozen=True):
    """What a page tells of an entry just made."""

    is_well: bool
    text: str


class WorklistShown(Struct, frozen=True, forbid_unknown_fields=True):
    """The worklist page's query."""

    budget: answers.Limit = 20
    owner: str = ""


class WarningsShown(Struct, frozen=True, forbid_unknown_fields=True):
    """The warnings page's query; all that a form sends, blanks too."""

    open: str = "true"
    severity: answers.Severity = "LOW"
    rule: str = ""
    phase: str = ""
    muted: str = ""
    customer: str = ""
    cursor: str = ""


class CustomersShown(Struct, frozen=True, forbid_unknown_fields=True):
    """The search page's query."""

    q: str = ""


def add_pages(app: web.Application) -> None:
    """Serve the pages in an application."""
    app.router.add_get("/", worklist)
    app.router.add_get("/warnings", warnings)
    app.router.add_get("/warnings/{warning_id}", warning)
    app.router.add_get("/customers", customers)
    app.router.add_get("/customers/{customer_id}", customer)
    app.router.add_get("/rules", rules)
    for post in POSTS:
        app.router.add_post(post.path, _form(post.body))


def language_of(request: web.Request) -> Language:
    """The language chosen before, or the one that the browser prefers of the two."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("en", "zh"):
        return "zh" if chosen == "zh" else "en"
    prefers = request.headers.get("Accept-Language", "")
    return "zh" if prefers.lower().startswith("zh") else "en"


async def worklist(request: web.Request) -> web.StreamResponse:
    """Whom to deal with next, and the receivables by age."""
    query = query_of(request, WorklistShown)
    language = language_of(request)

    def read(question: Asked) -> dict[str, Any]:
        lookup, horizon = question.lookup, question.settings.horizon_days
        found = read_worklist(lookup, horizon, query.budget, query.owner or None)
        left = Counter(left_reason_text(one, language) for one in found.list.left)
        return {
            "shown": [(one, reason_text(one, language)) for one in found.list.shown],
            "left": sorted(left.items()),
            "names": found.names,
            "as_of": found.as_of,
            "aging": _by_currency(lookup.aging()),
        }

    return await _show(request, "worklist", read, query)


async def warnings(request: web.Request) -> web.StreamResponse:
    """Warnings, filtered."""
    query = query_of(request, WarningsShown)
    asking = {name: value for name, value in msgspec.to_builtins(query).items() if value}
    try:
        wanted = msgspec.convert(asking, answers.WarningsAsked, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"query: {error}") from error

    def read(question: Asked) -> dict[str, Any]:
        found, following = answers.warnings_page(question.lookup, wanted)
        told = [placed.warning for placed in found]
        following_query = urlencode({**asking, "cursor": following}) if following else ""
        return {
            **_named(question.lookup, told),
            "warnings": told,
            "following": following_query,
            "rule_names": _rule_names(question),
            "severities": list(SEVERITIES),
        }

    return await _show(request, "warnings", read, query)


async def warning(request: web.Request) -> web.StreamResponse:
    """One warning with its evidence, threshold and clause."""

    def read(question: Asked) -> dict[str, Any]:
        placed = answers.the_warning(question.lookup, question.path["warning_id"])
        found = read_explanation(question.settings, question.lookup, placed)
        remedy, language = found.remedy, language_of(request)
        return {
            "remedy": list(sentences(remedy.remedy, remedy.reason, remedy.detail, language)),
            **_named(question.lookup, [placed.warning]),
            "found": found,
            "warning": placed.warning,
            "verdicts": get_args(_hint(actions.Verdict, "verdict")),
        }

    return await _show(request, "warning", read)


async def customers(request: web.Request) -> web.StreamResponse:
    """Customers by a part of an id or a name; straight to the file if there is one alone."""
    query = query_of(request, CustomersShown)
    text = query.q.strip()[:100]
    found = []
    if len(text) > 1:
        found = await asked(request, lambda asks: asks.lookup.customers_like(text, PAGE))
    if len(found) == 1:
        raise web.HTTPSeeOther(f"/customers/{quote(found[0][0], safe='')}")
    return await _show(request, "customers", lambda _: {"found": found, "text": text})


async def customer(request: web.Request) -> web.StreamResponse:
    """A customer's file."""

    def read(question: Asked) -> dict[str, Any]:
        lookup = question.lookup
        customer_id = answers.the_customer(lookup, question.path["customer_id"])
        file = read_file(lookup, customer_id, EVENTS, question.settings.horizon_days)
        as_of = file.standing["as_of"]
        return {
            "file": file,
            "name": file.standing["name"] or customer_id,
            "customer_id": customer_id,
            "aging": {} if as_of is None else _in_buckets(aging(file.due, as_of)),
            "accounts": _accounts(file),
            "contacts": latest(lookup.contacts(customer_id, 0))[::-1],
            "episodes": [one.warning for one in lookup.episodes(customer_id, EPISODES)],
            "rule_names": _rule_names(question),
            "why_of": lambda one: reason_text(one, language_of(request)),
            "channels": get_args(_hint(actions.Contact, "channel")),
            "outcomes": get_args(_hint(actions.Contact, "outcome")),
            "steps": _words(actions.Contact, "step"),
            "reasons": _words(actions.Contact, "reason"),
        }

    return await _show(request, "customer", read)


async def rules(request: web.Request) -> web.StreamResponse:
    """The policy in force, rule by rule."""

    def read(question: Asked) -> dict[str, Any]:
        policy = policy_of(question.lookup, question.settings.horizon_days)
        return {
            "policy": policy,
            "rules": [(rule, list(lines(rule))) for rule in policy.rules],
        }

    return await _show(request, "rules", read)


async def _show(
    request: web.Request,
    name: str,
    read: Callable[[Asked], dict[str, Any]],
    query: Struct | None = None,
) -> web.StreamResponse:
    try:
        values = await asked(request, read)
    except ConfigurationError as error:
        raise Refusal(404, str(error)) from error
    user = request[VISITOR].user
    key, session = request.app[GUARD].require_session(request, user)
    notes = list(session.notes)
    session.notes.clear()
    response = page(
        name,
        language_of(request),
        {
            **values,
            "query": query,
            "user": user,
            "csrf": session.csrf,
            "notes": notes,
            "has_login": request.app[GUARD].has_login,
            "path": request.path,
        },
    )
    if key:
        request.app[GUARD].set_cookie(request, response, key)
    return response


def _form(kind: type[Struct]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.StreamResponse:
        fields = {
            name: value.strip()
            for name, value in (await request.post()).items()
            if isinstance(value, str) and value.strip()
        }
        session = request.app[GUARD].check_form(request, fields.pop(CSRF_FIELD, ""))
        try:
            body = _body(kind, fields)
            session.notes.append(_note(await enter(request, body), language_of(request)))
        except Refusal as refusal:
            if refusal.status not in (400, 422):
                raise
            session.notes.append(Note(False, refusal.detail))
        raise web.HTTPSeeOther(request.path.rsplit("/", 1)[0])

    return handle


def _body(kind: type[Struct], fields: dict[str, Any]) -> Any:
    """The body that a form's fields come to. Raises Refusal."""
    if kind is actions.Promise:
        currency = str(fields.get("currency", "")).upper()
        amount = fields.pop("amount", "")
        minor = parse_major(amount, currency) if currency in MINOR_DIGITS else None
        if minor is None:
            raise Refusal(422, f"{amount} {currency} is no amount; write it like 1,200.50 EUR")
        invoices = str(fields.pop("invoices", "")).split(",")
        fields |= {"currency": currency, "amount_minor": minor}
        fields["invoice_ids"] = [name.strip() for name in invoices if name.strip()]
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(422, str(error)) from error


def _note(entered: Any, language: Language) -> Note:
    if entered.refused is not None:
        said = f"{entered.refused.code}: {entered.refused.detail}"
        return Note(False, f"{word('refused', language)}: {said}")
    if not entered.is_taken:
        return Note(True, word("not_taken", language))
    moved = ", ".join(f"{one.rule} {one.transition.lower()}" for one in entered.warnings)
    more = f" {word('moved', language)}: {moved}." if moved else ""
    return Note(True, f"{word('entered', language)}.{more}")


def _named(lookup: Lookup, told: list[Any]) -> dict[str, Any]:
    return {"names": lookup.names({one.customer_id for one in told})}


def _rule_names(question: Asked) -> list[str]:
    try:
        policy = policy_of(question.lookup, question.settings.horizon_days)
    except ConfigurationError:
        return []
    return [rule.name for rule in policy.rules][:RULES_MAX]


def _accounts(file: CreditFile) -> list[tuple[str, int, int, int, int, int | None]]:
    """Per currency: open, past due, unapplied, owed, and the limit if it is in that currency."""
    standing = file.standing
    limit_currency = standing["credit_limit_currency"]
    return [
        (*row, standing["credit_limit_minor"] if row[0] == limit_currency else None)
        for row in zip(
            standing["currencies"],
            standing["open_minor"],
            standing["past_due_minor"],
            standing["unapplied_minor"],
            standing["exposure_minor"],
            strict=True,
        )
    ]


def _in_buckets(
    found: dict[str, list[tuple[str, int, int]]],
) -> dict[str, list[tuple[str, int, int]]]:
    """A customer's aging with the buckets called as in ClickHouse."""
    return {
        currency: [(BUCKETS[name], amount, count) for name, amount, count in buckets]
        for currency, buckets in found.items()
    }


def _by_currency(
    rows: list[tuple[str, str, str, int, int, int]],
) -> dict[str, list[tuple[str, int, int]]]:
    """Open minor units and items by currency and bucket, all segments together."""
    sums: dict[str, dict[str, tuple[int, int]]] = {}
    for currency, _, bucket, open_minor, count, _ in rows:
        buckets = sums.setdefault(currency, dict.fromkeys(BUCKETS.values(), (0, 0)))
        amount, items = buckets[bucket]
        buckets[bucket] = amount + open_minor, items + count
    return {
        currency: [(name, *both) for name, both in buckets.items()]
        for currency, buckets in sums.items()
    }


def _hint(kind: type[Struct], field: str) -> Any:
    return next(one.type for one in msgspec.structs.fields(kind) if one.name == field)


def _words(kind: type[Struct], field: str) -> tuple[str, ...]:
    """The words of a field that may be left out."""
    return next(get_args(part) for part in get_args(_hint(kind, field)) if get_args(part))
