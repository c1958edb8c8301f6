"""The key that signs anchors and papers (Ed25519, RFC 8032), and whose signature is believed.

The private key is in a file of its owner (PKCS #8, PEM). The public key is known by its
fingerprint, as SSH's are: `SHA256:` and the hash of its 32 bytes in base 64 without padding.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.secret_files import create_private, is_open_to_others
from tocsin.agents.settings.settings import Settings

# What a signature is over: one over an anchor is one over nothing else.
ANCHOR: Final = b"tocsin anchor\n"
PAPER: Final = b"tocsin paper\n"


class Key:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """By which the public key is known."""
        return fingerprint(self.public)

    def sign(self, content: bytes, purpose: bytes = ANCHOR) -> bytes:
        """The signature of an anchor's or a paper's content, 64 bytes."""
        return self._key.sign(purpose + content)


def fingerprint(public: bytes) -> str:
    """By which a public key is known."""
    return f"SHA256:{base64.b64encode(sha256(public).digest()).decode().rstrip('=')}"


def is_signed(public: bytes, signature: bytes, content: bytes, purpose: bytes = ANCHOR) -> bool:
    """Whether the owner of a public key has signed an anchor's or a paper's content."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, purpose + content)
    except (InvalidSignature, ValueError):
        return False
    return True


def create_key(path: Path) -> Key:
    """Make a key and its file, for its owner's eyes only. Raises ConfigurationError."""
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        create_private(path, content)
    except FileExistsError as error:
        raise ConfigurationError(
            f"there is a file {path}", mend="name another for the new key"
        ) from error
    return Key(key)


def read_key(settings: Settings) -> Key:
    """The deployment's key. Raises InputError, ConfigurationError, UnavailableError."""
    path = settings.anchor_key_path
    try:
        if is_open_to_others(path.stat()):
            raise ConfigurationError(f"others may read the key in {path}", mend="chmod 600 it")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"there is no key to sign with in {path}",
            mend="make one with `tocsin anchor key`, or set anchor_key_file to its file",
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"the key in {path} cannot be read: {error.strerror}",
            mend="let this user read it, or set anchor_key_file to another",
        ) from error
    try:
        key = serialization.load_pem_private_key(content, None)
    except (TypeError, ValueError) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return Key(key)


def believed(settings: Settings) -> frozenset[str]:
    """Fingerprints of the keys whose signatures count: those set, else that of the own key.

    Raises InputError where there is neither: an anchor cannot vouch for its own key.
    """
    if settings.anchor_keys:
        return frozenset(filter(None, map(str.strip, settings.anchor_keys.split(","))))
    if not settings.anchor_key_path.exists():
        raise InputError(
            "whose signature counts is not known",
            mend="set anchor_keys to the fingerprint that `tocsin anchor key` told",
        )
    return frozenset({read_key(settings).fingerprint})


def _no_key(path: Path) -> InputError:
    return InputError(
        f"{path} holds no private key of Ed25519 in PEM",
        mend="restore it, or make another with `tocsin anchor key`",
    )
