# SPDX-License-Identifier: AGPL-3.0-or-later
"""The operator's seal, which brings an agreement into force, and what can stand in its way.

Role `duty`, but for the acts of staff: they only say what the worker then does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts import alerts, audit, standing
from accounts.models import Membership, Organisation, Role
from accounts.turns import turn
from dpa import emails, lineage, offering
from dpa.models import Agreement, AgreementEvent, Document
from dpa.press import PROCESSOR
from dpa.terms import UNSEALED_DAYS
from gdpr import seals

logger = logging.getLogger(__name__)

AUTOMATIC = "automatic"
STAFF = "staff"
COUNTERSIGNING = (AUTOMATIC, STAFF)  # what AGREEMENT_COUNTERSIGNING may be
UNSEALED = "agreement-unsealed"  # the alert's kind; its subject is the agreement's id
# Whatever the reason, somebody looks at a version that waits longer than this for the seal.
PATIENCE = timedelta(minutes=15)
MOST_IN_A_RUN = 20
# What the signature says it is for, in the language of the text.
SEALED = {"da": "Databehandlerens underskrift"}

State = Agreement.State
Act = AgreementEvent.Act
Kind = Document.Kind


def countersign(now: datetime) -> int:
    """Seal agreements that a customer has signed, the oldest first; return how many.

    One that cannot be sealed raises an alert and does not keep the others waiting.
    """
    with turn("countersign") as mine:
        if not mine:
            return 0
        done = sum(islice(_sealed(now), MOST_IN_A_RUN))
        _tell_waiting(now)
    return done


def is_held() -> bool:
    """Return whether the seal waits for somebody of the staff."""
    return bool(settings.AGREEMENT_COUNTERSIGNING != AUTOMATIC)


def awaits_release(row: Agreement) -> bool:
    return is_held() and row.state == State.SIGNED and row.released_at is None


def release(row: Agreement, now: datetime) -> None:
    """Let the seal be set where settings leave that to staff. Role `staff`."""
    row.released_at = now
    row.save(update_fields=["released_at"])


def refuse(row: Agreement, now: datetime) -> None:
    """Say that the seal shall not be set; the worker closes the version. Role `staff`."""
    row.refused_at = now
    row.save(update_fields=["refused_at"])


def may_refuse(row: Agreement) -> bool:
    return row.state == State.SIGNED and row.refused_at is None


def _sealed(now: datetime) -> Iterator[int]:
    """Yield 1 for each version that came into force.

    Those with an open alert come last, and the first of them that fails again ends the run: a try
    costs up to twenty seconds, and who has just signed waits no longer than for one.
    """
    tried = _told()
    due = _due(now)
    for pk in due:
        if str(pk) not in tried and _guarded(pk, now):
            yield 1
    again = [pk for pk in due if str(pk) in tried]
    for pk in sorted(again, key=lambda pk: tried[str(pk)]):
        if not _guarded(pk, now):
            return
        yield 1


def _due(now: datetime) -> list[UUID]:
    waiting = Agreement.objects.filter(state=State.SIGNED)
    if is_held():
        decided = Q(released_at__isnull=False) | Q(refused_at__isnull=False)
        waiting = waiting.filter(decided | Q(signed_at__lte=now - timedelta(UNSEALED_DAYS)))
    return list(waiting.order_by("signed_at", "pk").values_list("pk", flat=True))


def _guarded(pk: UUID, now: datetime) -> bool:
    try:
        return _countersign_one(pk, now)
    except Exception as fault:  # noqa: BLE001 - whatever it is, the others do not wait for it
        # Its words may quote the page, which is full of names.
        logger.error("agreement %s is not sealed: %s", pk, type(fault).__name__)
        alerts.raise_alert(UNSEALED, str(pk))
        return False


def _countersign_one(pk: UUID, now: datetime) -> bool:
    with transaction.atomic():
        row = _still_due(pk, now)
    if row is None:
        return False
    sealed = seals.seal(
        bytes(row.documents.get(kind=Kind.SIGNED).content),
        field=PROCESSOR,
        reason=SEALED[row.text_language],
        language=row.text_language,
        now=now,
    )
    return _bring_into_force(pk, sealed, now)


def _bring_into_force(pk: UUID, sealed: bytes, now: datetime) -> bool:
    with transaction.atomic():
        row = _still_due(pk, now)
        if row is None:
            return False
        _supersede(row, now)
        offering.store_document(row, Kind.COMPLETE, sealed, now)
        row.state, row.in_force_at = State.IN_FORCE, now
        row.save(update_fields=["state", "in_force_at"])
        lineage.note(row, Act.SEALED, now, (lineage.document(sealed),))
        _send(row, sealed)
        _allow_sending(row.organisation)
        audit.record(None, "agreement.in-force", row, ["state"])
    return True


def _still_due(pk: UUID, now: datetime) -> Agreement | None:
    """Return the version, locked, when it may be sealed; close it where something forbids that.

    Days can lie between the two signatures: what the second one promises must be so then.
    """
    row = offering.locked(pk)
    if row is None or row.state != State.SIGNED:
        return None
    reason = _obstacle(row, now)
    if reason:
        _refuse(row, reason, now)
        return None
    return row


def _obstacle(row: Agreement, now: datetime) -> str:
    """Return why the seal must not be set, "" when nothing forbids it."""
    if row.refused_at is not None:
        return "staff"
    if row.organisation.standing in Organisation.ENDING:
        return "ending"
    if row.signed_at is None or row.signed_at <= now - timedelta(UNSEALED_DAYS):
        return "too-old"
    return "changed" if offering.changes(row, row.organisation, now) else ""


def _refuse(row: Agreement, reason: str, now: datetime) -> None:
    offering.close(row, State.WITHDRAWN, Act.REFUSED, now, f"reason:{reason}")
    for membership in _readers(row):
        emails.unsealed(row, membership.user, reason)
    audit.record(None, "agreement.refused", row, ["state"])


def _supersede(row: Agreement, now: datetime) -> None:
    rows = Agreement.objects.for_organisation(row.organisation_id).select_for_update()
    for earlier in rows.filter(state=State.IN_FORCE):
        offering.close(earlier, State.SUPERSEDED, Act.SUPERSEDED, now, f"by:{row.pk}")


def _send(row: Agreement, sealed: bytes) -> None:
    """Both parties get the document: who signed, every owner, and the operator's desk."""
    for membership in _readers(row):
        emails.complete(row, membership.user, sealed)
    emails.complete_for_operator(row, sealed)


def _readers(row: Agreement) -> Iterator[Membership]:
    rows = Membership.objects.for_organisation(row.organisation_id).select_related("user")
    mine = Q(role=Role.OWNER) | Q(user_id=row.signatory_id)
    yield from rows.filter(mine, approved_at__isnull=False)


def _allow_sending(organisation: Organisation) -> None:
    # What staff have stopped, a signature does not set going again.
    Reason = Organisation.SendingReason
    stopped = organisation.sending_reason == Reason.STAFF and not organisation.sending_allowed
    if not stopped:
        standing.allow_sending(organisation, Reason.AGREEMENT, by=None)


def _tell_waiting(now: datetime) -> None:
    """Raise an alert for each version that waits too long; close those of others."""
    waiting = Agreement.objects.filter(state=State.SIGNED)
    late = waiting.filter(signed_at__lte=now - PATIENCE).values_list("pk", flat=True)
    for subject in {str(pk) for pk in late} - _told().keys():
        alerts.raise_alert(UNSEALED, subject)
    keys = waiting.values_list("pk", flat=True)
    alerts.resolve_others(UNSEALED, [str(pk) for pk in keys])


def _told() -> dict[str, datetime]:
    """Return the versions with an open alert, and when each was last told of."""
    rows = alerts.open_alerts().filter(kind=UNSEALED)
    return dict(rows.values_list("subject", "last_at"))
