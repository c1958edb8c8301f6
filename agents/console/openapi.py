"""The OpenAPI 3.1 document of the console's API, made from its routes."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import msgspec
from msgspec import Struct

from tocsin.agents.console.api import BASE, GETS, POSTS, Get, Post
from tocsin.streams.decide.risk_warning import RiskWarning

REFS: Final = "#/components/schemas/{name}"
DATE: Final = {"type": "string", "format": "date"}
TEXT: Final = {"type": "string"}
NUMBER: Final = {"type": "integer"}
ANY: Final[dict[str, Any]] = {"type": "object"}
WARNING: Final = {"$ref": REFS.format(name="Warning")}
EVENT: Final = {
    "type": "object",
    "required": ["record", "event"],
    "properties": {"record": TEXT, "event": {"type": "object", "required": ["type"]}},
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _maybe(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "/warnings": _object(items=_list(WARNING), next=_maybe("string")),
    "/warnings/{warning_id}": _object(
        warning=WARNING,
        record=TEXT,
        journal_sequence=_maybe("integer"),
        journal=_maybe("string"),
        evidence=_list(EVENT),
        clause=_list(TEXT),
        episode=_list(TEXT),
        remedy=_object(
            as_of=_maybe("string"),
            payment_minor=_maybe("integer"),
            currency=_maybe("string"),
            latest_on=_maybe("string"),
            ends_on=_maybe("string"),
            reason=_maybe("string"),
            detail=_maybe("string"),
        ),
    ),
    "/customers": _object(items=_list(_object(customer_id=TEXT, name=_maybe("string")))),
    "/customers/{customer_id}": _object(
        customer_id=TEXT,
        name=_maybe("string"),
        as_of=TEXT,
        currencies=_list(TEXT),
        open_minor=_list(NUMBER),
        past_due_minor=_list(NUMBER),
        exposure_minor=_list(NUMBER),
        next_action=_maybe("object"),
        score=_maybe("object"),
        open_warnings=_list(WARNING),
        events=_list(EVENT),
    ),
    "/customers/{customer_id}/items": _object(
        as_of=TEXT,
        items=_list(_object(currency=TEXT, due_date=DATE, open_minor=NUMBER, items=NUMBER)),
    ),
    "/customers/{customer_id}/contacts": _object(
        contacts=_list(EVENT),
        attempts=_object(contacts=NUMBER, unanswered=NUMBER, unanswered_at_last=NUMBER),
    ),
    "/customers/{customer_id}/episodes": _object(
        items=_list(_object(is_open={"type": "boolean"}, last=WARNING))
    ),
    "/customers/{customer_id}/timeline": _object(items=_list(EVENT)),
    "/worklist": _object(as_of=DATE, shown=_list(ANY), left=_list(ANY), left_count=NUMBER),
    "/rules": _object(policy=TEXT, version=NUMBER, reporting_currency=TEXT, rules=_list(ANY)),
    "/aging": _object(
        as_of=TEXT,
        items=_list(
            _object(
                currency=TEXT,
                segment=TEXT,
                bucket=TEXT,
                open_minor=NUMBER,
                items=NUMBER,
                customers=NUMBER,
            )
        ),
    ),
    "/dead-letters": _object(
        items=_list(_object(record=TEXT, at=TEXT, code=TEXT, detail=TEXT, stage=TEXT))
    ),
    "/health": _object(status={"const": "ok"}, business_date=_maybe("string")),
}
ENTERED: Final = _object(
    record=TEXT, event=ANY, is_taken={"type": "boolean"}, warnings=_list(WARNING)
)
PROBLEM: Final = _object(type=TEXT, title=TEXT, status=NUMBER, detail=TEXT)
STATUSES: Final = {
    400: "The query, the path or the body is not as described.",
    401: "No valid token or session.",
    403: "Not allowed to this user, or not from this page.",
    404: "There is no such thing.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The console does not answer to that host name.",
    422: "The product's checks refuse the event.",
    429: "Too many wrong tokens.",
    503: "ClickHouse or Kafka cannot be reached, or does not answer in time.",
}
READ_STATUSES: Final = (400, 401, 403, 404, 421, 429, 503)


def document() -> dict[str, Any]:
    """The whole document."""
    bodies = [post.body for post in POSTS]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=REFS)
    paths: dict[str, Any] = {}
    for get in GETS:
        paths.setdefault(get.path, {})["get"] = _get(get)
    for post in POSTS:
        paths.setdefault(post.path, {})["post"] = _post(post)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tocsin",
            "version": version("tocsin"),
            "description": "Warnings of bad business customers: what is open, why, what to do.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Warning": _warning(), "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _get(get: Get) -> dict[str, Any]:
    return {
        **_told(get.answer),
        "operationId": get.answer.__name__,
        "parameters": [*_path_parameters(get.path), *_query_parameters(get.query)],
        "responses": {
            "200": _answer("The answer.", ANSWERS[get.path]),
            **_problems(READ_STATUSES),
        },
    }


def _post(post: Post) -> dict[str, Any]:
    schema = {"$ref": REFS.format(name=post.body.__name__)}
    return {
        **_told(post.body),
        "operationId": f"enter_{post.body.__name__.lower()}",
        "parameters": _path_parameters(post.path),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "201": _answer("The worker has decided it.", ENTERED),
            "202": _answer("It is sent, but not decided yet; it is not lost.", ENTERED),
            **_problems(tuple(STATUSES)),
        },
    }


def _told(thing: Callable[..., Any]) -> dict[str, str]:
    return {"summary": (thing.__doc__ or "").split("\n", 1)[0]}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(kind: type[Struct]) -> list[dict[str, Any]]:
    _, found = msgspec.json.schema_components([kind], ref_template=REFS)
    schema = found[kind.__name__]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _without_null(described),
        }
        for name, described in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What a query can hold: null cannot be written there, it is left out instead."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    plain = {**schema, **kinds[0]} if len(kinds) == 1 else dict(schema)
    plain.pop("anyOf", None)
    if "enum" in plain:
        plain["enum"] = [value for value in plain["enum"] if value is not None]
    if plain.get("default", 0) is None:
        plain.pop("default")
    return plain


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problems(statuses: tuple[int, ...]) -> dict[str, Any]:
    schema = {"$ref": REFS.format(name="Problem")}
    return {
        str(status): {
            "description": STATUSES[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def _warning() -> dict[str, Any]:
    """The schema of a warning as the API tells it: dates and instants are text."""
    _, found = msgspec.json.schema_components([RiskWarning], ref_template=REFS)
    schema: dict[str, Any] = found["RiskWarning"]
    properties = {
        **schema["properties"],
        "as_of": DATE,
        "occurred_at": {"type": "string", "format": "date-time"},
        "customer_name": _maybe("string"),
        "evidence": _list(ANY),
        "other_exposures": _list(_object(currency=TEXT, exposure_minor=NUMBER)),
    }
    return {"type": "object", "required": list(properties), "properties": properties}
