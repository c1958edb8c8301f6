"""A deployment's codec and its connection to ClickHouse, made from the settings."""

from __future__ import annotations

from pathlib import Path

from tocsin.agents.clickhouse.client import ANSWER_WITHIN_S, ClickHouse, connect
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.channels import Protector
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.registry import FileRegistry, Registry, RegistryError
from tocsin.streams.facts.convention import Convention


def open_codec(settings: Settings, protector: Protector | None = None) -> Codec:
    """Ask the schema registry and make the codec. Raises ConfigurationError, UnavailableError.

    Without a protector personal data are written and read as they are stored.
    """
    try:
        return Codec(_open_registry(settings), protector)
    except RegistryError as error:
        mend = "run `tocsin topics apply`" if settings.registry_url else ""
        kind = ConfigurationError if settings.registry_url else InputError
        raise kind(f"schema registry: {error}", mend=mend) from error


def convention_of(settings: Settings) -> Convention:
    """The deployment's convention: zone, hours of closing, horizon, marks that a day waits for."""
    return Convention(
        settings.zone,
        settings.close_after_minutes,
        settings.horizon_days,
        required_marks=settings.marks,
        close_latest_minutes=settings.close_latest_minutes,
        tolerance=settings.residual_tolerance,
    )


def require_clickhouse(settings: Settings) -> None:
    """Raise InputError if no ClickHouse is known."""
    if not settings.clickhouse_url:
        raise InputError(
            f"no ClickHouse is known: none is set and no embedded services run over "
            f"{settings.data_path}",
            mend=f"{settings.services_mend}, or set clickhouse_url",
        )


def open_clickhouse(
    settings: Settings, *, is_reader: bool = False, answer_within_s: int = ANSWER_WITHIN_S
) -> ClickHouse:
    """Connect to the deployment's ClickHouse. Raises ConfigurationError, UnavailableError.

    A reader does not log in to the embedded engine, which lets those who do not only read.
    """
    require_clickhouse(settings)
    is_embedded = "embedded services" in settings.origins.get("clickhouse_user", "")
    if is_reader and is_embedded:
        return connect(settings.clickhouse_url, answer_within_s=answer_within_s)
    return connect(
        settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.reveal(),
        cafile=str(Path(settings.clickhouse_cafile).expanduser())
        if settings.clickhouse_cafile
        else "",
        answer_within_s=answer_within_s,
    )


def foreign_registry(settings: Settings) -> Registry | None:
    """The registry for the schemas of foreign topics, of any subject; None if none is set."""
    if not settings.registry_url:
        return None
    from tocsin.agents.registry.client import open_http_registry

    return open_http_registry(settings, prefix="")


def _open_registry(settings: Settings) -> Registry:
    if settings.registry_url:
        # Most deployments have none, and a client of HTTP takes its time to import.
        from tocsin.agents.registry.client import open_http_registry

        return open_http_registry(settings)
    return FileRegistry(
        Path(settings.registry_file).expanduser() if settings.registry_file else None
    )
