"""A schema registry that speaks the Confluent API: Confluent, Karapace, Apicurio, Redpanda.

`HttpRegistry` is a `tocsin.schemas.contracts.registry.Registry`. An id stands for one schema for
ever, so what was learnt is remembered on disk, and a restart while the registry is away goes on
from there. What the registry denies (an unknown id) is an answer; that it cannot be asked is
infrastructure trouble: retried with growing pauses, then raised, and never taken for an answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote

import requests

from tocsin.agents.registry.cache import RegistryCache
from tocsin.agents.settings.errors import (
    ConfigurationError,
    InputError,
    TocsinError,
    UnavailableError,
)
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.registry import Registered, Schema

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0  # below a worker's session: it waits in the midst of its records
PAUSE_S_FIRST: Final = 0.1
REQUEST_TIMEOUT_S: Final = 3.0
QUIET_S: Final = 10.0  # having given up, for so long it is not asked again
PASSING_S: Final = 30.0  # for so long an unknown id is not asked for again
PASSING_MAX: Final = 1000
SCHEMA_NOT_FOUND: Final = 40403
NOT_FOUND: Final = frozenset({40401, 40402, SCHEMA_NOT_FOUND})
NO_LEVEL: Final = frozenset({40401, 40408})  # the subject has no level of its own
RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
MEND_UNREACHABLE: Final = "see that it runs and that registry_url is right; `tocsin doctor` looks"


class HttpRegistry:
    """Asks the registry at `url`. Its subjects begin with `prefix`, which is left out here.

    Its methods block for at most some `PATIENCE_S` and raise UnavailableError if the registry did
    not answer by then, ConfigurationError if it refused.
    """

    def __init__(
        self, url: str, session: requests.Session, cache: RegistryCache, prefix: str = ""
    ) -> None:
        self._url = url
        self._session = session
        self._cache = cache
        self._prefix = prefix
        # Answers that may change: unknown ids, and schemas that are not under our subjects yet.
        self._passing: dict[int, tuple[float, Registered | None]] = {}
        self._gave_up: tuple[float, str] = (float("-inf"), "")

    def by_id(self, schema_id: int) -> Registered | None:
        """Return the schema of `schema_id`; None if the registry definitively has none."""
        known = self._cache.by_id(schema_id)
        if known is not None:
            return known
        until, passing = self._passing.get(schema_id, (0.0, None))
        if monotonic() < until:
            return passing
        found = self._ask("GET", f"/schemas/ids/{schema_id}", none_at=frozenset({SCHEMA_NOT_FOUND}))
        if found is None:
            return self._pass(schema_id, None)
        places = self._ask("GET", f"/schemas/ids/{schema_id}/versions?deleted=true") or []
        names = sorted((str(place["subject"]), int(place["version"])) for place in places)
        schema = _schema(found)
        for name, version in names:
            if name.startswith(self._prefix):
                own = Registered(schema_id, name.removeprefix(self._prefix), version, schema)
                self._cache.remember([own])
                return own
        # Another deployment's; the brackets keep it from being taken for a subject of ours.
        name, version = names[0] if names else ("no subject", 0)
        return self._pass(
            schema_id, Registered(schema_id, f"{name} (not {self._prefix}...)", version, schema)
        )

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        """Return the versions of `subject`, newest first; what is remembered if it is away."""
        path = self._path(subject)
        try:
            numbers = self._ask("GET", f"{path}/versions", none_at=NOT_FOUND) or []
            found = [self._ask("GET", f"{path}/versions/{number}") for number in numbers]
        except UnavailableError:
            remembered = self._cache.by_subject(subject)
            if not remembered:
                raise
            logger.warning("registry_unreachable", extra={"subject": subject})
            return remembered
        versions = [
            Registered(version["id"], subject, version["version"], _schema(version))
            for version in found
            if version is not None
        ]
        self._cache.remember(versions)
        return tuple(sorted(versions, key=lambda entry: entry.version, reverse=True))

    def subjects(self) -> list[str]:
        """Return the names of all subjects of this deployment; nothing remembered counts."""
        names = [str(name) for name in self._ask("GET", "/subjects")]
        return sorted(name for name in names if name.startswith(self._prefix))

    def remembers(self, subjects: Iterable[str]) -> bool:
        """Whether each subject has a version on disk."""
        return all(self._cache.by_subject(subject) for subject in subjects)

    def register(self, subject: str, schema: Schema) -> None:
        """Make `schema` the newest version of `subject`; nothing if it is registered already."""
        self._ask("POST", f"{self._path(subject)}/versions", {"schema": json.dumps(schema)})

    def level(self, subject: str) -> str | None:
        """Return the compatibility level set for `subject` itself; None if none is."""
        found = self._ask("GET", f"/config/{self._name(subject)}", none_at=NO_LEVEL)
        return None if found is None else str(found.get("compatibilityLevel"))

    def set_level(self, subject: str, level: str) -> None:
        """Set the compatibility level of `subject`."""
        self._ask("PUT", f"/config/{self._name(subject)}", {"compatibility": level})

    def _name(self, subject: str) -> str:
        return quote(self._prefix + subject, safe="")

    def _path(self, subject: str) -> str:
        return f"/subjects/{self._name(subject)}"

    def _pass(self, schema_id: int, answer: Registered | None) -> Registered | None:
        if len(self._passing) >= PASSING_MAX:
            self._passing.clear()
        self._passing[schema_id] = monotonic() + PASSING_S, answer
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, str] | None = None,
        *,
        none_at: frozenset[int] = frozenset(),
    ) -> Any:
        """Return the answer's JSON; None if it is an error of a code in `none_at`."""
        given_up_at, cause = self._gave_up
        if monotonic() < given_up_at + QUIET_S:
            raise self._unreachable(cause)
        deadline, pause_s = monotonic() + PATIENCE_S, PAUSE_S_FIRST
        while True:
            try:
                answer = self._session.request(
                    method, self._url + path, json=body, timeout=REQUEST_TIMEOUT_S
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                cause = type(error).__name__
            except requests.RequestException as error:
                raise InputError(
                    f"schema registry: registry_url cannot be used: {type(error).__name__}",
                    mend="write it http(s)://host:port/path",
                ) from error
            else:
                if answer.status_code not in RETRIED:
                    return self._read(answer, none_at)
                cause = f"HTTP status {answer.status_code}"
            if monotonic() + pause_s > deadline:
                self._gave_up = monotonic(), cause
                raise self._unreachable(cause)
            sleep(pause_s)
            pause_s *= 2

    def _read(self, answer: requests.Response, none_at: frozenset[int]) -> Any:
        content: Any = None
        with suppress(ValueError):
            content = answer.json()
        if answer.ok and content is not None:
            return content
        if answer.status_code in (401, 403):
            raise self._refusal(
                f"refuses the login (HTTP status {answer.status_code})",
                "check registry_user and its password, and what they may do there",
            )
        # Only the registry itself may deny: another server's 404 is a wrong address.
        code = content.get("error_code") if isinstance(content, dict) else None
        if code in none_at:
            return None
        if code is None:
            raise self._refusal(
                f"answered with HTTP status {answer.status_code} and no word of its API",
                "give the base of its Confluent API, such as http://host:8081, or for Apicurio "
                "http://host:8080/apis/ccompat/v7",
            )
        raise self._refusal(f"refuses: {content.get('message')} ({code})", "mend that there")

    def _unreachable(self, cause: str) -> TocsinError:
        return UnavailableError(
            f"schema registry at {self._url} does not answer ({cause})", mend=MEND_UNREACHABLE
        )

    def _refusal(self, what: str, mend: str) -> TocsinError:
        return ConfigurationError(f"schema registry at {self._url} {what}", mend=mend)


def open_http_registry(settings: Settings, prefix: str | None = None) -> HttpRegistry:
    """The registry that `registry_url` names, not asked yet; one for all of the process.

    So its absence, once waited for, is not waited for again by the next part that needs it.
    `prefix` is what subjects begin with; unless told, the deployment's.
    """
    return _opened(
        settings.registry_url.rstrip("/"),
        settings.topic_prefix if prefix is None else prefix,
        settings.registry_user,
        settings.registry_password,
        settings.registry_cafile,
        settings.data_path,
    )


@cache
def _opened(
    url: str, prefix: str, user: str, password: Secret, cafile: str, data_path: Path
) -> HttpRegistry:
    session = requests.Session()
    if user:
        session.auth = (user, password.reveal())
    if cafile:
        session.verify = str(Path(cafile).expanduser())
    name = sha256(f"{url} {prefix}".encode()).hexdigest()[:16]
    return HttpRegistry(url, session, RegistryCache(data_path / "schemas" / f"{name}.json"), prefix)


def _schema(answer: Mapping[str, Any]) -> Schema:
    """The schema in an answer; one that is not Avro stays a text that no Avro reader takes."""
    text = str(answer["schema"])
    if answer.get("schemaType", "AVRO") != "AVRO":
        return text
    try:
        schema: Schema = json.loads(text)
    except ValueError:
        return text
    return schema
