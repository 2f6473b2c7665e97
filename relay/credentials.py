# SPDX-License-Identifier: AGPL-3.0-or-later
"""Issuing and revoking credentials; the secret itself is given out once and never kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
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


class NameInUse(Refused):
    text: Promise = _(
        "A credential with this name is in use already. Nothing was made. Choose another name, so"
        " that you can tell them apart."
    )


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential and its secret, which only this value ever holds."""

    credential: Credential
    secret: str = field(repr=False)


def listed(rows: QuerySet[Credential]) -> QuerySet[Credential]:
    """Order for people: what works first, the newest of it on top."""
    return rows.order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "id")


def issue(name: str, mode: Credential.Mode, *, by: Membership) -> Issued:
    """Make a credential, in a transaction of the caller's. Raises NameInUse.

    The database decides, so that the same form which arrives twice at once makes one as well.
    """
    try:
        with transaction.atomic():
            issued = make(by.organisation_id, name, clock.now(), mode)
    except IntegrityError:
        raise NameInUse from None
    audit.record(by.user, "credential.created", issued.credential)
    return issued


def make(
    organisation_id: UUID,
    name: str,
    now: datetime,
    mode: Credential.Mode = Credential.Mode.LIVE,
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
    )
    return Issued(credential, secret)


def revoke(credential: Credential, *, by: User) -> None:
    """Let it open nothing any more, within seconds everywhere; harmless when it was revoked."""
    if credential.revoked_at is not None:
        return
    with transaction.atomic():
        credential.revoked_at = clock.now()
        credential.save(update_fields=["revoked_at"])
        audit.record(by, "credential.revoked", credential, ["revoked_at"])
