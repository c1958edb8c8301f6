"""Who is let in, by what, and from where: what every request to the console passes.

Users come from bearer tokens, from sessions that a token opened, or from a header that a trusted
proxy sets. Without any of these the console serves this machine's user, on loopback only.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from tocsin.agents.console.users import (
    OPERATOR,
    READER,
    SESSION_S,
    Failures,
    Role,
    Session,
    Sessions,
    TokenFile,
    User,
    digest_of,
)
from tocsin.agents.deployment.control import author
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings

COOKIE: Final = "tocsin_session"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refusal(Exception):  # noqa: N818  # an answer, not an error of ours
    """A request is answered with a status other than success, and with why."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int = 0) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s


class Visitor(Struct, frozen=True):
    """Who asks: by a bearer token, or with a session, or neither."""

    user: User
    is_bearer: bool = False


class AccessGuard:
    """Decides about each request. Made from the settings, which it refuses if they are unsafe."""

    def __init__(self, settings: Settings) -> None:
        self.sessions = Sessions(time.monotonic)
        self._failures = Failures(time.monotonic)
        self._tokens: TokenFile | None = None
        if settings.web_tokens_file:
            self._tokens = TokenFile(Path(settings.web_tokens_file).expanduser())
            self._tokens.user_of("")  # a file that cannot be read is told at start
        self._header = settings.web_user_header
        self._proxies = networks_of(settings.web_trusted_proxies)
        self._operators = names_of(settings.web_operators)
        if bool(self._header) != bool(self._proxies):
            raise InputError(
                "web_user_header and web_trusted_proxies belong together",
                mend="set both: who may name the user, and in which header",
            )
        is_loopback = settings.web_host in LOOPBACK_NAMES
        self._is_open = not (self._tokens or self._header)
        if self._is_open and not is_loopback:
            raise InputError(
                f"the console would be open to everybody at {settings.web_host}",
                mend="set web_tokens_file (`tocsin web --new-token NAME` makes it), or "
                "web_user_header and web_trusted_proxies, or web_host to 127.0.0.1",
            )
        own = LOOPBACK_NAMES if is_loopback else frozenset({settings.web_host})
        named = names_of(settings.web_hosts)
        # A page of another name that leads to loopback must not speak for this machine's user.
        self._hosts = own | named if is_loopback or named else None

    @property
    def has_login(self) -> bool:
        """Whether a token can be given on a page."""
        return self._tokens is not None

    def check_host(self, request: web.Request) -> None:
        """Refuse a request that was meant for another name."""
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        if self._hosts is not None and name not in self._hosts:
            raise Refusal(
                421, "this console does not answer to that host name; web_hosts names others"
            )

    def visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None for a stranger. Raises Refusal for a wrong token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Visitor(self._bearer(request, token.strip()), is_bearer=True)
        named = self._named_by_proxy(request)
        if named is not None:
            return Visitor(named)
        session = self.session(request)
        if session is not None and session.digest:
            return Visitor(session.user)
        return Visitor(User(author(), OPERATOR)) if self._is_open else None

    def session(self, request: web.Request) -> Session | None:
        """The browser's session, as long as the token that opened it is valid."""
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        if session is None or not session.digest or self._tokens is None:
            return session
        return session if self._tokens.user_of(session.digest) == session.user else None

    def log_in(self, request: web.Request, token: str) -> str:
        """Open a session by a token; returns its key. Raises Refusal."""
        digest = digest_of(token)
        user = self._user_of(request, digest)
        return self.sessions.open(user, digest)[0]

    def require_session(self, request: web.Request, user: User) -> tuple[str, Session]:
        """The session of a user's browser, a new one if it has none; the key if it is new."""
        session = self.session(request)
        if session is not None and session.user == user:
            return "", session
        return self.sessions.open(user)

    def check_origin(self, request: web.Request) -> None:
        """Refuse what a page of another site sends. Raises Refusal."""
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        is_same = origin is None or urlsplit(origin).netloc == request.headers.get("Host")
        if site not in ("same-origin", "none") or not is_same:
            raise Refusal(403, "the request comes from another site")

    def check_form(self, request: web.Request, given: str) -> Session:
        """Refuse a form that is not of this session. Raises Refusal."""
        session = self.session(request)
        self.check_origin(request)
        if session is None or not hmac.compare_digest(session.csrf.encode(), given.encode()):
            raise Refusal(403, "the form is not of this session: load the page again")
        return session

    def check_call(self, request: web.Request, visitor: Visitor) -> None:
        """Refuse a call that another site's page may have made. Raises Refusal."""
        if visitor.is_bearer:
            return
        is_browser = any(
            name in request.headers for name in ("Origin", "Sec-Fetch-Site", "Cookie", "Referer")
        )
        if is_browser:
            self.check_form(request, request.headers.get(CSRF_HEADER, ""))

    def set_cookie(self, request: web.Request, response: web.StreamResponse, key: str) -> None:
        """Give the browser the key of its session."""
        is_secure = request.secure or (
            self._is_trusted(request) and request.headers.get("X-Forwarded-Proto") == "https"
        )
        response.set_cookie(
            COOKIE,
            key,
            max_age=int(SESSION_S),
            httponly=True,
            samesite="Strict",
            secure=is_secure,
            path="/",
        )

    def _bearer(self, request: web.Request, token: str) -> User:
        return self._user_of(request, digest_of(token))

    def _user_of(self, request: web.Request, digest: str) -> User:
        user = None if self._tokens is None else self._tokens.user_of(digest)
        if user is not None:
            return user
        # Who has a token is let in all the same: others behind the same proxy may be guessing.
        address = request.remote or ""
        wait_s = self._failures.wait_s(address)
        if wait_s:
            raise Refusal(429, "too many wrong tokens from this address", retry_after_s=wait_s)
        self._failures.add(address)
        raise Refusal(401, "the token is not valid")

    def _named_by_proxy(self, request: web.Request) -> User | None:
        if not self._header or not self._is_trusted(request):
            return None
        names = request.headers.getall(self._header, [])
        if len(names) != 1 or not names[0].strip():
            return None
        name = names[0].strip()
        role: Role = OPERATOR if name in self._operators else READER
        return User(name, role)

    def _is_trusted(self, request: web.Request) -> bool:
        try:
            address = ipaddress.ip_address(request.remote or "")
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def names_of(text: str) -> frozenset[str]:
    """Names of a comma separated list."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def networks_of(text: str) -> tuple[Network, ...]:
    """Addresses or networks of a comma separated list. Raises InputError."""
    try:
        return tuple(ipaddress.ip_network(name) for name in sorted(names_of(text)))
    except ValueError as error:
        raise InputError(
            f"web_trusted_proxies: {error}", mend="write addresses such as 10.0.0.5 or 10.0.0.0/24"
        ) from error
