# SPDX-License-Identifier: AGPL-3.0-or-later
"""Issuing, changing, blocking and revoking credentials; a secret is given out once, never kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, vault
from accounts.models import Membership, User
from accounts.refusals import Refused
from relay.models import Credential
from relay.submission import SECRET_PURPOSE

# 10 octets make a name that nobody else has; 32 make 256 bits of secret.
USERNAME_OCTETS = 10
SECRET_OCTETS = 32

BlockReason = Credential.BlockReason
BLOCK = ("blocked_at", "block_reason")

# Of one organisation and not revoked. Each stranger is looked for in the networks of the second
# kind, of all organisations.
CREDENTIALS_MOST = 200
BY_NETWORK_MOST = 20


class NameInUse(Refused):
    text: Promise = _(
        "A credential with this name is in use already. Nothing was made. Choose another name, so"
        " that you can tell them apart."
    )


class TooManyCredentials(Refused):
    text: Promise = _(
        "You have so many credentials in use that no more can be made. Revoke those that nobody"
        " needs."
    )


class TooManyByNetwork(Refused):
    text: Promise = _(
        "So many of your credentials need no secret already. Let this one need it, or name more"
        " networks in one of the others."
    )


class BlockedByStaff(Refused):
    text: Promise = _(
        "The service blocked this credential, so only the service can lift the block. Ask the"
        " operator for the reason."
    )


class AlreadyRevoked(Refused):
    text: Promise = _("The credential is revoked, which cannot be undone. Make a new one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialBounds:
    """What a credential may: messages and recipients in a window, from where, from which domains.

    Networks are in CIDR notation, domains A-labels in lower case; none of them means all.
    """

    rate_per_minute: int = 600
    daily_cap: int = 50_000
    recipients_a_day: int | None = None
    networks: list[str] = field(default_factory=list)
    by_network: bool = False
    domains: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, credential: Credential) -> Self:
        """Return what a credential may now."""
        return cls(**{name: getattr(credential, name) for name in cls.__slots__})

    def as_fields(self) -> dict[str, Any]:
        """Return the columns of a credential."""
        return asdict(self)


USUAL = CredentialBounds()


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential and its secret, which only this value ever holds."""

    credential: Credential
    secret: str = field(repr=False)


def listed(rows: QuerySet[Credential]) -> QuerySet[Credential]:
    """Order for people: what works first, the newest of it on top."""
    return rows.order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "id")


def issue(
    name: str, mode: Credential.Mode, bounds: CredentialBounds = USUAL, *, by: Membership
) -> Issued:
    """Make a credential, in a transaction of the caller's.

    The database decides about the name, so that the same form which arrives twice at once makes
    one as well. Raises NameInUse, TooManyCredentials, TooManyByNetwork.
    """
    if _in_use(by.organisation_id).count() >= CREDENTIALS_MOST:
        raise TooManyCredentials
    _demand_room(by.organisation_id, bounds)
    try:
        with transaction.atomic():
            issued = make(by.organisation_id, name, clock.now(), mode, bounds)
    except IntegrityError:
        raise NameInUse from None
    audit.record(by.user, "credential.created", issued.credential)
    return issued


def _in_use(organisation_id: UUID) -> QuerySet[Credential]:
    return Credential.objects.for_organisation(organisation_id).filter(revoked_at=None)


def _demand_room(organisation_id: UUID, bounds: CredentialBounds) -> None:
    """Two forms at once may each find the last place: a few above the bound do no harm."""
    named = _in_use(organisation_id).filter(by_network=True)
    if bounds.by_network and named.count() >= BY_NETWORK_MOST:
        raise TooManyByNetwork


def make(
    organisation_id: UUID,
    name: str,
    now: datetime,
    mode: Credential.Mode = Credential.Mode.LIVE,
    bounds: CredentialBounds = USUAL,
) -> Issued:
    """Write a credential with a new user name and secret; who did it is the caller's to record."""
    secret = secrets.token_urlsafe(SECRET_OCTETS)
    credential = Credential.objects.create(
        organisation_id=organisation_id,
        name=name,
        username=secrets.token_hex(USERNAME_OCTETS),
        secret_hash=vault.keyed_hash(SECRET_PURPOSE, secret.encode()),
        mode=mode,
        created_at=now,
        **bounds.as_fields(),
    )
    return Issued(credential, secret)


def change(credential: Credential, bounds: CredentialBounds, *, by: User) -> bool:
    """Let it do what `bounds` allow, within seconds everywhere; returns whether that is new.

    Raises AlreadyRevoked, TooManyByNetwork.
    """
    _refuse_revoked(credential)
    if not credential.by_network:
        _demand_room(credential.organisation_id, bounds)
    fields = bounds.as_fields()
    changed = [name for name, value in fields.items() if getattr(credential, name) != value]
    for name in changed:
        setattr(credential, name, fields[name])
    if changed:
        with transaction.atomic():
            credential.save(update_fields=changed)
            audit.record(by, "credential.changed", credential, changed)
    return bool(changed)


def block(credential: Credential, *, by: User, reason: BlockReason = BlockReason.BY_PERSON) -> None:
    """Let it send nothing until the block is lifted; what the service says outlasts a person's.

    Raises AlreadyRevoked.
    """
    with _as_it_stands(credential):
        _refuse_revoked(credential)
        if credential.block_reason in (reason, BlockReason.BY_STAFF):
            return
        credential.blocked_at = credential.blocked_at or clock.now()
        credential.block_reason = reason
        credential.save(update_fields=BLOCK)
        audit.record(by, "credential.blocked", credential, BLOCK)


def unblock(credential: Credential, *, by: User, is_staff: bool = False) -> None:
    """Let it send again; harmless when it may. Raises BlockedByStaff, AlreadyRevoked."""
    with _as_it_stands(credential):
        _refuse_revoked(credential)
        if credential.blocked_at is None:
            return
        if credential.block_reason == BlockReason.BY_STAFF and not is_staff:
            raise BlockedByStaff
        credential.blocked_at, credential.block_reason = None, BlockReason.NONE
        credential.save(update_fields=BLOCK)
        audit.record(by, "credential.unblocked", credential, BLOCK)


@contextmanager
def _as_it_stands(credential: Credential) -> Iterator[None]:
    """Read the row again and lock it: what the service says meanwhile is not overwritten."""
    with transaction.atomic():
        rows = Credential.objects.for_organisation(credential.organisation_id)
        credential.refresh_from_db(
            fields=["revoked_at", *BLOCK], from_queryset=rows.select_for_update()
        )
        yield


def _refuse_revoked(credential: Credential) -> None:
    if credential.revoked_at is not None:
        raise AlreadyRevoked


def revoke(credential: Credential, *, by: User) -> None:
    """Let it open nothing any more, within seconds everywhere; harmless when it was revoked."""
    if credential.revoked_at is not None:
        return
    with transaction.atomic():
        credential.revoked_at = clock.now()
        credential.save(update_fields=["revoked_at"])
        audit.record(by, "credential.revoked", credential, ["revoked_at"])
