"""What `tocsin notify` is told in YAML: who receives which warnings, how, and how much of them.

Unknown keys are refused, and all problems are told at once with their lines. Addresses and secrets
may stand in files or in the environment; they are read by `notify_secrets`, not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Struct

from tocsin.agents.notify.deliver_texts import unknown_names
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.given_files import read_given
from tocsin.schemas.files.near import did_you_mean
from tocsin.schemas.files.yaml_files import (
    POLICY_BYTES_MAX,
    BrokenYamlError,
    FileProblem,
    Reader,
    read_yaml,
)
from tocsin.streams.facts.money import MINOR_DIGITS

Path_ = tuple[str, ...]
Note = Callable[[Path_, str], None]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
Severity = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
Transition = Literal["RAISED", "ESCALATED", "EASED", "REPEATED", "CLEARED", "DIGEST"]
Hour = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,60}$")]

KINDS: Final = ("webhook", "alertmanager", "mail", "wecom", "dingtalk", "feishu")


class Endpoint(Struct, frozen=True, kw_only=True):
    """An address over HTTP, given in one of three ways, and a secret, given in one of two.

    The secret signs (webhook, dingtalk, feishu) or is a bearer token (alertmanager).
    """

    url: str = ""
    url_file: str = ""
    url_env: str = ""
    secret_file: str = ""
    secret_env: str = ""
    ca_file: str = ""  # certificates that vouch for the receiver, in place of the system's


class Alertmanager(Endpoint, frozen=True, kw_only=True):
    """Prometheus' Alertmanager: what is open is told again so often, until it has ended."""

    resend_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60


class Mail(Struct, frozen=True, kw_only=True):
    """A mail server and who gets the mail."""

    host: str
    sender: str
    to: list[str]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    secret_file: str = ""
    secret_env: str = ""
    ca_file: str = ""


class Group(Struct, frozen=True, kw_only=True):
    """Warnings that come within `wait_s` of the first go out together."""

    by: Literal["customer", "owner", "all"] = "customer"
    wait_s: Seconds = 60


class Quiet(Struct, frozen=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """Local hours, and whole days, in which only what is grave goes out."""

    begin: Hour | None = None
    end: Hour | None = None
    days: list[Weekday] = []
    but: Severity | None = "CRITICAL"


class Budget(Struct, frozen=True, kw_only=True):
    """So many new warnings a day and owner (or in all); the rest waits, most money first."""

    new_per_day: Count
    per: Literal["owner", "all"] = "owner"


class Receiver(Struct, frozen=True, kw_only=True):
    """Who is told. Exactly one of the kinds is given."""

    name: Name
    webhook: Endpoint | None = None
    alertmanager: Alertmanager | None = None
    mail: Mail | None = None
    wecom: Endpoint | None = None
    dingtalk: Endpoint | None = None
    feishu: Endpoint | None = None
    language: Literal["en", "zh"] = "en"
    title: str = ""  # templates of one's own; the packaged if empty
    line: str = ""
    group: Group | None = None
    digest_at: Hour | None = None
    quiet: Quiet | None = None
    budget: Budget | None = None
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    give_up_after_h: Count | None = None

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return next((kind for kind in KINDS if getattr(self, kind) is not None), "")


class Match(Struct, frozen=True, kw_only=True):
    """Which warnings: empty lists take all. `severity` is the least one.

    `audience` takes what the policy mutes for readers of credit since it is for these.
    """

    severity: Severity = "LOW"
    rule: list[str] = []
    segment: list[str] = []
    owner: list[str] = []
    country: list[str] = []
    grade: list[str] = []
    transition: list[Transition] = []
    phase: tuple[Literal["HISTORY", "LIVE"], ...] = ("LIVE",)
    muted: bool = False
    audience: list[Literal["SALES", "SERVICE"]] = []


class Route(Struct, frozen=True, kw_only=True):
    """Who gets what matches. Every route that matches counts; nobody gets a warning twice."""

    to: list[str]
    match: Match = Match()


class Config(Struct, frozen=True, kw_only=True):
    """The whole file."""

    receivers: list[Receiver]
    routes: list[Route]
    start: Literal["earliest", "latest"] = "earliest"
    zone: str = ""
    currency: str = ""  # the policy's reporting currency: others without parity count like it
    parity: dict[str, Count] = {}  # whole units of currencies that are worth the same

    def receiver(self, name: str) -> Receiver | None:
        """The receiver of that name, if there is one."""
        return next((found for found in self.receivers if found.name == name), None)


class NotifyConfigError(InputError):
    """The file can't be used; all that is wrong with it, by line."""


def load_notify(path: Path) -> Config:
    """Read a file. Raises NotifyConfigError, InputError, UnavailableError."""
    config, problems = read_notify(read_given(path, POLICY_BYTES_MAX))
    if config is None:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise NotifyConfigError(f"{path}:{listed}")
    return config


def read_notify(text: str) -> tuple[Config | None, list[FileProblem]]:
    """Parse a file's text into (configuration, problems); with problems there is none."""
    try:
        plain, reader = read_yaml(text)
    except BrokenYamlError as error:
        return None, [error.problem]
    config = _struct(Config, plain, (), reader.note)
    if config is not None:
        _contradictions(config, reader)
    found = sorted(reader.problems, key=lambda problem: (problem.line, problem.path))
    return (None if found else config), found


def _struct(kind: type[Any], plain: Any, path: Path_, note: Note) -> Any:
    """The value of a structure; None if something in it is wrong, which was noted."""
    if not isinstance(plain, dict):
        note(path, "must be a mapping of names to values")
        return None
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    for name in plain:
        if name not in known:
            note((*path, name), f"is unknown{did_you_mean(name, known)}; use {', '.join(known)}")
    values: dict[str, Any] = {}
    is_sound = True
    for name, field in known.items():
        if name in plain:
            value = _value(hints[field.name], plain[name], (*path, name), note)
            is_sound &= value is not UNSET
            values[field.name] = value
        elif field.required:
            note(path, f"lacks `{name}`")
            is_sound = False
    return kind(**values) if is_sound else None


def _value(hint: Any, plain: Any, path: Path_, note: Note) -> Any:
    """The value of a field; UNSET if it is wrong."""
    kinds = [part for part in (hint, *get_args(hint)) if isinstance(part, type)]
    structs = [part for part in kinds if issubclass(part, Struct)]
    if structs and get_origin(hint) is list:
        if not isinstance(plain, list) or not plain:
            note(path, "must be a list of at least one")
            return UNSET
        found = [
            _struct(structs[0], entry, (*path, str(number)), note)
            for number, entry in enumerate(plain)
        ]
        return UNSET if None in found else found
    if structs:
        found = _struct(structs[0], plain, path, note)
        return UNSET if found is None else found
    if get_origin(hint) in (list, tuple) and isinstance(plain, str):
        plain = [plain]
    try:
        return msgspec.convert(plain, hint)
    except msgspec.ValidationError as error:
        text = str(error).replace(" - at `$", " at `")
        note(path, f"{text[:1].lower()}{text[1:]}")
        return UNSET


def _contradictions(config: Config, reader: Reader) -> None:
    """Note what is wrong with values that are well-formed one by one."""
    names = [receiver.name for receiver in config.receivers]
    for number, receiver in enumerate(config.receivers):
        where: Path_ = ("receivers", str(number))
        if receiver.name in names[:number]:
            reader.note((*where, "name"), f"{receiver.name!r} is given twice")
        _check_receiver(receiver, where, reader.note)
    for number, route in enumerate(config.routes):
        where = ("routes", str(number), "to")
        if not route.to:
            reader.note(where, "names no receiver")
        for name in route.to:
            if name not in names:
                reader.note(where, f"no receiver {name!r}{did_you_mean(name, names)}")
    for name in set(names) - {name for route in config.routes for name in route.to}:
        number = names.index(name)
        reader.note(("receivers", str(number)), f"no route leads to {name!r}: add one, or drop it")
    if config.zone:
        try:
            ZoneInfo(config.zone)
        except (ValueError, OSError, KeyError):
            reader.note(("zone",), f"{config.zone!r} is unknown; use a name such as Europe/Berlin")
    for currency in filter(None, (config.currency, *config.parity)):
        if currency not in MINOR_DIGITS:
            is_own = currency == config.currency
            reader.note(
                ("currency",) if is_own else ("parity", currency),
                f"{currency!r} is no ISO 4217 code",
            )


def _check_receiver(receiver: Receiver, where: Path_, note: Note) -> None:
    given = [kind for kind in KINDS if getattr(receiver, kind) is not None]
    if len(given) != 1:
        note(where, f"{receiver.name!r} must have exactly one of {', '.join(KINDS)}")
        return
    if receiver.mail is not None:
        _check_mail(receiver.mail, (*where, "mail"), note)
    else:
        _check_endpoint(getattr(receiver, given[0]), (*where, given[0]), note)
    for name in ("title", "line"):
        for unknown, known in unknown_names(name, getattr(receiver, name)):
            hint = did_you_mean(unknown, known)
            note((*where, name), f"has no {{{unknown}}}{hint}; use {', '.join(known)}")
    if receiver.alertmanager is not None:
        for name in ("group", "digest_at", "quiet", "budget", "title", "line"):
            if getattr(receiver, name):
                note((*where, name), "is Alertmanager's own business: set it there")
    if receiver.group is not None and receiver.digest_at is not None and receiver.group.wait_s:
        note((*where, "group"), "a digest waits for its hour: set wait_s to 0")
    quiet = receiver.quiet
    if quiet is not None and (quiet.begin is None) != (quiet.end is None):
        note((*where, "quiet"), "`from` and `to` belong together")
    elif quiet is not None and quiet.begin == quiet.end and not quiet.days:
        note((*where, "quiet"), "is never: give `from` and `to`, or `days`")
    elif quiet is not None and len(set(quiet.days)) == len(get_args(Weekday)):
        note((*where, "quiet", "days"), "are all days: nothing would ever go out")


def _check_endpoint(endpoint: Endpoint, where: Path_, note: Note) -> None:
    if sum(map(bool, (endpoint.url, endpoint.url_file, endpoint.url_env))) != 1:
        note(where, "give one of url, url_file, url_env")
    elif endpoint.url:
        for problem in url_problems(endpoint.url):
            note((*where, "url"), problem)
    if endpoint.secret_file and endpoint.secret_env:
        note(where, "give secret_file or secret_env, not both")


def url_problems(url: str) -> list[str]:
    """What is wrong with an address that is to be posted to; it is not repeated."""
    if not re.match(r"https?://[^/@\s]+(/\S*)?$", url):
        return ["must be http(s)://host/path, without a login"]
    return []


def _check_mail(mail: Mail, where: Path_, note: Note) -> None:
    if not mail.to:
        note((*where, "to"), "names nobody")
    for name, address in [("sender", mail.sender), *(("to", entry) for entry in mail.to)]:
        if not re.fullmatch(r"[^@\s<>,\"]+@[^@\s<>,\"]+", address):
            note((*where, name), f"{address!r} is no mail address")
    if mail.secret_file and mail.secret_env:
        note(where, "give secret_file or secret_env, not both")
    if bool(mail.user) != bool(mail.secret_file or mail.secret_env):
        note(where, "a login needs user and secret_file (or secret_env)")
    if mail.user and mail.tls == "none":
        note((*where, "tls"), "a password does not go out unencrypted: use starttls or tls")
