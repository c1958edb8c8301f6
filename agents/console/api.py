"""The API's routes, and how a request becomes a question or an action.

`ROUTES` is the whole of it: the handlers and the OpenAPI document are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from tocsin.agents.console import actions, answers
from tocsin.agents.console.answers import Asked, Nothing
from tocsin.agents.console.guard import AccessGuard, Refusal, Visitor
from tocsin.agents.console.reading import HistoryPool
from tocsin.agents.entry.engagement import EntryResult, entered_json
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.settings import Settings

BASE: Final = "/api/v1"
READING: Final = web.AppKey("reading", HistoryPool)
SETTINGS: Final = web.AppKey("settings", Settings)
GUARD: Final = web.AppKey("guard", AccessGuard)
VISITOR: Final = web.RequestKey("visitor", Visitor)


class Get(Struct, frozen=True):
    """A question: its path below the base, how it is answered, what its query may hold."""

    path: str
    answer: Callable[[Asked, Any], dict[str, Any]]
    query: type[Struct] = Nothing


class Post(Struct, frozen=True):
    """An action on what its path names."""

    path: str
    body: type[Any]


GETS: Final = (
    Get("/warnings", answers.warnings, answers.WarningsAsked),
    Get("/warnings/{warning_id}", answers.warning),
    Get("/customers", answers.customers, answers.CustomersAsked),
    Get("/customers/{customer_id}", answers.customer, answers.FileAsked),
    Get("/customers/{customer_id}/items", answers.items),
    Get("/customers/{customer_id}/contacts", answers.contacts),
    Get("/customers/{customer_id}/episodes", answers.episodes, answers.ListAsked),
    Get("/customers/{customer_id}/timeline", answers.timeline, answers.ListAsked),
    Get("/worklist", answers.worklist, answers.WorklistAsked),
    Get("/rules", answers.rules),
    Get("/aging", answers.aging),
    Get("/dead-letters", answers.dead_letters, answers.LettersAsked),
    Get("/health", answers.health),
)
POSTS: Final = (
    Post("/warnings/{warning_id}/acknowledge", actions.Acknowledgement),
    Post("/warnings/{warning_id}/verdict", actions.Verdict),
    Post("/customers/{customer_id}/silences", actions.Silence),
    Post("/customers/{customer_id}/contacts", actions.Contact),
    Post("/customers/{customer_id}/promises", actions.Promise),
)


def add_routes(app: web.Application) -> None:
    """Serve the API in an application."""
    for get in GETS:
        app.router.add_get(BASE + get.path, _answering(get))
    for post in POSTS:
        app.router.add_post(BASE + post.path, _acting(post))


def query_of(request: web.Request, kind: type[Struct]) -> Any:
    """The query as a value of its kind. Raises Refusal."""
    given = request.query
    for name in given:
        if len(given.getall(name)) > 1:
            raise Refusal(400, f"{name} is given more than once")
        if not given[name].isprintable():
            raise Refusal(400, f"{name} holds control or invisible characters")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"query: {error}") from error


async def asked(request: web.Request, question: Callable[[Asked], Any]) -> Any:
    """Ask the history on behalf of a request's user."""
    settings, may_act = request.app[SETTINGS], request[VISITOR].user.may_act
    path = dict(request.match_info)
    return await request.app[READING].ask(
        lambda lookup: question(Asked(settings, lookup, path, may_act))
    )


async def enter(request: web.Request, body: actions.Body) -> EntryResult:
    """Do what a body says to what the request's path names. Raises Refusal."""
    user = request[VISITOR].user
    if not user.may_act:
        raise Refusal(403, f"{user.name} may read only")
    customer_id, episode_id = await asked(request, _meant)
    return await actions.act(request.app[SETTINGS], user.name, customer_id, episode_id, body)


def json_of(value: Any, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def _answering(get: Get) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        query = query_of(request, get.query)
        return json_of(await asked(request, lambda question: get.answer(question, query)))

    return handle


def _acting(post: Post) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        request.app[GUARD].check_call(request, request[VISITOR])
        query_of(request, Nothing)
        if request.content_type != "application/json":
            raise Refusal(415, "send application/json")
        try:
            body = msgspec.json.decode(await request.read(), type=post.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refusal(400, f"body: {error}") from error
        entered = await enter(request, body)
        if entered.refused is not None:
            raise Refusal(422, f"{entered.refused.code}: {entered.refused.detail}")
        status = 201 if entered.is_taken else 202
        return json_of(entered_json(entered, WarningView()), status)

    return handle


def _meant(question: Asked) -> tuple[str, str]:
    """Customer and episode that a path names. Raises Refusal."""
    path: Mapping[str, str] = question.path
    if "warning_id" in path:
        warning = answers.the_warning(question.lookup, path["warning_id"]).warning
        if not warning.customer_id:
            raise Refusal(422, "the warning is about a source, not about a customer")
        return warning.customer_id, warning.episode_id
    return answers.the_customer(question.lookup, path["customer_id"]), ""
