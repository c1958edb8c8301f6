"""Settings: one frozen value, validated whole before anything starts.

Where a value comes from, the first that has it wins: command-line flags, environment (`TOCSIN_*`),
the configuration file (TOML: `--config` or TOCSIN_CONFIG), the embedded services that run over the
data folder, the defaults. Unknown keys are refused and all problems are told at once.
What the values mean to a Kafka client is decided in `tocsin.agents.settings.kafka_options`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from tocsin.agents.settings.data_folder import discover
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import is_text
from tocsin.agents.settings.given_files import read_given
from tocsin.agents.settings.kafka_options import client_options
from tocsin.agents.settings.secret import MASK, NO_SECRET, Secret, read_secret
from tocsin.schemas.contracts.catalog import APPEND_ONLY, CLOCK, JOURNAL, POLICIES, Topic
from tocsin.schemas.files.near import did_you_mean
from tocsin.streams.facts.convention import CLOSE_LATEST_MINUTES_MAX, MARKABLE
from tocsin.streams.facts.tolerance import Tolerance, parse_tolerance

PREFIX = "TOCSIN_"
CONFIG_BYTES_MAX = 1 << 20
# Settings that most people give by hand have flags of their own; `--set` takes all others.
FLAGS = ("bootstrap_servers", "clickhouse_url", "data_dir", "app_id", "topic_prefix")
# Variables with the prefix that steer programs around the settings and are no settings themselves.
OTHER_VARIABLES = frozenset(
    {
        "TOCSIN_AUTHOR",
        "TOCSIN_CACHE",
        "TOCSIN_CONFIG",
        "TOCSIN_DEBUG",
        "TOCSIN_JAVA",
        "TOCSIN_MAVEN",
    }
)
# Each secret may come as text or in a file; whichever source is stronger decides, never both.
SECRET_FILES = {
    "sasl_password": "sasl_password_file",
    "clickhouse_password": "clickhouse_password_file",
    "registry_password": "registry_password_file",
    "kms_token": "kms_token_file",
}
MINUTES_A_DAY = 1440
# A table drops whole months. Without policies, clock and journal nothing else can be judged.
KEEP_DAYS_MIN = 31
KEEP_DAYS_MAX = 36_500
LIMITABLE = tuple(topic.table for topic in APPEND_ONLY if topic not in (POLICIES, CLOCK, JOURNAL))
SERVER = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEMO_FOLDER = "demo"  # in the data folder, where the demo runs unless it is given one of its own

Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Prefix = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$")]
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
T = TypeVar("T")


class SettingsError(InputError):
    """The settings as given cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one deployment is told. Empty text means: not set. Build it with `load`."""

    bootstrap_servers: Annotated[str, "Kafka brokers, host:port, comma separated"] = ""
    security_protocol: Annotated[Protocol, "how to speak to the brokers"] = "PLAINTEXT"
    sasl_mechanism: Annotated[Mechanism | None, "how to log in to the brokers"] = None
    sasl_username: Annotated[str, "login name at the brokers"] = ""
    sasl_password: Annotated[Secret, "its password"] = NO_SECRET
    sasl_password_file: Annotated[str, "file that holds it"] = ""
    ssl_cafile: Annotated[str, "certificates that vouch for the brokers (PEM)"] = ""
    ssl_certfile: Annotated[str, "this client's certificate (PEM)"] = ""
    ssl_keyfile: Annotated[str, "its private key (PEM)"] = ""
    ssl_check_hostname: Annotated[bool, "whether a broker's certificate must name its host"] = True
    clickhouse_url: Annotated[str, "ClickHouse, http(s)://host:port/database"] = ""
    clickhouse_user: Annotated[str, "login name at ClickHouse"] = ""
    clickhouse_password: Annotated[Secret, "its password"] = NO_SECRET
    clickhouse_password_file: Annotated[str, "file that holds it"] = ""
    clickhouse_cafile: Annotated[str, "certificates that vouch for ClickHouse (PEM)"] = ""
    keep_days: Annotated[
        str, "days for which a table keeps rows, invoices=3650, ...; else ever"
    ] = ""
    registry_url: Annotated[str, "schema registry, base of its Confluent API, http(s)://..."] = ""
    registry_user: Annotated[str, "login name at the schema registry"] = ""
    registry_password: Annotated[Secret, "its password"] = NO_SECRET
    registry_password_file: Annotated[str, "file that holds it"] = ""
    registry_cafile: Annotated[str, "certificates that vouch for the schema registry (PEM)"] = ""
    registry_file: Annotated[str, "schema file in place of a registry; the packaged if empty"] = ""
    privacy: Annotated[bool, "encrypt personal fields and tokenise customer ids"] = False
    keys_dir: Annotated[str, "folder of the customers' keys; keys in the data folder if empty"] = ""
    master_key_file: Annotated[str, "file of the key that wraps them"] = ""
    kms_url: Annotated[str, "key service that wraps them instead (Vault's transit API)"] = ""
    kms_key: Annotated[Name, "name of its key"] = "tocsin"
    kms_token: Annotated[Secret, "what it is asked with"] = NO_SECRET
    kms_token_file: Annotated[str, "file that holds it"] = ""
    kms_cafile: Annotated[str, "certificates that vouch for it (PEM)"] = ""
    anchor_key_file: Annotated[
        str, "file of the key that signs anchors; anchor.key in the data folder if empty"
    ] = ""
    anchor_keys: Annotated[
        str, "fingerprints of keys whose anchors count, comma separated; the own key's if empty"
    ] = ""
    data_dir: Annotated[str, "folder of the embedded services"] = "~/.local/share/tocsin"
    app_id: Annotated[Name, "consumer group and prefix of transactional ids"] = "tocsin"
    topic_prefix: Annotated[Prefix, "put before every topic's name"] = ""
    partitions: Annotated[Count, "partitions of each topic, fixed at creation"] = 4
    replication_factor: Annotated[Count, "copies of each record"] = 1
    compression: Annotated[Compression, "of records that tocsin writes; all kinds are read"] = (
        "none"
    )
    zone: Annotated[str, "time zone of the business date, fixed at creation"] = "UTC"
    close_after: Annotated[str, "local time at which the day before closes, HH:MM"] = "06:00"
    required_marks: Annotated[str, "topics whose days are marked complete, comma separated"] = ""
    close_latest: Annotated[str, "time after midnight at which it closes anyhow, HH:MM"] = "12:00"
    horizon_days: Annotated[Count, "how far back duplicates and windows reach"] = 400
    tolerance: Annotated[
        str, "what may be left of a settled invoice: percent of it, and at most money by currency"
    ] = "2 percent, 200 CNY, 25 EUR, 22 GBP, 220 HKD, 4000 JPY, 28 USD"
    merge_idle_ms: Annotated[Natural, "how long a topic that is caught up is waited for"] = 0
    chunk_records_max: Annotated[Count, "records in one transaction at most"] = 4000
    state_version: Annotated[
        Natural, "least version of the state's format that is written; 0 keeps what is there"
    ] = 0
    shadow_policy: Annotated[
        str, "a policy file that judges beside the policy in force and tells nobody; none if empty"
    ] = ""
    session_timeout_s: Annotated[Count, "silence after which a worker is taken for dead"] = 6
    group_instance_id: Annotated[
        Prefix, "a worker's lasting name: a restart keeps its partitions"
    ] = ""
    web_host: Annotated[str, "address of the programs' pages: health, metrics, console"] = (
        "127.0.0.1"
    )
    web_port: Annotated[Port, "its port, for health and metrics; 0 takes a free one"] = 6066
    audit_port: Annotated[Port, "the audit's, at the same address"] = 6067
    intake_port: Annotated[Port, "the intake's"] = 6068
    notify_port: Annotated[Port, "the notifier's"] = 6069
    stall_after_s: Annotated[Count, "work that advances no further for so long is stuck"] = 300
    reconcile_every_s: Annotated[Natural, "how often the audit counts gaps; 0 never does"] = 900
    console_port: Annotated[Port, "port of the console and its API, at the same address"] = 6070
    web_tokens_file: Annotated[str, "file of the console's tokens, as hashes"] = ""
    web_user_header: Annotated[str, "header in which a proxy names the console's user"] = ""
    web_trusted_proxies: Annotated[str, "addresses of such proxies, comma separated"] = ""
    web_operators: Annotated[str, "users so named who may act, comma separated"] = ""
    web_hosts: Annotated[str, "names that the console answers to beside its own"] = ""
    clock: Annotated[
        Literal["system", "feed", "none"] | None,
        "who closes the business days; recorded by `topics apply`, system if not given there",
    ] = None
    otel_endpoint: Annotated[str, "OpenTelemetry collector (OTLP over HTTP) for traces"] = ""
    log_format: Annotated[
        Literal["auto", "json", "text"], "of the logs; auto: text on a terminal"
    ] = "auto"
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], "least level logged"] = (
        "INFO"
    )
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )  # where each value that is not a default came from

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return Path(self.data_dir).expanduser()

    @property
    def keys_path(self) -> Path:
        """The folder of the customers' keys."""
        return Path(self.keys_dir).expanduser() if self.keys_dir else self.data_path / "keys"

    @property
    def master_key_path(self) -> Path:
        """The file of the master key."""
        return Path(self.master_key_file).expanduser()

    @property
    def anchor_key_path(self) -> Path:
        """The file of the key that signs anchors."""
        if self.anchor_key_file:
            return Path(self.anchor_key_file).expanduser()
        return self.data_path / "anchor.key"

    @property
    def close_after_minutes(self) -> int:
        """Minutes after local midnight at which the day before closes."""
        return _minutes(self.close_after)

    @property
    def close_latest_minutes(self) -> int:
        """Minutes after that midnight at which the day closes without its marks."""
        return _minutes(self.close_latest, CLOSE_LATEST_MINUTES_MAX)

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the source topics whose days must be marked complete."""
        return tuple(name.strip() for name in self.required_marks.split(",") if name.strip())

    @property
    def residual_tolerance(self) -> Tolerance:
        """Which rest of an invoice settles it."""
        return parse_tolerance(self.tolerance) or Tolerance()

    @property
    def kept_days(self) -> dict[str, int]:
        """For how many days tables of history keep their rows; those not named do for ever."""
        return dict(_kept(part) for part in self.keep_days.split(",") if part.strip())

    @property
    def services_mend(self) -> str:
        """What to do where none are known: name a demo's that run, or start some."""
        demo = self.data_path / DEMO_FOLDER
        if (demo / "services.json").exists():
            return f"use the demo's, `export TOCSIN_DATA_DIR={demo}`, start others with `tocsin up`"
        return "start them with `tocsin up`"

    def topic(self, topic: Topic) -> str:
        """The topic's name at this deployment's brokers."""
        return self.topic_prefix + topic.name

    def portable(self) -> Settings:
        """The same in a form that can go to another process: a view of a mapping can't be sent."""
        return replace(self, origins=dict(self.origins))

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's consumer, producer and admin client.

        Reads the certificate files. Raises InputError if no broker is known.
        """
        return client_options(self)

    def producer_options(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's producers; else as `client_options`."""
        from tocsin.agents.settings.kafka_options import producer_options

        return producer_options(self)

    def describe(self) -> dict[str, Any]:
        """Every setting by name, fit for printing and logs: secrets are masked."""
        return {name: _shown(getattr(self, name)) for name in NAMES}


NAMES = tuple(entry.name for entry in fields(Settings) if entry.name != "origins")
DEFAULTS = {entry.name: entry.default for entry in fields(Settings) if entry.name in NAMES}
_HINTS = get_type_hints(Settings, include_extras=True)
TYPES = {name: get_type_hints(Settings)[name] for name in NAMES}  # without bounds and texts
ABOUT = {name: _HINTS[name].__metadata__[-1] for name in NAMES}


@dataclass(frozen=True)
class Source:
    """Values from one place. `spell` turns a setting's name into how that place spells it."""

    name: str
    values: Mapping[str, object]
    spelling: Literal["flag", "variable", "key"] = "key"

    def spell(self, setting: str) -> str:
        """How a user finds the setting there."""
        match self.spelling:
            case "flag":
                flag = setting.replace("_", "-")
                return f"--{flag}" if setting in FLAGS else f"--set {setting}"
            case "variable":
                return f"{PREFIX}{setting.upper()}"
            case "key":
                return f"{setting} in {self.name}"


def load(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config: str | Path | None = None,
    discover: bool = True,
) -> Settings:
    """Gather, check and return the settings; `discover` also asks the embedded services.

    Raises SettingsError that lists every problem found, UnavailableError for a missing file.
    """
    environ = environ or {}
    problems: list[str] = []
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    sources = [Source("flags", given, "flag"), _environment(environ)]
    config = config or environ.get("TOCSIN_CONFIG")
    if config:
        sources.append(_file(Path(config)))
    sources = [_known(source, problems) for source in sources]
    if discover:
        sources.append(_embedded(sources))
    values, origins = _merge(sources, problems)
    settings = _build(values, origins, problems)
    if problems or settings is None:
        raise SettingsError(_listing(problems))
    return settings


def without_login(url: str) -> str:
    """The address with a user and password in it masked."""
    return re.sub(r"//[^/@]*@", f"//{MASK}@", url)


def _environment(environ: Mapping[str, str]) -> Source:
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES
    }
    return Source("environment", values, "variable")


def _file(path: Path) -> Source:
    text = read_given(path.expanduser(), CONFIG_BYTES_MAX, "configuration file")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"configuration file {path} is not TOML: {error}; mend it there"
        ) from error
    return Source(str(path), values)


def _known(source: Source, problems: list[str]) -> Source:
    """The source without keys that are no settings; each of those is a problem."""
    values: dict[str, object] = {}
    for name, value in source.values.items():
        if isinstance(value, str) and not is_text(value):
            problems.append(f"{source.spell(name)} is not UTF-8 text")
            continue
        if name in NAMES:
            values[name] = value
            continue
        hint = did_you_mean(name, NAMES)
        problems.append(f"{source.spell(name)} is no setting{hint}")
    return Source(source.name, values, source.spelling)


def _embedded(sources: list[Source]) -> Source:
    """What the embedded services that run over the data folder say of themselves.

    Their password goes only with their own address.
    """
    chosen = next((s.values["data_dir"] for s in sources if "data_dir" in s.values), None)
    folder = Path(str(chosen or DEFAULTS["data_dir"])).expanduser()
    name = f"the embedded services of {folder}"
    found = discover(folder)
    if found is None:
        return Source(name, {})
    values: dict[str, object] = {"bootstrap_servers": found.bootstrap_servers}
    if not any("clickhouse_url" in source.values for source in sources):
        values["clickhouse_url"] = found.clickhouse_url
        values["clickhouse_user"] = found.clickhouse_user
        values["clickhouse_password_file"] = found.token_path
    # Its ids are those of its own broker's records, and of no other's.
    if found.registry_url and not any(
        {"bootstrap_servers", "registry_file"} & source.values.keys() for source in sources
    ):
        values["registry_url"] = found.registry_url
    return Source(name, values)


def _merge(sources: list[Source], problems: list[str]) -> tuple[dict[str, object], dict[str, str]]:
    """The strongest source's value of each setting, and how it is spelt there."""
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for source in sources:
        taken = {
            name: value
            for name, value in source.values.items()
            if name not in values and not _secret_taken(name, values)
        }
        for text, file in SECRET_FILES.items():
            if text in taken and file in taken:
                problems.append(f"give {source.spell(text)} or {source.spell(file)}, not both")
        values.update(taken)
        origins.update({name: source.spell(name) for name in taken})
    return values, origins


def _secret_taken(name: str, values: Mapping[str, object]) -> bool:
    """Whether a stronger source has given this secret in its other form."""
    return any(
        (name == text and file in values) or (name == file and text in values)
        for text, file in SECRET_FILES.items()
    )


def _build(
    values: Mapping[str, object], origins: Mapping[str, str], problems: list[str]
) -> Settings | None:
    checked: dict[str, Any] = {}
    for name, value in values.items():
        try:
            checked[name] = msgspec.convert(
                value, _HINTS[name], strict=False, str_keys=True, dec_hook=_secret
            )
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{origins[name]}: {_plain(error, name, value)}")
    for text, file in SECRET_FILES.items():
        if checked.get(file):
            try:
                checked[text] = read_secret(checked[file])
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                problems.append(f"{origins[file]}: cannot read {checked[file]}: {reason}")
    if problems:
        return None
    settings = Settings(**checked, origins=MappingProxyType(dict(origins)))
    problems.extend(_contradictions(settings))
    return settings


def _contradictions(settings: Settings) -> Iterable[str]:
    """What is wrong with values that are well-formed one by one."""
    if not settings.data_dir:
        yield "data_dir is empty; name a folder, or leave it out"
    if _minutes(settings.close_after) < 0:
        yield f"close_after is {settings.close_after!r}; write it HH:MM, such as 06:00"
    earliest = settings.close_after_minutes if settings.marks else 0
    if settings.close_latest_minutes < max(earliest, 0):
        yield (
            f"close_latest is {settings.close_latest!r}; write it HH:MM, not before close_after, "
            "such as 12:00, or 36:00 for the noon after"
        )
    if parse_tolerance(settings.tolerance) is None:
        yield (
            f"tolerance is {settings.tolerance!r}; write a percentage and money by currency, such "
            "as: 2 percent, 25 EUR, 28 USD"
        )
    for name in settings.marks:
        if name not in MARKABLE:
            known = ", ".join(sorted(MARKABLE))
            near = did_you_mean(name, MARKABLE)
            yield f"required_marks names {name!r}{near}; use some of {known}"
    for table, days in settings.kept_days.items():
        if table not in LIMITABLE:
            known = ", ".join(LIMITABLE)
            yield f"keep_days names {table!r}{did_you_mean(table, LIMITABLE)}; use some of {known}"
        elif not KEEP_DAYS_MIN <= days <= KEEP_DAYS_MAX:
            yield (
                f"keep_days of {table} is not a number of days from {KEEP_DAYS_MIN} to "
                f"{KEEP_DAYS_MAX}; write it {table}=3650"
            )
    try:
        ZoneInfo(settings.zone)
    except (ValueError, OSError, KeyError):
        yield f"zone {settings.zone!r} is unknown; use an IANA name such as Europe/Berlin"
    sasl = settings.security_protocol.startswith("SASL")
    if sasl and not (settings.sasl_mechanism and settings.sasl_username and settings.sasl_password):
        yield (
            f"security_protocol {settings.security_protocol} needs sasl_mechanism, sasl_username "
            "and sasl_password (or sasl_password_file)"
        )
    if not sasl and settings.sasl_mechanism:
        yield "sasl_mechanism is set; set security_protocol to SASL_SSL (or SASL_PLAINTEXT) as well"
    if not settings.security_protocol.endswith("SSL") and (
        settings.ssl_cafile or settings.ssl_certfile
    ):
        yield "ssl_cafile or ssl_certfile is set; set security_protocol to SSL or SASL_SSL as well"
    if settings.ssl_keyfile and not settings.ssl_certfile:
        yield "ssl_keyfile is set without ssl_certfile; give the certificate as well"
    url = settings.clickhouse_url
    if url and not url.startswith(("http://", "https://", "chdb://")):
        yield f"clickhouse_url {without_login(url)!r} must begin with http://, https:// or chdb://"
    if settings.clickhouse_cafile and not url.startswith("https://"):
        yield "clickhouse_cafile is set; begin clickhouse_url with https:// as well"
    if "@" in url:
        yield "clickhouse_url holds a login; move it to clickhouse_user and clickhouse_password"
    for server in filter(None, map(str.strip, settings.bootstrap_servers.split(","))):
        if not SERVER.fullmatch(server):
            yield f"bootstrap_servers names {server[:100]!r}; write host:port, comma separated"
    collector = settings.otel_endpoint
    if collector and not collector.startswith(("http://", "https://")):
        yield f"otel_endpoint {without_login(collector)!r} must begin with http:// or https://"
    if "@" in collector:
        yield "otel_endpoint holds a login; put a collector before it that needs none"
    yield from _registry_contradictions(settings)
    yield from _key_contradictions(settings)


def _registry_contradictions(settings: Settings) -> Iterable[str]:
    url = settings.registry_url
    if url and not url.startswith(("http://", "https://")):
        yield f"registry_url {without_login(url)!r} must begin with http:// or https://"
    if "@" in url:
        yield "registry_url holds a login; move it to registry_user and registry_password"
    if url and settings.registry_file:
        yield "registry_url and registry_file are both set; give one"
    if settings.registry_user and not settings.registry_password:
        yield "registry_user is set without registry_password (or registry_password_file)"


def _key_contradictions(settings: Settings) -> Iterable[str]:
    url = settings.kms_url
    if url and not url.startswith(("http://", "https://")):
        yield f"kms_url {without_login(url)!r} must begin with http:// or https://"
    if url.startswith("http://") and urlsplit(url).hostname not in LOOPBACK:
        yield f"kms_url {without_login(url)!r} would send its token in the clear; use https://"
    if "@" in url:
        yield "kms_url holds a login; give kms_token (or kms_token_file)"
    if url and settings.master_key_file:
        yield "kms_url and master_key_file are both set; give one"
    if url and not settings.kms_token:
        yield "kms_url is set without kms_token (or kms_token_file)"


def _kept(text: str) -> tuple[str, int]:
    """Table and days of `table=days`; 0 days if the text is not such a thing."""
    table, _, days = text.partition("=")
    is_number = days.strip().isdecimal() and len(days.strip()) <= len(str(KEEP_DAYS_MAX))
    return table.strip(), int(days) if is_number else 0


def _minutes(text: str, limit: int = MINUTES_A_DAY) -> int:
    """Minutes after midnight of HH:MM; -1 if the text is not such a time below the limit."""
    hours, colon, minutes = text.partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdigit()):
        return -1
    total = int(hours) * 60 + int(minutes)
    return total if int(minutes) < 60 and total < limit else -1


def _secret(kind: type[T], value: object) -> T | Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("expected text")


def _plain(error: Exception, name: str, value: object) -> str:
    """The problem in words; a secret's value is not repeated."""
    shown = MASK if name in SECRET_FILES else repr(value)
    choices = _choices(TYPES[name])
    if choices:
        return f"{shown} is not one of {', '.join(choices)}"
    return f"{shown} does not do: {str(error)[:1].lower()}{str(error)[1:]}"


def _choices(kind: Any) -> list[str]:
    """The words of a Literal, also of one that may be None."""
    parts = get_args(kind)
    if parts and all(isinstance(part, str) for part in parts):
        return list(parts)
    return [word for part in parts for word in _choices(part)]


def _shown(value: object) -> object:
    return str(value) if isinstance(value, Secret) else value


def _listing(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"settings: {problems[0]}"
    return "settings:" + "".join(f"\n  - {problem}" for problem in problems)
