"""The codec and registry of a deployment, made from its settings."""

from __future__ import annotations

from pathlib import Path

from tocsin.agents.errors import ConfigurationError
from tocsin.agents.settings import Settings
from tocsin.schemas.codec import Codec
from tocsin.schemas.registry import FileRegistry, RegistryError


def open_codec(settings: Settings) -> Codec:
    """Read the schema registry and make the codec. Raises ConfigurationError."""
    path = Path(settings.registry_file).expanduser() if settings.registry_file else None
    try:
        return Codec(FileRegistry(path))
    except RegistryError as error:
        raise ConfigurationError(f"schema registry: {error}") from error
