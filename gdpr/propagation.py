# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tells recipients of what became of data that they were given (GDPR article 19). Role `duty`.

Nobody has to remember it: each look finds what was corrected or restricted and is not told yet, and
tells every supplier of the register that had data of the person then; an erasure tells them in its
last step. The mail goes to the supplier's desk and holds the number of the account, nothing that
was in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit
from accounts.models import User
from accounts.refusals import Refused
from accounts.turns import turn
from gdpr import inventory, recipients, telling
from gdpr.deadlines import day_of
from gdpr.models import (
    Erasure,
    Notice,
    PersonRestriction,
    Recipient,
    RequestedRight,
    Right,
)

Change: TypeAlias = Notice.Change
State: TypeAlias = Notice.State
# So far back is looked for what nobody was told of: the worker may have been away for days.
LOOKED_BACK = timedelta(days=30)
UNTOLD = "recipients-untold"
# The worker tells every few minutes; staff, who may have to telephone, within the week.
TOLD_IN, TOLD_BY_STAFF_IN = timedelta(hours=1), timedelta(days=7)


class AlreadyTold(Refused):
    text: Promise = _("That is settled already.")


@dataclass(frozen=True, slots=True)
class Cause:
    """What happened to whose data; suppliers may have had them from the day `since` on."""

    change: Change
    id: UUID
    account: UUID
    at: datetime
    since: date
    person: User | None = None  # None once the account is gone

    @property
    def on(self) -> date:
        return day_of(self.at)


def tell_recipients(now: datetime) -> int:
    """Tell of what nobody was told of yet; return how many notices that made.

    One worker at a time: of what another is telling just now there is no notice yet.
    """
    with turn("recipients-told") as mine:
        return _tell_due(now) if mine else 0


def _tell_due(now: datetime) -> int:
    opened = _tell_all(_causes(now), now)
    # What no mail reaches stands before staff until one of them has told it.
    (alerts.raise_alert if open_ones().exists() else alerts.resolve_alert)(UNTOLD, "")
    return opened


def tell_of_erasure(erasure: Erasure, account: UUID, since: date, now: datetime) -> int:
    """Tell of an erasure in its last step, while it is still known whose account it was.

    `since` is the day on which the account was made.
    """
    return _tell_all([Cause(Change.ERASED, erasure.pk, account, now, since)], now)


def count_late(now: datetime) -> int:
    """Return how many recipients should have been told by now and were not."""
    due = [cause for cause in _causes(now) if cause.at < now - TOLD_IN]
    by_staff = open_ones().filter(opened_at__lt=now - TOLD_BY_STAFF_IN)
    return len(_untold(due)) + by_staff.count()


def open_ones() -> QuerySet[Notice]:
    """Return what nobody was told of yet, the oldest first."""
    return Notice.objects.filter(state=State.OPEN).order_by("opened_at", "id")


def told_about(person: User) -> QuerySet[Notice]:
    """Return whom a person's data were told of to, the newest first; they may ask for it."""
    rows = Notice.objects.filter(person=person).select_related("recipient")
    return rows.order_by("-opened_at", "recipient__name")


def close(row: Notice, state: State, now: datetime, *, by: User) -> None:
    """Note that staff told a recipient, or that it cannot be done. Role `staff`.

    Raises AlreadyTold.
    """
    with transaction.atomic():
        held = Notice.objects.select_for_update().get(pk=row.pk)
        if held.state != State.OPEN:
            raise AlreadyTold
        held.state, held.by, held.closed_at = state, Notice.By.STAFF, now
        held.save(update_fields=["state", "by", "closed_at"])
        audit.record_installation(by, f"notice.{state}", held)


def _causes(now: datetime) -> Iterator[Cause]:
    since = now - LOOKED_BACK
    done = [RequestedRight.State.DONE, RequestedRight.State.PARTLY_DONE]
    corrected = RequestedRight.objects.filter(
        right=Right.RECTIFICATION, state__in=done, closed_at__gte=since
    )
    for right in corrected.select_related("request__person"):
        if (person := right.request.person) and right.closed_at:
            yield _of(Change.RECTIFIED, right.pk, person, right.closed_at)
    # The time to think of an erasure is told of with the erasure itself.
    asked = PersonRestriction.objects.exclude(ground=PersonRestriction.Ground.COOL_DOWN)
    for row in asked.filter(restricted_at__gte=since).select_related("person"):
        yield _of(Change.RESTRICTED, row.pk, row.person, row.restricted_at)
    for row in asked.filter(lifted_at__gte=since).select_related("person"):
        yield _of(Change.RELEASED, row.pk, row.person, row.lifted_at or now)


def _of(change: Change, cause_id: UUID, person: User, at: datetime) -> Cause:
    return Cause(change, cause_id, person.pk, at, day_of(person.created_at), person)


def _tell_all(causes: Iterable[Cause], now: datetime) -> int:
    untold = _untold(list(causes))
    for cause, recipient in untold:
        _tell(cause, recipient, now)
    return len(untold)


def _untold(causes: Sequence[Cause]) -> list[tuple[Cause, Recipient]]:
    """Return of what which supplier has no notice, in two queries for any number of causes."""
    notices = Notice.objects.filter(cause_id__in=[cause.id for cause in causes])
    told = set(notices.values_list("change", "cause_id", "recipient_id"))
    suppliers = _suppliers(causes)
    return [
        (cause, row)
        for cause in causes
        for row in suppliers
        if recipients.was_given(row, cause.since, cause.on)
        and (cause.change, cause.id, row.pk) not in told
    ]


def _suppliers(causes: Sequence[Cause]) -> list[Recipient]:
    """Return those that had data of accounts at the time of any of the causes."""
    if not causes:
        return []
    since, on = min(cause.since for cause in causes), max(cause.on for cause in causes)
    return list(recipients.of_any(inventory.entry("accounts.User").audiences, since, on))


@transaction.atomic
def _tell(cause: Cause, recipient: Recipient, now: datetime) -> None:
    """Write the notice, and to the supplier's desk; to our own where that has no address."""
    row = Notice(
        person=cause.person,
        recipient=recipient,
        change=cause.change,
        cause_id=cause.id,
        opened_at=now,
    )
    by_mail = _is_address(recipient.contact)
    if by_mail:
        row.state, row.by, row.closed_at = State.TOLD, Notice.By.MAIL, now
    row.save(force_insert=True)
    (telling.notice if by_mail else telling.notice_by_hand)(row, cause.account)


def _is_address(contact: str) -> bool:
    try:
        validate_email(contact)
    except ValidationError:
        return False
    return True
