# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whom an erasure is about, carried sealed from its first step to its last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from uuid import UUID

from accounts import vault
from accounts.models import User
from gdpr.deadlines import day_of
from gdpr.models import Erasure, ErasureSubject
from gdpr.registry import Whose
from gdpr.scan import Sought
from gdpr.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What the account is found, searched and written to by when it is gone."""

    person_id: str
    address: str = field(repr=False)
    phone: str = field(repr=False)
    name: str = field(repr=False)
    # The day on which it was made, as in ISO 8601: who got its data since is told (article 19).
    since: str

    @property
    def subject(self) -> Subject:
        return Subject(whose=Whose.PERSON, address=self.address, person_id=UUID(self.person_id))

    @property
    def sought(self) -> Sought:
        return Sought(
            person_id=UUID(self.person_id), address=self.address, phone=self.phone, name=self.name
        )


def carry(erasure: Erasure, person: User) -> None:
    """Seal what is known of the person now into the erasure."""
    carried = Carried(
        person_id=str(person.pk),
        address=person.email,
        phone=person.phone,
        name=person.get_full_name(),
        since=day_of(person.created_at).isoformat(),
    )
    sealed = vault.seal(_purpose(erasure.pk), json.dumps(asdict(carried)).encode())
    ErasureSubject.objects.update_or_create(erasure=erasure, defaults={"sealed": sealed})


def carried(erasure: Erasure) -> Carried:
    """Return whom a running erasure is about. Raises ErasureSubject.DoesNotExist, VaultError."""
    row = ErasureSubject.objects.get(erasure=erasure)
    return Carried(**json.loads(vault.unseal(_purpose(erasure.pk), row.sealed)))


def let_go(erasure: Erasure) -> None:
    ErasureSubject.objects.filter(erasure=erasure).delete()


def _purpose(erasure_id: UUID) -> str:
    return f"erasure|{erasure_id}"
