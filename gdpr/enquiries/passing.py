# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the worker does with enquiries each minute: links, answers, passing on. Role `duty`.

All answers that are due are written before anything is looked up, so that none leaves later because
an address was known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import vault
from accounts.turns import turn
from gdpr.enquiries import controllers, forwarding, mails, ourselves, proving
from gdpr.enquiries.asking import Asked, Whom, opened
from gdpr.models import Enquiry
from relay.suppressing import normalised

logger = logging.getLogger(__name__)

Act = Callable[[Enquiry, Asked, datetime], None]

HASH_PURPOSE = "enquiry-address"
# Mails with a link to one address: whoever wants to be a nuisance reaches no more.
MAILS_A_DAY = 4
DAY = timedelta(days=1)
# Rows of one run; the next one goes on.
TOGETHER = 200
AGAIN_AFTER = timedelta(hours=1)


def run(now: datetime) -> None:
    """Take every enquiry that is due a step on; one worker at a time."""
    with turn("enquiries") as mine:
        if mine:
            mail_links(now)
            answer(now)
            pass_on(now)


def mail_links(now: datetime) -> int:
    """Mail the links that are due; return how many enquiries were looked at."""
    return _each(Enquiry.objects.filter(mailed_at=None), _mail_link, now)


def answer(now: datetime) -> int:
    """Write the answers that are due; return how many."""
    proven = Enquiry.objects.filter(proven_at__isnull=False, answered_at=None)
    return _each(proven, _answer, now)


def pass_on(now: datetime) -> int:
    """Pass on what was answered; return how many enquiries."""
    answered = Enquiry.objects.filter(answered_at__isnull=False, forwarded_at=None)
    return _each(answered, _pass_on, now)


def _each(rows: QuerySet[Enquiry], act: Act, now: datetime) -> int:
    """Do an act for each row that is due, the longest due first; return how often it was done."""
    due = rows.filter(due_at__lte=now).order_by("due_at", "id")
    chosen = list(due.values_list("id", flat=True)[:TOGETHER])
    return sum(_done(enquiry_id, act, now) for enquiry_id in chosen)


def _done(enquiry_id: UUID, act: Act, now: datetime) -> bool:
    """Do an act in a transaction of its own; one that fails keeps no other waiting."""
    try:
        with transaction.atomic():
            row = Enquiry.objects.select_for_update().get(pk=enquiry_id)
            assert row.sealed is not None
            act(row, opened(row.id, row.sealed), now)
    except Exception as error:  # noqa: BLE001 - keys, letters and others' acts fail in any way
        logger.error("enquiry %s: %s", enquiry_id, type(error).__name__)
        Enquiry.objects.filter(pk=enquiry_id).update(due_at=now + AGAIN_AFTER)
        return False
    return True


def _mail_link(row: Enquiry, asked: Asked, now: datetime) -> None:
    row.address_hash = vault.keyed_hash(HASH_PURPOSE, normalised(asked.address).encode())
    free_at = _free_at(row.address_hash, now)
    if free_at > now:
        row.due_at = free_at
    else:
        row.mailed_at = now
        mails.enquiry_proof(row, asked, proving.token(row.id, now))
    row.save(update_fields=["address_hash", "mailed_at", "due_at"])


def _free_at(address_hash: bytes, now: datetime) -> datetime:
    """Return when an address may be mailed a link again: now, unless it had its share of a day."""
    mailed = Enquiry.objects.filter(address_hash=address_hash, mailed_at__gt=now - DAY)
    last = mailed.order_by("-mailed_at").values_list("mailed_at", flat=True)[:MAILS_A_DAY]
    times = [at for at in last if at is not None]
    return times[-1] + DAY if len(times) == MAILS_A_DAY else now


def _answer(row: Enquiry, asked: Asked, now: datetime) -> None:
    mails.enquiry_answered(row, asked)
    row.answered_at = now
    row.save(update_fields=["answered_at"])


def _pass_on(row: Enquiry, asked: Asked, now: datetime) -> None:
    if asked.whom is Whom.OURSELVES:
        ourselves.open_request(row, asked, now)
    owners = sorted(controllers.concerned(asked))
    passed = [_forwarded(row, asked, owner, now) for owner in owners]
    if all(passed):
        row.forwarded_at, row.sealed = now, None
    else:
        row.due_at = now + AGAIN_AFTER
    row.save(update_fields=["forwarded_at", "sealed", "due_at"])


def _forwarded(row: Enquiry, asked: Asked, organisation_id: UUID, now: datetime) -> bool:
    """Pass it on to one of those concerned; a fault of theirs keeps it from no other."""
    try:
        with transaction.atomic():
            forwarding.forward(row, asked, organisation_id, now)
    except Exception as error:  # noqa: BLE001 - keys and others' acts fail in any way
        logger.error("enquiry %s to %s: %s", row.id, organisation_id, type(error).__name__)
        return False
    return True
