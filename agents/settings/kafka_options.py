"""Kafka clients: the settings as aiokafka's keyword arguments, certificates loaded."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, Protocol

from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.secret import MASK, Secret


class Masked(str):
    """A password for a client that wants plain text: whoever prints the options shows none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Connection(Protocol):
    """The settings that say where the brokers are and how to log in to them."""

    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def data_path(self) -> Path: ...
    @property
    def services_mend(self) -> str: ...
    @property
    def compression(self) -> str: ...
    @property
    def security_protocol(self) -> str: ...
    @property
    def ssl_cafile(self) -> str: ...
    @property
    def ssl_certfile(self) -> str: ...
    @property
    def ssl_keyfile(self) -> str: ...
    @property
    def ssl_check_hostname(self) -> bool: ...
    @property
    def sasl_mechanism(self) -> str | None: ...
    @property
    def sasl_username(self) -> str: ...
    @property
    def sasl_password(self) -> Secret: ...


def client_options(settings: Connection) -> dict[str, Any]:
    """Keyword arguments that aiokafka's consumer, producer and admin client have in common.

    Raises InputError if no broker is known or a certificate file does not do.
    """
    if not settings.bootstrap_servers:
        raise InputError(
            f"no Kafka broker is known: none is set and no embedded services run over "
            f"{settings.data_path}",
            mend=f"{settings.services_mend}, or set bootstrap_servers",
        )
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        logging.getLogger("aiokafka.conn").addFilter(_tells_no_requests)
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = Masked(settings.sasl_password.reveal())
    return options


def producer_options(settings: Connection) -> dict[str, Any]:
    """Keyword arguments that all of aiokafka's producers here have in common.

    Raises ConfigurationError as `client_options` does.
    """
    codec = None if settings.compression == "none" else settings.compression
    return {**client_options(settings), "acks": "all", "compression_type": codec}


def _tells_no_requests(record: logging.LogRecord) -> bool:
    """Keep what aiokafka logs at DEBUG from any log: each request whole, with the password."""
    return record.levelno > logging.DEBUG


def _ssl_context(settings: Connection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=_path(settings.ssl_cafile))
        if settings.ssl_certfile:
            context.load_cert_chain(_path(settings.ssl_certfile) or "", _path(settings.ssl_keyfile))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"certificates: {reason}",
            mend=f"check ssl_cafile ({settings.ssl_cafile or 'the system'}), "
            f"ssl_certfile ({settings.ssl_certfile or 'none'}) and ssl_keyfile",
        ) from error
    context.check_hostname = settings.ssl_check_hostname
    return context


def _path(text: str) -> str | None:
    return str(Path(text).expanduser()) if text else None
