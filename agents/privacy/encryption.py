"""Personal data at the border: encrypted before they are written, opened for who has the keys.

Writers (`tocsin intake`, `produce`, `log`, and any producer through `open_encrypting_guard`) put a
token in the place of a customer's id and encrypt what the schemas mark `pii` by the customer's own
key. Whatever decides, copies or compares needs no key: it sees what is stored. Readers open it
again, and say `[erased]` where the key was destroyed, `[encrypted]` where they have none.

AES-256-SIV: the same content of the same field of a customer gives the same text, so that a record
that comes twice is no correction. Topic, field and customer are authenticated with it.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import Any, AnyStr, Final, TypeVar

from cryptography.exceptions import InvalidTag
from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.privacy.keys import DEPLOYMENT, QUARANTINE, Entry, Keyring, is_owner, is_token
from tocsin.agents.privacy.master_key import MasterFile, Wrapper
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.channels import subject_of
from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.schemas.contracts.catalog import DEAD_LETTERS
from tocsin.streams.facts.checks import check_id
from tocsin.streams.facts.encrypted_text import SEALED

ERASED: Final = "[erased]"
ENCRYPTED: Final = "[encrypted]"
UNREADABLE: Final = "[unreadable]"  # changed by someone, or taken from another place
NO_VERSION: Final = 0  # of what was written of a customer whose key was destroyed: nothing
IDS_MAX: Final = 200_000
_SEALED: Final = re.compile(rf"{SEALED}([a-z0-9_]{{1,40}})\.(\d{{1,9}}):".encode())
_LETTERS: Final = subject_of(DEAD_LETTERS)

AnyEvent = TypeVar("AnyEvent", bound=Struct)


class PersonalDataGuard:
    """Seals and opens personal data; a `Protector` of the codec.

    Without privacy (`is_on` false) it changes nothing that is written. Without keys it opens
    nothing, and refuses to write.
    """

    def __init__(self, keyring: Keyring | None = None, *, is_on: bool = False) -> None:
        self._keyring = keyring
        self._tokens: dict[str, str] = {}
        self.is_on = is_on

    @property
    def is_open(self) -> bool:
        """Whether it has keys."""
        return self._keyring is not None

    def customer(self, customer_id: str) -> str:
        """The name in records of a customer that somebody names: its token where there are any.

        Who has no keys must name it by its token: another name is left as it is, and unknown.
        """
        if self._keyring is None or not self.is_on or not customer_id or is_token(customer_id):
            return customer_id
        return self._keyring.token(customer_id)

    def tokenised(self, event: AnyEvent) -> AnyEvent:
        """The event under its customer's token; its customer gets a key if it had none.

        An id that no record may have is left as it is: the worker refuses it.
        """
        if not self.is_on:
            return event
        customer_id: str | None = getattr(event, "customer_id", None)
        if not customer_id or check_id("customer_id", customer_id):
            return event
        return replace(event, customer_id=self._token(customer_id))

    def protect(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        """Encrypt content by the customer's key; nothing of it is kept of an erased customer."""
        if not self.is_on or not content:
            return content
        return self._seal(subject, field, _owner(customer_id), content)

    def reveal(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        """Decrypt content, or say why not; what was never encrypted is returned as it is."""
        return self._open(subject, field, _owner(customer_id), content)

    def seal_letter(self, letter: DeadLetter, customer_id: str | None) -> DeadLetter:
        """A refused foreign record, encrypted whole; by a shared key if its customer is unknown."""
        if not self.is_on:
            return letter
        owner = QUARANTINE
        if customer_id and not check_id("customer_id", customer_id):
            owner = self._token(customer_id)
        return _with_content(
            letter, lambda field, content: self._seal(_LETTERS, field, owner, content)
        )

    def open_letter(self, letter: DeadLetter) -> DeadLetter:
        """A dead letter with what of it was encrypted whole opened."""
        return _with_content(
            letter, lambda field, content: self._open(_LETTERS, field, None, content)
        )

    def known_as(self, customer_id: str) -> str:
        """A customer's own id; empty without keys, after its erasure, and without privacy."""
        entry = self._entry(customer_id)
        if entry is None or not entry.customer:
            return ""
        return self._open("keys", "customer_id", customer_id, entry.customer)

    def naming(self, customer_id: str, name: str | None) -> str:
        """A customer's stored name, opened, after the customer's own id if a token hides that."""
        opened = self.reveal("customers-value", "name", customer_id, name) if name else ""
        return f"{self.known_as(customer_id)} {opened}".strip()

    def can_open(self, customer_id: str) -> bool:
        """Whether what is encrypted of a customer can be read here."""
        entry = self._entry(customer_id)
        return entry is not None and bool(entry.keys)

    def _entry(self, customer_id: str) -> Entry | None:
        if self._keyring is None or not is_token(customer_id):
            return None
        return self._keyring.entry(customer_id)

    def _token(self, customer_id: str) -> str:
        """The token of a customer, who has a key from now on."""
        token = self._tokens.get(customer_id)
        if token is None:
            keys = self._keys()
            token = customer_id if is_token(customer_id) else keys.token(customer_id)
            if keys.entry(token) is None and keys.newest(token) and token != customer_id:
                keys.name(token, self._seal("keys", "customer_id", token, customer_id))
            if len(self._tokens) >= IDS_MAX:
                self._tokens.clear()
            self._tokens[customer_id] = token
        return token

    def _keys(self) -> Keyring:
        if self._keyring is None:
            raise InputError(
                "privacy is on, and there are no keys here",
                mend="give customers by their tokens, or set keys_dir and master_key_file or "
                "kms_url; `tocsin keys init` makes keys",
            )
        return self._keyring

    def _seal(self, subject: str, field: str, owner: str, content: AnyStr) -> AnyStr:
        if self._opened(subject, field, owner, content) is not None:
            return content  # sealed before, by this very key
        found = self._keys().newest(owner)
        if found is None:
            return _as(content, f"{SEALED}{owner}.{NO_VERSION}:")
        version, cipher = found
        head = f"{SEALED}{owner}.{version}:"
        place = _place(subject, field, owner)
        if isinstance(content, str):
            body = base64.urlsafe_b64encode(cipher.encrypt(content.encode(), place))
            return head + body.decode()
        return head.encode() + cipher.encrypt(content, place)

    def _open(self, subject: str, field: str, owner: str | None, content: AnyStr) -> AnyStr:
        parts = _parts(content)
        if parts is None:
            return content
        kept, version, _ = parts
        if version == NO_VERSION:
            return _as(content, ERASED)
        if self._keyring is None or self._keyring.entry(kept) is None:
            return _as(content, ENCRYPTED)  # no keys here, or those of another deployment
        if self._keyring.cipher(kept, version) is None:
            return _as(content, ERASED)
        opened = self._opened(subject, field, owner or kept, content)
        return _as(content, UNREADABLE) if opened is None else opened

    def _opened(self, subject: str, field: str, owner: str, content: AnyStr) -> AnyStr | None:
        """The content if it was sealed for that place and can be opened."""
        parts = _parts(content)
        if parts is None or parts[0] != owner or self._keyring is None:
            return None
        _, version, body = parts
        cipher = self._keyring.cipher(owner, version) if self._keyring.entry(owner) else None
        if cipher is None:
            return None
        try:
            plain = cipher.decrypt(body, _place(subject, field, owner))
            return plain.decode() if isinstance(content, str) else plain
        except (InvalidTag, ValueError):  # changed, too short, or not text
            return None


NO_GUARD: Final = PersonalDataGuard()


def open_encrypting_guard(settings: Settings) -> PersonalDataGuard:
    """For who writes: seals if the deployment is private.

    Raises ConfigurationError if that takes keys and there are none, UnavailableError.
    """
    if not settings.privacy:
        return NO_GUARD
    return PersonalDataGuard(open_keys(settings), is_on=True)


def open_decrypting_guard(settings: Settings) -> PersonalDataGuard:
    """For who reads: opens what can be opened here. A program without keys gets none."""
    has_master = settings.kms_url or settings.master_key_file
    if not settings.privacy or not has_master:
        return PersonalDataGuard(is_on=settings.privacy)
    return PersonalDataGuard(open_keys(settings), is_on=True)


def open_keys(settings: Settings) -> Keyring:
    """The deployment's keys, opened once for all of the process.

    Raises ConfigurationError, UnavailableError.
    """
    return _opened(settings)


def master_of(settings: Settings) -> Wrapper:
    """What wraps the keys. Raises InputError if nothing is set."""
    if settings.kms_url:
        # Most deployments have none, and a client of HTTP takes its time to import.
        from tocsin.agents.privacy.vault import open_vault

        return open_vault(settings)
    if not settings.master_key_file:
        raise InputError(
            "there is no master key",
            mend="set master_key_file to a file of its own, or kms_url to a key service",
        )
    return MasterFile(settings.master_key_path)


@cache
def _opened(settings: Settings) -> Keyring:
    return Keyring(settings.keys_path, master_of(settings))


def _owner(customer_id: str) -> str:
    """Whose key a field is encrypted by."""
    if not customer_id:
        return DEPLOYMENT
    return customer_id if is_token(customer_id) else QUARANTINE


def _parts(content: str | bytes) -> tuple[str, int, bytes] | None:
    """Owner, version and body of what is sealed: bytes as they are, of a text in base 64."""
    raw = content.encode() if isinstance(content, str) else content
    match = _SEALED.match(raw)
    if match is None or not is_owner(owner := match[1].decode()):
        return None
    body = raw[match.end() :]
    if isinstance(content, str):
        try:
            body = base64.b64decode(body, altchars=b"-_", validate=True)
        except binascii.Error:
            return None
    return owner, int(match[2]), body


def _place(subject: str, field: str, owner: str) -> list[bytes]:
    return [subject.encode(), field.encode(), owner.encode()]


def _as(content: AnyStr, text: str) -> AnyStr:
    """A text as the type that the content has."""
    return text if isinstance(content, str) else text.encode()


def _with_content(letter: DeadLetter, change: Any) -> DeadLetter:
    """A letter whose key, value, headers and detail are changed by a function of field and content.

    The names of headers stay: they belong to the feed, not to a customer.
    """

    def changed(field: str, content: Any) -> Any:
        return change(field, content) if content else content

    return replace(
        letter,
        key=changed("key", letter.key),
        value=changed("value", letter.value),
        headers=tuple(
            RecordHeader(header.name, changed("headers", header.value)) for header in letter.headers
        ),
        detail=changed("detail", letter.detail),
    )
