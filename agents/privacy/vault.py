"""A master key in a key service: the transit engine of Vault (and OpenBao), over its HTTP API.

The master key never leaves the service. What it wraps for a customer opens only with that
customer's name beside it (associated data).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

import requests

from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.settings import Settings

TIMEOUT_S: Final = 5.0
TOKEN_HEADER: Final = "X-Vault-Token"  # noqa: S105 - the name of a header
BUSY: Final = frozenset({429, 500, 502, 503, 504})


class Vault:
    """Wraps keys by the service's key of a name. The key must be of an authenticating kind."""

    def __init__(self, url: str, name: str, session: requests.Session) -> None:
        self._url = f"{url.rstrip('/')}/v1/transit"
        self._name = name
        self._session = session

    def wrap(self, key: bytes, context: str) -> str:
        """Have a key encrypted by the newest version of the service's key."""
        body = {"plaintext": _text(key), "associated_data": _text(context.encode())}
        return str(self._ask("POST", f"encrypt/{self._name}", body)["ciphertext"])

    def unwrap(self, wrapped: str, context: str) -> bytes:
        """Have a key decrypted."""
        body = {"ciphertext": wrapped, "associated_data": _text(context.encode())}
        return base64.b64decode(self._ask("POST", f"decrypt/{self._name}", body)["plaintext"])

    def begin_rotation(self) -> None:
        """Have the service make a new version of its key."""
        self._ask("POST", f"keys/{self._name}/rotate")

    def end_rotation(self) -> None:
        """Have it refuse, then destroy, every version but the newest."""
        newest = self._ask("GET", f"keys/{self._name}")["latest_version"]
        limits = {"min_decryption_version": newest, "min_encryption_version": newest}
        self._ask("POST", f"keys/{self._name}/config", limits)
        self._ask("POST", f"keys/{self._name}/trim", {"min_available_version": newest})

    def create(self) -> None:
        """Make the service's key; nothing if there is one."""
        self._ask("POST", f"keys/{self._name}", {"type": "aes256-gcm96"})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The `data` of an answer; empty where there is none."""
        try:
            answer = self._session.request(
                method, f"{self._url}/{path}", json=body, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise UnavailableError(
                f"the key service at {self._url} does not answer ({type(error).__name__})",
                mend="see that it runs and that kms_url is right",
            ) from error
        if answer.status_code in BUSY:
            raise UnavailableError(
                f"the key service at {self._url} answered with HTTP status {answer.status_code}",
                mend="see that it runs and is unsealed",
            )
        try:
            content = answer.json() if answer.content else {}
        except ValueError:
            content = {}
        if not answer.ok:
            told = "; ".join(map(str, content.get("errors", ()))) or "no reason given"
            raise ConfigurationError(
                f"the key service at {self._url} refused {path.partition('/')[0]} (HTTP status "
                f"{answer.status_code}): {told}",
                mend=f"check kms_token and what it may do with the key {self._name}",
            )
        return content.get("data") or {}


def open_vault(settings: Settings) -> Vault:
    """The key service that `kms_url` names; it is not asked yet."""
    session = requests.Session()
    session.trust_env = False  # neither a proxy nor a .netrc is meant for this
    session.headers[TOKEN_HEADER] = settings.kms_token.reveal()
    if settings.kms_cafile:
        session.verify = str(Path(settings.kms_cafile).expanduser())
    return Vault(settings.kms_url, settings.kms_key, session)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
