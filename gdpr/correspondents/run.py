# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasures of addresses, from the order to the certificate, and on after whatever stopped them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Least
from django.db.utils import OperationalError
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership, Organisation, User
from accounts.refusals import Refused
from accounts.turns import turn
from gdpr.correspondents import steps, subject
from gdpr.correspondents.addresses import canonical
from gdpr.correspondents.steps import Leftover, StillWaiting, Work
from gdpr.models import AddressErasure
from gdpr.scan import ScanIncomplete

logger = logging.getLogger(__name__)

Fault = AddressErasure.Fault
State = AddressErasure.State
ERASURES = Limit("address-erasures", ((60, HOUR),))
ALERT = "address-erasure-stuck"
# A fault needs people: it is looked at again at this pace, and what ends in less is none.
PAUSE = timedelta(hours=1)
# A shift ends waiting mail within seconds.
WAIT = timedelta(seconds=20)
# So often the search may send the erasure back by itself before people are told.
AGAIN = 2


class AlreadyRunning(Refused):
    text: Promise = _("This address is being erased already.")


@transaction.atomic
def ask(
    address: str, waiting: AddressErasure.Waiting, *, by: Membership, now: datetime
) -> AddressErasure:
    """Order the erasure of an address from the organisation's log. Raises TooMany, AlreadyRunning.

    Role `web`. There is no time to think again: the organisation is the controller.
    """
    limits.check(ERASURES, str(by.organisation_id))
    # Of two clicks the second one sees what the first has ordered; mail goes on meanwhile.
    Organisation.objects.select_for_update(no_key=True).get(pk=by.organisation_id)
    running = AddressErasure.objects.for_organisation(by.organisation_id).filter(ended_at=None)
    if any(subject.is_about(row, canonical(address)) for row in running):
        raise AlreadyRunning
    erasure = AddressErasure(
        organisation_id=by.organisation_id,
        language=(get_language() or "da")[:2],
        waiting=waiting,
        asked_at=now,
        due_at=now,
        step=steps.LEDGER,
    )
    subject.seal(erasure, address)
    erasure.save(force_insert=True)
    audit.record(by.user, "addresserasure.requested", erasure)
    return erasure


def due(now: datetime) -> list[UUID]:
    """Return the erasures to carry on now, the oldest first. Role `duty`."""
    rows = AddressErasure.objects.filter(ended_at=None, due_at__lte=now)
    return list(rows.order_by("due_at").values_list("id", flat=True))


def stuck(now: datetime) -> QuerySet[AddressErasure]:
    """Return the erasures that should have ended by now, or that a fault has stopped."""
    late = Q(asked_at__lte=now - PAUSE) | ~Q(fault=Fault.NONE)
    return AddressErasure.objects.filter(late, ended_at=None)


def resume(erasure: AddressErasure, by: User, now: datetime) -> bool:
    """Make a stuck erasure due at once; return whether it was one. Role `staff`."""
    with transaction.atomic():
        found = stuck(now).filter(pk=erasure.pk).update(due_at=Least("due_at", now))
        if found:
            audit.record(by, "addresserasure.resumed", erasure)
    return bool(found)


def carry_out(erasure_id: UUID, now: datetime) -> bool:
    """Take all steps that are left; return whether it is done. Harmless when repeated."""
    with turn(f"address-erasure {erasure_id}") as mine:
        return mine and _carry_out(erasure_id, now)


def _carry_out(erasure_id: UUID, now: datetime) -> bool:
    try:
        sent_back = 0
        while (erasure := _running(erasure_id, now)) is not None:
            try:
                _take(erasure, now)
            except Leftover as left:
                sent_back += 1
                if sent_back > AGAIN:
                    raise
                _send_back(erasure_id, left, now)
    except StillWaiting:
        _wait(erasure_id, Fault.NONE, "", now)
    except Leftover as left:
        _tell(erasure_id, Fault.LEFTOVER, str(left), now + PAUSE)
    except OperationalError as error:
        # Shifts lock rows of the log in another order, and one of both has to begin again.
        logger.warning("erasure of an address %s: %s", erasure_id, type(error).__name__)
        _wait(erasure_id, Fault.ERROR, type(error).__name__, now)
    except ScanIncomplete as incomplete:
        _tell(erasure_id, Fault.UNSEARCHED, str(incomplete), now + PAUSE)
    except Exception as error:  # noqa: BLE001 - whatever it is, people must hear of it
        # Its text can hold what a step worked on: only its kind is kept.
        _tell(erasure_id, Fault.ERROR, type(error).__name__, now + PAUSE)
    return _is_done(erasure_id)


def _running(erasure_id: UUID, now: datetime) -> AddressErasure | None:
    rows = AddressErasure.objects.filter(pk=erasure_id, ended_at=None, due_at__lte=now)
    return rows.first()


def _take(erasure: AddressErasure, now: datetime) -> None:
    """Take the next step of an erasure."""
    if erasure.step == steps.EMPTY:
        steps.empty_log(erasure, lambda: _locked(erasure.pk, now))
    elif erasure.step == steps.SCAN:
        # Not in a transaction: it takes long, and would hold back upkeep of all that it reads.
        made = steps.search(erasure, now)
        with transaction.atomic():
            if work := _locked(erasure.pk, now):
                steps.judge(work, made)
    else:
        _take_whole(erasure.pk, now)


def _take_whole(erasure_id: UUID, now: datetime) -> None:
    still_waits: StillWaiting | None = None
    with transaction.atomic():
        work = _locked(erasure_id, now)
        assert work is not None, "the turn is this worker's"
        try:
            steps.take(work)
        except StillWaiting as waits:
            # What it has marked in the queue is kept.
            still_waits = waits
    if still_waits:
        raise still_waits


def _locked(erasure_id: UUID, now: datetime) -> Work | None:
    rows = AddressErasure.objects.select_for_update()
    erasure = rows.filter(pk=erasure_id, ended_at=None).first()
    return Work(erasure, subject.whom(erasure), now) if erasure else None


def _send_back(erasure_id: UUID, left: Leftover, now: datetime) -> None:
    with transaction.atomic():
        if work := _locked(erasure_id, now):
            steps.look_again(work, left.findings)
            work.erasure.save()


def _wait(erasure_id: UUID, fault: Fault, where: str, now: datetime) -> None:
    """Look again soon; people hear of what should have ended by now."""
    rows = AddressErasure.objects.filter(pk=erasure_id)
    if rows.filter(asked_at__lte=now - PAUSE).exists():
        _tell(erasure_id, fault, where, now + WAIT)
    else:
        rows.update(due_at=now + WAIT)


def _tell(erasure_id: UUID, fault: Fault, where: str, due_at: datetime) -> None:
    """Alert people, and look again then. `where` names columns, stores, or the kind of an error."""
    logger.error("erasure of an address %s: %s %s", erasure_id, fault, where)
    with transaction.atomic():
        rows = AddressErasure.objects.select_for_update().filter(pk=erasure_id, ended_at=None)
        erasure = rows.first()
        if erasure is not None:
            erasure.fault, erasure.due_at = fault, due_at
            erasure.report = {**erasure.report, steps.STUCK: where}
            erasure.save(update_fields=["fault", "due_at", "report"])
            alerts.raise_alert(ALERT, str(erasure_id))


def _is_done(erasure_id: UUID) -> bool:
    done = AddressErasure.objects.filter(pk=erasure_id, state=State.DONE).exists()
    if done:
        alerts.resolve_alert(ALERT, str(erasure_id))
    return done
