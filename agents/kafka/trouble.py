"""Why the brokers cannot be used: one attempt with the deployment's own login, told in plain words.

aiokafka's clients only log what stopped them and then say that nobody answered; a wrong password,
an unknown authority and a stopped broker need different remedies. Nothing here shows a secret.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from tocsin.agents.settings.errors import (
    ConfigurationError,
    InputError,
    TocsinError,
    UnavailableError,
)
from tocsin.agents.settings.settings import Settings

ATTEMPT_MS: Final = 5000
LOGIN_REFUSED: Final = (AuthenticationFailedError, SaslAuthenticationFailed)
LOGIN_UNFIT: Final = (
    AuthenticationMethodNotSupported,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
)
# What each refusal is about, in the words of Kafka's access control lists.
RIGHTS: Final[dict[type[KafkaError], str]] = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}
RIGHTS_MEND: Final = "give it the rights of its program: see docs/security.md"
WAY_MEND: Final = "set security_protocol to what the brokers speak there"


def is_away(error: BaseException) -> bool:
    """Whether an error says that brokers could not be reached, or not in time: that may pass."""
    # The client's own patience at an end (KafkaTimeoutError) does not count as retriable there.
    if isinstance(error, OSError | KafkaTimeoutError | UnavailableError):
        return True
    return isinstance(error, KafkaError) and bool(error.retriable)


def refusal(error: BaseException) -> str:
    """What an error says of a right that the login lacks; empty if it is about something else."""
    kind = next((word for known, word in RIGHTS.items() if isinstance(error, known)), "")
    return f"a right on the {kind} {', '.join(_names(error.args))}".rstrip() if kind else ""


def refused_right(error: BaseException, settings: Settings) -> ConfigurationError | None:
    """The error of ours for a right that the login lacks; None if it is about something else."""
    right = refusal(error)
    if not right:
        return None
    return ConfigurationError(
        f"Kafka at {settings.bootstrap_servers} refuses {login(settings)} {right}",
        mend=RIGHTS_MEND,
    )


def login(settings: Settings) -> str:
    """Whom the brokers take us for, as far as we know."""
    if settings.sasl_username:
        return f"user {settings.sasl_username}"
    if settings.ssl_certfile:
        return f"the owner of {settings.ssl_certfile}"
    return "who does not log in"


async def diagnose(settings: Settings) -> TocsinError:
    """What keeps us from the brokers, tried at the first of them that says something."""
    found: TocsinError | None = None
    for server in settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not (host and port.isdigit()):
            return InputError(f"bootstrap_servers names {server.strip()!r}", mend="write host:port")
        found = await _attempt(settings, host.strip("[]"), int(port))
        if isinstance(found, ConfigurationError):
            break
    return found or UnavailableError("no broker is named", mend="set bootstrap_servers")


async def _attempt(settings: Settings, host: str, port: int) -> TocsinError:
    where = f"Kafka at {host}:{port}"
    options = settings.client_options()
    del options["bootstrap_servers"]
    try:
        connection = await create_conn(host, port, request_timeout_ms=ATTEMPT_MS, **options)
        connection.close()
    except LOGIN_REFUSED as error:
        return ConfigurationError(
            f"{where} refuses the login of {login(settings)}: {error}",
            mend="check sasl_username, the password and sasl_mechanism",
        )
    except LOGIN_UNFIT:
        return ConfigurationError(
            f"{where} does not take logins by {settings.sasl_mechanism}",
            mend="set sasl_mechanism and security_protocol to what the brokers offer",
        )
    except ssl.SSLCertVerificationError as error:
        return _distrusted(where, error, settings)
    except (KafkaError, OSError, TimeoutError) as error:
        return await _broken_off(where, host, port, error, settings)
    if settings.security_protocol.startswith("SASL"):
        mend = "see that the addresses that it advertises can be reached from here"
    else:
        mend = f"it may want a login: {WAY_MEND}, or see that it is up"
    return UnavailableError(f"{where} can be reached, but does not answer", mend=mend)


def _distrusted(
    where: str, error: ssl.SSLCertVerificationError, settings: Settings
) -> ConfigurationError:
    return ConfigurationError(
        f"{where} is not trusted: {error.verify_message.rstrip('.')}",
        mend=f"check ssl_cafile ({settings.ssl_cafile or 'the system'}), the host names in "
        "bootstrap_servers, and the brokers' certificate",
    )


async def _broken_off(
    where: str, host: str, port: int, error: Exception, settings: Settings
) -> TocsinError:
    """Tell apart: nobody there, the wrong way to speak, a client certificate that is missing."""
    causes = [type(cause) for cause in _causes(error)]
    if socket.gaierror in causes:
        return UnavailableError(
            f"{where} cannot be found: no address is known for {host}",
            mend="check bootstrap_servers",
        )
    if ConnectionRefusedError in causes:
        return UnavailableError(
            f"{where} does not answer",
            mend="see that it runs (`tocsin up` starts one) and that bootstrap_servers is right",
        )
    is_tls = settings.security_protocol.endswith("SSL")
    alert = next((c.reason for c in _causes(error) if isinstance(c, ssl.SSLError)), None) or ""
    if "CERTIFICATE" in alert or "UNKNOWN_CA" in alert:
        told = alert.partition("ALERT_")[2].replace("_", " ").lower() or "it is not accepted"
        return ConfigurationError(
            f"{where} refuses our certificate: {told}",
            mend="check ssl_certfile and ssl_keyfile, and who the brokers trust",
        )
    if not is_tls and await _speaks_tls(host, port):
        return ConfigurationError(
            f"{where} speaks TLS, we do not (security_protocol {settings.security_protocol})",
            mend=WAY_MEND,
        )
    if is_tls and (alert == "WRONG_VERSION_NUMBER" or ConnectionResetError in causes):
        return ConfigurationError(
            f"{where} does not speak TLS (security_protocol {settings.security_protocol})",
            mend=WAY_MEND,
        )
    return UnavailableError(
        f"{where} broke off", mend=f"see that it is up; it may want another way: {WAY_MEND}"
    )


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake gets an answer; whom it comes from does not matter here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(ATTEMPT_MS / 1000):
            _reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _names(told: object) -> Iterator[str]:
    """Names in an error's arguments, which aiokafka gives as text or as sets of texts."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, set | frozenset | list | tuple):
        for entry in sorted(told, key=str):
            yield from _names(entry)
