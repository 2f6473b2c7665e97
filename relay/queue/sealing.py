# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sealing and opening content for the mail path, with the organisations' keys at hand.

Nothing is kept longer than KEPT, so a destroyed key is out of this process a minute later.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.keyfiles import directory_of, make_keyring
from accounts.vault import (
    HourKey,
    HourKeys,
    KeyGone,
    SealedContent,
    VaultError,
    seal_content,
    unseal_content,
    unwrap_organisation_key,
)
from relay.queue.entries import Accepted, Work

KEPT = timedelta(seconds=60)

# What sealed bytes are bound to. Nothing opens what is bound to the sandbox: were its mail ever
# taken for live mail, by a fault or by hand, there would be nothing to send.
CONTENT = b"content"
SANDBOX = b"sandbox"


class NoOrganisationKey(VaultError):
    """The organisation has no key: nothing can be sealed or opened for it."""


@dataclass(frozen=True, slots=True)
class OrganisationKey:
    """What storing needs to know of an organisation."""

    secret: bytes = field(repr=False)
    lifetime: timedelta
    read_at: datetime


def keyring_directory() -> Path:
    """Return the directory of the hour keys, from KEYRING_URL."""
    return directory_of(settings.KEYRING_URL)


class Sealer:
    """Holds the keys of the mail path, organisations' and hours', each for at most a minute."""

    def __init__(self, keyring: Path) -> None:
        self._keyring = keyring
        self._hours = HourKeys(keyring)
        self._organisations: dict[UUID, OrganisationKey] = {}

    def missing(self, organisations: Iterable[UUID], now: datetime) -> list[UUID]:
        """Return whose key has to be read (again)."""
        fresh = {
            identifier
            for identifier, key in self._organisations.items()
            if abs(now - key.read_at) < KEPT
        }
        return list(set(organisations) - fresh)

    def learn(self, asked: Iterable[UUID], rows: Iterable[Any], now: datetime) -> None:
        """Take in rows of organisation, sealed key and lifetime in hours, as the queue reads them.

        An organisation that was asked for is forgotten when it is in no row, or its key does not
        open.
        """
        found = {}
        for identifier, sealed, hours in rows:
            # One key that does not open must not take the others of the batch along.
            with suppress(VaultError):
                found[identifier] = OrganisationKey(
                    unwrap_organisation_key(bytes(sealed), identifier), timedelta(hours=hours), now
                )
        # Replaced, and never away in between: a thread may be sealing with the one from before.
        self._organisations |= found
        for identifier in set(asked) - found.keys():
            self._organisations.pop(identifier, None)

    def knows(self, identifier: UUID) -> bool:
        """Whether the organisation's key was read."""
        return identifier in self._organisations

    def organisation(self, identifier: UUID) -> OrganisationKey:
        """Return a key that was learnt before. Raises NoOrganisationKey."""
        try:
            return self._organisations[identifier]
        except KeyError:
            raise NoOrganisationKey from None

    def hour_key(self, now: datetime, *, closed: str = "") -> HourKey:
        """Return this process's key of the hour, and another one than `closed`.

        Raises KeyringAway, or OSError when no key can be written.
        """
        return self._hours.current(now, closed=closed)

    def make_keyring(self) -> None:
        """Mark the directory as the keyring. Only where no mail waits."""
        make_keyring(self._keyring)

    def seal(self, message: Accepted, hour_key: HourKey) -> SealedContent:
        """Seal a message's content. Raises NoOrganisationKey."""
        return seal_content(
            message.content,
            organisation_key=self.organisation(message.organisation_id).secret,
            hour_key=hour_key,
            message_id=message.id,
            bound_to=SANDBOX if message.is_sandbox else CONTENT,
        )

    def seal_for_store(
        self, message: Accepted, hour_key: HourKey
    ) -> tuple[Accepted, SealedContent, timedelta]:
        """Return message, sealed content and how long it may wait. Raises NoOrganisationKey."""
        lifetime = self.organisation(message.organisation_id).lifetime
        return message, self.seal(message, hour_key), lifetime

    def open(self, work: Work, ciphertext: bytes) -> bytes:
        """Return the content in clear, never a sandbox message's.

        Raises KeyGone when it was final once, or VaultError.
        """
        if not work.hour_key_id:
            raise KeyGone("")
        return unseal_content(
            SealedContent(work.wrapped_key, ciphertext),
            organisation_key=self.organisation(work.organisation_id).secret,
            hour_key=self._hours.get(work.hour_key_id),
            message_id=work.message_id,
            bound_to=CONTENT,
        )
