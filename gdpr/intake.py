# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests that do not come through the portal: by the public form, or by mail, phone or post.

The clock counts from the true time of receipt. Once it is proven who asks, what runs by itself
does so as in the portal (gdpr/carrying.py), but for what cannot be undone: that is approved by a
second person first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditActor, User
from accounts.refusals import Refused
from gdpr import approvals, carrying, claims, requests, rounds, secondlooks
from gdpr.courses import APPROVED
from gdpr.models import Approval, Request, RequestedRight, Right, Step
from gdpr.requests import Actor, Arrival
from gdpr.rights import review

State = RequestedRight.State
NOT_ASKED = "approval-not-asked"  # the alert's kind; its subject is the right's id


class NotYetReceived(Refused):
    text: Promise = _("The time of receipt is in the future.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A request as staff took it down; `address` and `contact` are what whoever wrote says."""

    received_at: datetime
    language: str
    rights: tuple[Right, ...]
    words: str = field(repr=False)
    address: str = field(repr=False)
    contact: str = field(repr=False)


def open_proven(
    person: User,
    rights: Mapping[Right, str],
    now: datetime,
    *,
    channel: Request.Channel,
    received_at: datetime,
    by: Actor,
    language: str | None = None,
) -> Request:
    """Open a request of an account holder whose identity is proven.

    What the service carries out for the person already is left out: the answer is on its way, and
    the rest does not wait for it. What is begun by itself is begun within the minute.
    Raises NotYetReceived, NothingAsked; AlreadyOpen when nothing else is asked for.
    """
    _demand_past(received_at, now)
    under_way = requests.running(person.pk)
    left = {right: words for right, words in rights.items() if right not in under_way}
    arrival = Arrival(
        channel=channel, received_at=received_at, language=language or person.language
    )
    return requests.open_proven(person, left if left else rights, arrival, by, now)


def enter(letter: Letter, by: User, now: datetime) -> Request:
    """Enter a request that came by mail, phone or post; whose it is, is to be proven. Role `staff`.

    Raises NotYetReceived, NothingAsked.
    """
    _demand_past(letter.received_at, now)
    arrival = Arrival(
        channel=Request.Channel.STAFF, received_at=letter.received_at, language=letter.language
    )
    asked = dict.fromkeys(letter.rights, letter.words)
    with transaction.atomic():
        request = requests.open_unproven(asked, arrival, requests.staff(by), now)
        claims.make(request, letter.address, letter.contact)
    return request


def work(now: datetime) -> None:
    """The worker's round: proofs that came by mail, approvals to be asked for, what is begun.

    Role `duty`.
    """
    claims.take_up(now)
    claims.let_go(now)
    _ask_for_approvals(now)
    carrying.begin_due(now)
    review.settle(now)
    _void_approvals(now)
    approvals.tell()
    secondlooks.tell()


def _demand_past(received_at: datetime, now: datetime) -> None:
    if received_at > now:
        raise NotYetReceived


def _ask_for_approvals(now: datetime) -> None:
    """Ask a second person about each proven right that runs after that; once, by the service."""
    waiting = RequestedRight.objects.filter(
        right__in=APPROVED, state=State.ASSESS, begun_at=None, second_look_of=None
    )
    known = waiting.filter(request__person__isnull=False).exclude(
        pk__in=Approval.objects.values("subject_id")
    )
    rows = known.exclude(request__channel=Request.Channel.PORTAL)
    rounds.each(NOT_ASKED, rows, lambda row: _ask_for_approval(row, now))


def _ask_for_approval(row: RequestedRight, now: datetime) -> bool:
    approvals.ask(Approval.What.ERASURE, row.pk, now, by=_entered_by(row))
    requests.note(row, Step.Kind.APPROVAL, requests.SERVICE, now)
    return True


def _entered_by(row: RequestedRight) -> User | None:
    """Return who of the staff entered or proved it last: somebody else has to approve."""
    steps = row.steps.filter(by=Step.By.STAFF, kind__in=[Step.Kind.RECEIVED, Step.Kind.PROVEN])
    last = steps.order_by("id").last()
    if last is None or last.actor_id is None:
        return None
    actor = AuditActor.objects.filter(pk=last.actor_id).select_related("user").first()
    return actor.user if actor else None


def _void_approvals(now: datetime) -> None:
    """Nobody need approve what is answered, or taken back, by now."""
    waiting = Approval.objects.filter(what=Approval.What.ERASURE, decided_at=None)
    ended = RequestedRight.objects.filter(
        pk__in=waiting.values("subject_id"), closed_at__isnull=False
    )
    approvals.void(Approval.What.ERASURE, list(ended.values_list("pk", flat=True)), now)
