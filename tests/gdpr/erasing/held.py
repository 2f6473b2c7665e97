# SPDX-License-Identifier: AGPL-3.0-or-later
"""An erasure that had to leave rows, and the days that matter to them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.db.models import Q

from accounts.models import Alert, User
from dpa.models import Agreement
from dpa.terms import KEPT_DAYS
from gdpr import subjects
from gdpr.erasing import certificate, holding
from gdpr.models import Erasure
from gdpr.rights import erasure
from tests import build

ENDED_AT = build.NOW + erasure.COOL_DOWN
DAY = timedelta(days=1)
# Of agreements that were closed at build.NOW.
LAST_DAY = build.NOW + KEPT_DAYS * DAY
OVER = LAST_DAY + DAY


class Crash(BaseException):
    """What nothing catches, as a kill."""


def erased(person: User) -> Erasure:
    """What is left was written down, and the person is gone."""
    made = Erasure(
        language="da",
        state=Erasure.State.DONE,
        asked_at=build.NOW,
        due_at=ENDED_AT,
        started_at=ENDED_AT,
        ended_at=ENDED_AT,
        certificate=b"%PDF-1",
        certificate_digest=hashlib.sha256(b"%PDF-1").hexdigest(),
    )
    made.token_hash = certificate.token_hash(certificate.token_of(made.pk))
    made.save()
    holding.write_down(made, subjects.person(person))
    with build.as_owner():
        named = Q(signatory=person) | Q(contact=person)
        Agreement.objects.filter(named, in_force_at=None).delete()
        person.delete()
    return made


def alerts() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def complete(held: Erasure, now: datetime = OVER) -> Erasure:
    holding.release_all(now)
    held.refresh_from_db()
    assert held.completed_at == now
    return held
