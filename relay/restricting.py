# SPDX-License-Identifier: AGPL-3.0-or-later
"""Restricts the use of an address at one organisation, and lifts that (GDPR article 18).

The organisation is the controller and decides; what waits is held from that moment on. What obeys
a restriction stands elsewhere: relay/submission.py as mail comes in, relay/restraints.py as it
goes out, and the policies of migration 0012 where anything of the log is read. Call everything in
the organisation's context.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from accounts.refusals import Refused
from relay import scopes, waitingfor
from relay.correspondence import spelt
from relay.models import QueuedDelivery, Restriction, messages
from relay.models.restrictions import RESTRICTION_DAYS
from relay.suppressing import fingerprint

ACTS = Limit("restrictions", ((120, HOUR),))
# Every sender's facts and every shift hold all of them.
MOST = 1_000
Ground: TypeAlias = Restriction.Ground
Origin: TypeAlias = Restriction.Origin
Reason, Lane = QueuedDelivery.Reason, QueuedDelivery.Lane
# Put off to its end, as what a person holds back: no claim walks it again and again.
HELD: Final = Q(reason=Reason.RESTRICTED, due_at=F("expires_at"), lane__lt=Lane.ENDING)


class AlreadyRestricted(Refused):
    text: Promise = _("The use of this address is restricted already.")


class TooManyRestricted(Refused):
    text: Promise = _("So many addresses are restricted already. Ask us for help.")


class NotTold(Refused):
    text: Promise = _(
        "Tell the person first, and give the day on which you did: the restriction cannot end"
        " before they know of it."
    )


def in_force(organisation_id: UUID) -> QuerySet[Restriction]:
    rows = Restriction.objects.for_organisation(organisation_id)
    return rows.filter(lifted_at=None)


def is_restricted(organisation_id: UUID, known_by: bytes) -> bool:
    """Say whether an address, known by its fingerprint, must not be used."""
    return in_force(organisation_id).filter(address_hash=known_by).exists()


def listed(organisation_id: UUID) -> QuerySet[Restriction]:
    """Return all that is kept, what is in force first and of that the newest."""
    rows = Restriction.objects.for_organisation(organisation_id)
    return rows.order_by(F("lifted_at").desc(nulls_first=True), "-restricted_at", "id")


def count_left_out(organisation_id: UUID) -> int:
    """Return of how many addresses the log's rows are left out of whatever is read."""
    return in_force(organisation_id).filter(address__isnull=False).count()


@transaction.atomic
def restrict(
    address: str, ground: Ground, *, by: Membership, origin: Origin = Origin.ORGANISATION
) -> Restriction:
    """Keep an address (suppressions.read_address) and use it no more; hold what waits.

    Raises TooMany, AlreadyRestricted, TooManyRestricted.
    """
    limits.check(ACTS, str(by.organisation_id))
    if in_force(by.organisation_id).count() >= MOST:
        raise TooManyRestricted
    now = clock.now()
    _hold(by.organisation_id, address, now)
    row = Restriction(
        organisation_id=by.organisation_id,
        address_hash=fingerprint(by.organisation_id, address),
        address=address,
        spellings=spelt(address),
        address_until=now + timedelta(days=messages.LOG_DAYS),
        ground=ground,
        origin=origin,
        restricted_at=now,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise AlreadyRestricted from None
    audit.record(by.user, "restriction.created", row)
    return row


@transaction.atomic
def lift(row: Restriction, told_on: date, *, by: Membership) -> None:
    """Use the address again, the person having been told on a day; what was held goes.

    Raises TooMany, NotTold (article 18(3)).
    """
    limits.check(ACTS, str(by.organisation_id))
    now = clock.now()
    if not row.restricted_at.date() <= told_on <= now.date():
        raise NotTold
    row.told_on, row.lifted_at = told_on, now
    row.save(update_fields=["told_on", "lifted_at"])
    if row.address:
        _let_go(row.organisation_id, row.address, now)
    audit.record(by.user, "restriction.lifted", row)


def _hold(organisation_id: UUID, address: str, now: datetime) -> None:
    """Put off what waits, while the log still says what that is."""
    waits = Q(expires_at__gt=now, lane__lt=Lane.ENDING)
    for ids in _waiting(organisation_id, address, now):
        scopes.update(ids, waits, due_at=F("expires_at"), reason=Reason.RESTRICTED)


def _let_go(organisation_id: UUID, address: str, now: datetime) -> None:
    """Make due what was held; the log shows it again."""
    before = Case(
        When(attempts=0, then=Value(Reason.NEW.value)), default=Value(Reason.DEFERRED.value)
    )
    for ids in _waiting(organisation_id, address, now):
        scopes.update(ids, HELD, due_at=now, lane=Lane.AGAIN, reason=before)


def _waiting(organisation_id: UUID, address: str, now: datetime) -> list[list[int]]:
    to = waitingfor.to(organisation_id, [address], now)
    return [*to, *waitingfor.sent_by(organisation_id, address, now)]


def forget(now: datetime) -> int:
    """Forget addresses whose period ends within the hour, and rows lifted long ago (role duty)."""
    due = Restriction.objects.filter(
        address__isnull=False, address_until__lte=now + timedelta(hours=1)
    )
    count = due.update(address=None, spellings=None, address_until=None)
    Restriction.objects.filter(lifted_at__lte=now - timedelta(days=RESTRICTION_DAYS)).delete()
    return count


def forget_all(organisation_id: UUID) -> None:
    """Forget an organisation's restrictions, because it has left (role duty)."""
    Restriction.objects.for_organisation(organisation_id).delete()
