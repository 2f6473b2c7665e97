# SPDX-License-Identifier: AGPL-3.0-or-later
"""Holds waiting mail back and lets it go: one message's, a domain's, or all of it.

A hold is one row, and the claim (relay/queue/claiming.py) leaves out what it is about from that
moment on. Where it is about single rows of a turn, these are put off as well, so that no claim
walks them again and again; they end at their time all the same.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from accounts.refusals import Refused
from relay import scopes
from relay.models import Hold, QueuedDelivery
from relay.scopes import RecipientDomain, Scope

HOLDS = Limit("holds", ((120, HOUR),))
# Every claim reads them.
MESSAGES_MOST = 200
DOMAINS_MOST = 200
Lane = QueuedDelivery.Lane


class TooManyHeld(Refused):
    text: Promise = _(
        "So many are held back one by one already. Hold a whole domain back, or all of your mail."
    )


def hold(scope: Scope, *, by: Membership) -> None:
    """Hold mail back, what comes later included. Raises TooMany, TooManyHeld."""
    limits.check(HOLDS, str(by.organisation_id))
    _demand_room(scope)
    now = clock.now()
    with transaction.atomic():
        for domain in _domains(scope):
            Hold.objects.update_or_create(
                organisation_id=scope.organisation_id,
                message_id=scope.message_id,
                domain=domain,
                reason=Hold.Reason.HELD,
                defaults={"ends_at": None},
                create_defaults={"held_at": now},
            )
        if scope.message_id:
            _put_off(_later(scope.rows(), now))
        audit.record(by.user, "organisation.mail-held", by.organisation)


def _demand_room(scope: Scope) -> None:
    rows = Hold.objects.for_organisation(scope.organisation_id).filter(reason=Hold.Reason.HELD)
    one_by_one = rows.exclude(message_id=None) if scope.message_id else rows.exclude(domain=None)
    most = MESSAGES_MOST if scope.message_id else DOMAINS_MOST
    if (scope.message_id or scope.domain or scope.recipient_domain) and one_by_one.count() >= most:
        raise TooManyHeld


def _domains(scope: Scope) -> list[str | None]:
    """Return a hold's domain; two for one recipient's domain, as the claim reads no labels."""
    return [*scope.goes_to()] if scope.recipient_domain is not None else [scope.domain]


def _by_people(scope: Scope) -> QuerySet[Hold]:
    """Return people's holds on just this."""
    rows = Hold.objects.for_organisation(scope.organisation_id).filter(
        message_id=scope.message_id, reason=Hold.Reason.HELD
    )
    if scope.recipient_domain is not None:
        return rows.filter(domain__in=scope.goes_to())
    return rows.filter(domain=scope.domain)


def release(scope: Scope, *, by: Membership) -> bool:
    """Let held mail go; False when nobody held it. Raises TooMany.

    What was put off is made due by `settle`; a message's at once.
    """
    limits.check(HOLDS, str(by.organisation_id))
    now = clock.now()
    with transaction.atomic():
        held = _by_people(scope)
        if not (count := held.update(ends_at=now)):
            return False
        if not scope.recipient_domain:
            _let_go(scope, now)
            held.delete()
        audit.record(by.user, "organisation.mail-released", by.organisation)
    return bool(count)


def is_held(scope: Scope, now: datetime) -> bool:
    """Say whether a person holds back just this: not whether more is held, and it among that."""
    return _by_people(scope).filter(_lasting(now)).exists()


def held(scope: Scope, now: datetime) -> QuerySet[Hold]:
    """Return what keeps mail of the organisation back, the widest first."""
    rows = Hold.objects.for_organisation(scope.organisation_id).filter(_lasting(now))
    return rows.order_by(F("message_id").asc(nulls_first=True), F("domain").asc(nulls_first=True))


def _lasting(now: datetime) -> Q:
    return Q(ends_at=None) | Q(ends_at__gt=now)


def settle(now: datetime) -> None:
    """Put off what is held row by row, make due what was let go, and forget ended holds.

    A hold on a message ends with it. Role duty.
    """
    by_people = Hold.objects.filter(reason=Hold.Reason.HELD).order_by("id")
    ended = list(by_people.filter(ends_at__lte=now))
    for row in ended:
        _let_go(scope_of(row), now)
    for row in by_people.filter(_lasting(now)).exclude(message_id=None):
        _keep_held(row, now)
    to_domains = by_people.filter(_lasting(now), domain__startswith="@")
    for organisation_id, domains in _by_organisation(to_domains).items():
        everything = QueuedDelivery.objects.for_organisation(organisation_id)
        due = _later(everything.filter(due_at__lte=now), now)
        _put_off(due.alias(to=RecipientDomain(F("recipient"))).filter(to__in=domains))
    waits = QueuedDelivery.objects.filter(message_id=OuterRef("message_id"))
    by_people.exclude(message_id=None).filter(~Exists(waits)).delete()
    # What ended meanwhile is let go before it is forgotten.
    settled = ~Q(reason=Hold.Reason.HELD) | Q(id__in=[row.id for row in ended])
    Hold.objects.filter(settled, ends_at__lte=now).delete()


@transaction.atomic
def _keep_held(row: Hold, now: datetime) -> None:
    """Put off what a message's hold is about, unless somebody has just released it."""
    # A release waits for this lock, and then finds all that was put off.
    if Hold.objects.select_for_update().filter(_lasting(now), id=row.id).exists():
        _put_off(_later(scope_of(row).rows(), now))


def _by_organisation(holds: QuerySet[Hold]) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for organisation_id, domain in holds.values_list("organisation_id", "domain"):
        found.setdefault(organisation_id, []).append(str(domain))
    return found


def scope_of(row: Hold) -> Scope:
    """Return what a hold is about."""
    to = row.domain[1:] if row.domain and row.domain.startswith("@") else None
    domain = row.domain if to is None else None
    return Scope(row.organisation_id, row.message_id, domain, to)


def _later(rows: QuerySet[QueuedDelivery], now: datetime) -> QuerySet[QueuedDelivery]:
    """Return those of the rows that are to be put off to their end."""
    return rows.filter(
        due_at__lt=F("expires_at"), expires_at__gt=now, lane__lt=Lane.ENDING, lease_owner=None
    )


def _put_off(rows: QuerySet[QueuedDelivery]) -> None:
    while ids := list(rows.values_list("id", flat=True)[: scopes.PIECE]):
        if not scopes.update(ids, Q(), due_at=F("expires_at")):
            return


def _let_go(scope: Scope, now: datetime) -> None:
    """Make due what was put off."""
    if scope.message_id or scope.recipient_domain:
        put_off = Q(due_at=F("expires_at"), expires_at__gt=now, lane__lt=Lane.ENDING)
        scopes.change(
            scope, now, lambda ids: scopes.update(ids, put_off, due_at=now, lane=Lane.AGAIN)
        )
