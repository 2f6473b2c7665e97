# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets at rest: installation keys seal organisation keys, and those seal what is theirs.

AES-256-GCM throughout. What a sealed value is for, and whose it is, is bound to it as associated
data, so that one cannot be put in the place of another. Installation keys and the key of the
keyed hashes are files (accounts/keyfiles.py); nothing here is ever in a dump of the database.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
import struct
import time
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection

from accounts.keyfiles import (
    CACHE_SECONDS,
    KEY_OCTETS,
    HourKey,
    HourKeys,
    KeyDirectory,
    KeyGone,
    KeyringAway,
    VaultError,
    directory_of,
)

__all__ = [
    "HourKey",
    "HourKeys",
    "KeyGone",
    "KeyringAway",
    "SealedContent",
    "VaultError",
    "keyed_hash",
    "make_installation_key",
    "new_organisation_key",
    "organisation_key_purpose",
    "seal",
    "seal_content",
    "seal_text",
    "sealed_with",
    "unseal",
    "unseal_content",
    "unseal_text",
    "unwrap_organisation_key",
]

logger = logging.getLogger(__name__)

HASH_KEY = "hash"
NONCE_OCTETS = 12
# One octet for the layout, four for the number of the installation key (0: an organisation's key).
HEADER = struct.Struct(">BI")
LAYOUT = 1
ORGANISATION_KEY = "organisation-key"
CACHED_ORGANISATIONS = 1000


@dataclass(frozen=True, slots=True)
class SealedContent:
    wrapped_key: bytes | memoryview
    ciphertext: bytes | memoryview


def seal(purpose: str, plaintext: bytes, *, organisation_id: UUID | None = None) -> bytes:
    """Seal under the organisation's key, or the newest installation key when there is none.

    An organisation's key is read through the database connection: open its context first.
    """
    number, key = 0, b""
    if organisation_id is None:
        number, key = _installation().newest()
    else:
        key = _organisation_key(organisation_id)
    header = HEADER.pack(LAYOUT, number)
    return header + _encrypt(key, plaintext, _bound(header, purpose, organisation_id))


def unseal(
    purpose: str, sealed: bytes | memoryview, *, organisation_id: UUID | None = None
) -> bytes:
    """Open what `seal` made for the same purpose and owner. Raises VaultError."""
    sealed = bytes(sealed)
    number = sealed_with(sealed)
    if (number == 0) != (organisation_id is not None):
        raise VaultError("sealed for another kind of owner")
    key = _installation().numbered(number) if number else _organisation_key(organisation_id)
    header = sealed[: HEADER.size]
    return _decrypt(key, sealed[HEADER.size :], _bound(header, purpose, organisation_id))


def seal_text(purpose: str, text: str, *, organisation_id: UUID) -> str:
    """Seal a text as one that an address line or a broker may hold (base64url, RFC 4648 §5)."""
    sealed = seal(purpose, text.encode(), organisation_id=organisation_id)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal_text(purpose: str, sealed: str, *, organisation_id: UUID) -> str:
    """Open what `seal_text` made for the same purpose and owner. Raises VaultError."""
    try:
        octets = base64.urlsafe_b64decode(sealed.encode())
    except ValueError:
        raise VaultError("not written as sealed text is") from None
    return unseal(purpose, octets, organisation_id=organisation_id).decode()


def sealed_with(sealed: bytes | memoryview) -> int:
    """Return the number of the installation key, 0 for an organisation's. Raises VaultError."""
    if len(sealed) < HEADER.size + NONCE_OCTETS:
        raise VaultError("too short to be sealed")
    layout, number = HEADER.unpack_from(bytes(sealed))
    if layout != LAYOUT:
        raise VaultError("unknown layout")
    return int(number)


def keyed_hash(purpose: str, value: bytes) -> bytes:
    """Return HMAC-SHA-256 (32 octets) under a key for this purpose; the same after a rotation."""
    return hmac.digest(_hash_key(settings.VAULT_URL, purpose), value, "sha256")


def new_organisation_key(organisation_id: UUID) -> bytes:
    """Return a new organisation key, sealed, for the row `OrganisationKey.sealed`."""
    return seal(organisation_key_purpose(organisation_id), secrets.token_bytes(KEY_OCTETS))


def unwrap_organisation_key(sealed: bytes | memoryview, organisation_id: UUID) -> bytes:
    """Open the column `OrganisationKey.sealed`. Raises VaultError."""
    return unseal(organisation_key_purpose(organisation_id), sealed)


def organisation_key_purpose(organisation_id: UUID) -> str:
    """Return the purpose under which an organisation's key is sealed."""
    return f"{ORGANISATION_KEY}|{organisation_id}"


def seal_content(
    content: bytes,
    *,
    organisation_key: bytes,
    hour_key: HourKey,
    message_id: UUID,
    bound_to: bytes,
) -> SealedContent:
    """Seal a message under a key of its own; opening that takes both the keys given.

    `bound_to` says what it may be opened as; it does not open as anything else.
    """
    item_key = secrets.token_bytes(KEY_OCTETS)
    inner = _encrypt(organisation_key, item_key, b"item|" + message_id.bytes)
    return SealedContent(
        wrapped_key=_encrypt(hour_key.secret, inner, _hour_bound(hour_key, message_id)),
        ciphertext=_encrypt(item_key, content, bound_to + b"|" + message_id.bytes),
    )


def unseal_content(
    sealed: SealedContent,
    *,
    organisation_key: bytes,
    hour_key: HourKey,
    message_id: UUID,
    bound_to: bytes,
) -> bytes:
    """Open what `seal_content` made. Raises VaultError."""
    inner = _decrypt(hour_key.secret, sealed.wrapped_key, _hour_bound(hour_key, message_id))
    item_key = _decrypt(organisation_key, inner, b"item|" + message_id.bytes)
    return _decrypt(item_key, sealed.ciphertext, bound_to + b"|" + message_id.bytes)


def make_installation_key() -> int:
    """Make the next installation key and return its number; from now on it seals."""
    return _installation().make_next()


class InstallationKeys:
    """The numbered keys of one directory, read again at least every CACHE_SECONDS."""

    def __init__(self, url: str) -> None:
        self._directory = KeyDirectory(directory_of(url))
        self._keys: dict[int, bytes] = {}
        self._until = 0.0

    def newest(self) -> tuple[int, bytes]:
        """Return number and key. Raises VaultError when there is none and none may be made."""
        keys = self._fresh()
        if not keys:
            if self._names():
                raise VaultError("no installation key can be read")
            _may_make()
            self.make_next()
            keys = self._fresh()
        number = max(keys)
        return number, keys[number]

    def numbered(self, number: int) -> bytes:
        """Return one key; one that another process has just made is looked for at once."""
        if number not in self._fresh():
            self._until = 0.0
        try:
            return self._fresh()[number]
        except KeyError:
            raise VaultError(f"installation key {number} is not there") from None

    def make_next(self) -> int:
        # A key that cannot be read has its number all the same.
        number = max(map(int, self._names()), default=0) + 1
        self._directory.make(_file_name(number))
        if HASH_KEY not in self._directory.names():
            self._directory.make(HASH_KEY)
        self._until = 0.0
        return number

    def _fresh(self) -> dict[int, bytes]:
        if time.monotonic() >= self._until:
            self._keys = self._read()
            self._until = time.monotonic() + CACHE_SECONDS
        return self._keys

    def _read(self) -> dict[int, bytes]:
        keys: dict[int, bytes] = {}
        for name in self._names():
            # One that cannot be read must not take the others along; what it sealed waits.
            try:
                keys[int(name)] = self._directory.read(name)
            except (KeyGone, VaultError) as fault:
                logger.error("vault: installation key %s: %s", name, fault)
        return keys

    def _names(self) -> list[str]:
        return [name for name in self._directory.names() if name.isdigit()]


def _file_name(number: int) -> str:
    return f"{number:08d}"


def _may_make() -> None:
    # A lost mount must not look like a new installation: production makes its keys by command.
    if not settings.VAULT_MAKE_KEYS:
        raise VaultError("no installation key; `manage.py rotate_keys` makes the first one")


@lru_cache(maxsize=8)
def _installation_at(url: str) -> InstallationKeys:
    return InstallationKeys(url)


def _installation() -> InstallationKeys:
    return _installation_at(settings.VAULT_URL)


@lru_cache(maxsize=128)
def _hash_key(url: str, purpose: str) -> bytes:
    """Derive the purpose's key (HKDF, RFC 5869) from a file that no rotation touches."""
    root = _hash_root(KeyDirectory(directory_of(url)))
    return HKDF(SHA256(), KEY_OCTETS, salt=None, info=purpose.encode()).derive(root)


def _hash_root(directory: KeyDirectory) -> bytes:
    try:
        return directory.read(HASH_KEY)
    except KeyGone:
        _may_make()
        return directory.make(HASH_KEY)


_organisation_keys: dict[UUID, tuple[float, bytes]] = {}


def _organisation_key(organisation_id: UUID | None) -> bytes:
    assert organisation_id is not None
    known = _organisation_keys.get(organisation_id)
    if known and known[0] > time.monotonic():
        return known[1]
    key = unwrap_organisation_key(_sealed_key_of(organisation_id), organisation_id)
    _forget_old_organisation_keys()
    _organisation_keys[organisation_id] = (time.monotonic() + CACHE_SECONDS, key)
    return key


def _sealed_key_of(organisation_id: UUID) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sealed FROM accounts_organisationkey WHERE organisation_id = %s",
            [organisation_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise VaultError("the organisation's key is not there, or not in this context")
    return bytes(row[0])


def _forget_old_organisation_keys() -> None:
    limit = time.monotonic()
    old = [name for name, (until, _) in _organisation_keys.items() if until <= limit]
    if len(_organisation_keys) - len(old) >= CACHED_ORGANISATIONS:
        old = list(_organisation_keys)
    for name in old:
        del _organisation_keys[name]


def _bound(header: bytes, purpose: str, organisation_id: UUID | None) -> bytes:
    owner = organisation_id.bytes if organisation_id else b""
    return header + purpose.encode() + b"\0" + owner


def _hour_bound(hour_key: HourKey, message_id: UUID) -> bytes:
    return b"hour|" + hour_key.id.encode() + b"|" + message_id.bytes


def _encrypt(key: bytes, plaintext: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_OCTETS)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, bound)


def _decrypt(key: bytes, sealed: bytes | memoryview, bound: bytes) -> bytes:
    sealed = bytes(sealed)
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:], bound)
    except (InvalidTag, ValueError):
        raise VaultError("cannot be opened") from None
