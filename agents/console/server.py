"""`tocsin web`: the console and the API over ClickHouse. One process, one port, nothing to lose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from tocsin.agents.console.api import BASE, GUARD, READING, SETTINGS, VISITOR, add_routes, json_of
from tocsin.agents.console.guard import COOKIE, CSRF_FIELD, HEADERS, AccessGuard, Refusal
from tocsin.agents.console.numbers import add_numbers, counting
from tocsin.agents.console.openapi import document
from tocsin.agents.console.pages import LANGUAGE_COOKIE, add_pages, language_of
from tocsin.agents.console.reading import ANSWER_WITHIN_S, HistoryPool
from tocsin.agents.console.templates import FOLDER, STATIC, page
from tocsin.agents.console.texts import word
from tocsin.agents.observe.probes import METRICS_PATH, claim_port
from tocsin.agents.queries.lookup import NOT_SET_UP_CODES
from tocsin.agents.settings.errors import ClickHouseRefusedError, TocsinError, UnavailableError
from tocsin.agents.settings.formats import address_of
from tocsin.agents.settings.settings import Settings

BODY_BYTES_MAX: Final = 64 * 1024
STOP_WITHIN_S: Final = 3.0
RETRY_AFTER_S: Final = 5
YEAR_S: Final = 365 * 86_400
OPEN_PATHS: Final = ("/login", f"{BASE}/openapi.json", METRICS_PATH)
OPEN_FOLDERS: Final = ("/static/", "/health/", "/language/")
logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(settings: Settings, answer_within_s: int = ANSWER_WITHIN_S) -> web.Application:
    """The application. Raises ConfigurationError if it would be open to everybody."""
    app = web.Application(middlewares=[counting, _outer, _inner], client_max_size=BODY_BYTES_MAX)
    app[SETTINGS] = settings
    app[GUARD] = AccessGuard(settings)
    app[READING] = HistoryPool(settings, answer_within_s)
    add_routes(app)
    add_pages(app)
    add_numbers(app)
    app.router.add_get(f"{BASE}/openapi.json", _openapi)
    app.router.add_get("/login", _login_page)
    app.router.add_post("/login", _log_in)
    app.router.add_post("/logout", _log_out)
    app.router.add_get("/language/{language:en|zh}", _language)
    app.router.add_get("/static/{name:[a-z.]+}", _static)
    app.router.add_get("/health/{probe:startup|live}", _alive)
    app.router.add_get("/health/ready", _ready)
    app.on_cleanup.append(_close)
    return app


async def run_web(settings: Settings, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
    """Serve until stopped; `tell` gets the address. Raises ConfigurationError."""
    app = make_app(settings)
    port = claim_port(settings, "console_port")
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=STOP_WITHIN_S, handler_cancellation=True
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.web_host, port).start()
        tell(address_of(settings.web_host, port))
        await stop.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what went wrong into an answer, and set the headers of every answer."""
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        response = _http(request, answer)
    except Refusal as refusal:
        response = _refused(request, refusal)
    except TocsinError as error:
        response = _unavailable(request, error)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        logger.exception("request_failed", extra={"path": request.path})
        response = _problem(request, 500, f"a defect in tocsin: {type(error).__name__}")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@web.middleware
async def _inner(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in."""
    guard = request.app[GUARD]
    path = request.path
    if not path.startswith("/health/") and path != METRICS_PATH:  # asked by address
        guard.check_host(request)
    if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
        return await handler(request)
    visitor = guard.visitor(request)
    if visitor is None:
        if guard.has_login and request.method == "GET" and not path.startswith("/api/"):
            raise web.HTTPSeeOther("/login")
        raise Refusal(401, "a token is needed: Authorization: Bearer ...")
    request[VISITOR] = visitor
    return await handler(request)


def _http(request: web.Request, answer: web.HTTPException) -> web.StreamResponse:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return web.Response(status=answer.status, headers={"Location": answer.headers["Location"]})
    response = _problem(request, answer.status, answer.reason)
    if "Allow" in answer.headers:
        response.headers["Allow"] = answer.headers["Allow"]
    return response


def _refused(request: web.Request, refusal: Refusal) -> web.StreamResponse:
    response = _problem(request, refusal.status, refusal.detail)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="tocsin"'
    if refusal.retry_after_s:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


def _unavailable(request: web.Request, error: TocsinError) -> web.StreamResponse:
    detail = str(error)
    is_new = isinstance(error, ClickHouseRefusedError) and error.code in NOT_SET_UP_CODES
    if is_new:
        detail = "ClickHouse holds no history of tocsin yet: start `tocsin audit`"
    elif not isinstance(error, UnavailableError):
        logger.error("request_refused", extra={"path": request.path, "why": detail})
    response = _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _problem(request: web.Request, status: int, detail: str) -> web.Response:
    """The problem for programs (RFC 9457), or a page for people."""
    title = HTTPStatus(status).phrase
    if not request.path.startswith(("/api/", "/health/")):
        values = {"status": status, "title": title, "detail": detail}
        return page("error", language_of(request), values, status)
    response = json_of(
        {"type": "about:blank", "title": title, "status": status, "detail": detail}, status
    )
    response.content_type = "application/problem+json"
    return response


async def _openapi(request: web.Request) -> web.Response:
    return json_of(document())


async def _login_page(request: web.Request) -> web.StreamResponse:
    if not request.app[GUARD].has_login:
        raise web.HTTPSeeOther("/")
    return page("login", language_of(request), {"problem": "", "path": "/login"})


async def _log_in(request: web.Request) -> web.StreamResponse:
    guard, language = request.app[GUARD], language_of(request)
    guard.check_origin(request)
    token = str((await request.post()).get("token", "")).strip()
    try:
        key = guard.log_in(request, token)
    except Refusal as refusal:
        problem = word("too_many" if refusal.status == 429 else "wrong_token", language)
        response = page("login", language, {"problem": problem, "path": "/login"}, refusal.status)
        if refusal.retry_after_s:
            response.headers["Retry-After"] = str(refusal.retry_after_s)
        return response
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
    guard.set_cookie(request, answer, key)
    return answer


async def _log_out(request: web.Request) -> web.StreamResponse:
    guard = request.app[GUARD]
    guard.check_form(request, str((await request.post()).get(CSRF_FIELD, "")))
    guard.sessions.end(request.cookies.get(COOKIE, ""))
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/login"})
    answer.del_cookie(COOKIE, path="/")
    return answer


async def _language(request: web.Request) -> web.StreamResponse:
    """Choose the language, and go back to the page of ours that asked."""
    came_from = urlsplit(request.headers.get("Referer", ""))
    is_ours = came_from.netloc == request.headers.get("Host") and came_from.path.startswith("/")
    back = came_from.path if is_ours and not came_from.path.startswith("//") else "/"
    query = f"?{came_from.query}" if is_ours and came_from.query else ""
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": back + query})
    language = request.match_info["language"]
    answer.set_cookie(
        LANGUAGE_COOKIE, language, max_age=YEAR_S, httponly=True, samesite="Strict", path="/"
    )
    return answer


async def _static(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    return web.Response(
        body=(FOLDER / name).read_bytes(),
        content_type=STATIC[name],
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


async def _alive(request: web.Request) -> web.StreamResponse:
    return json_of({"status": "ok"})


async def _ready(request: web.Request) -> web.StreamResponse:
    """Whether the history answers."""
    await request.app[READING].ask(lambda lookup: lookup.business_date())
    return json_of({"status": "ok"})


async def _close(app: web.Application) -> None:
    app[READING].close()
