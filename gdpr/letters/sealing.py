# SPDX-License-Identifier: AGPL-3.0-or-later
"""Letters leave when they are sealed, behind the answer to whoever decided. Role `duty`.

A letter that cannot be sealed does not leave: staff are alerted, and it is tried again.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.db import transaction

from accounts import alerts, clock, vault
from accounts.emails import Enclosure
from accounts.turns import turn
from gdpr.letters import drafts, posting
from gdpr.letters.drafts import Draft
from gdpr.models import Letter

logger = logging.getLogger(__name__)

ALERT = "letter-unsealed"
AGAIN_AFTER = timedelta(minutes=10)
# Each takes seconds, and the worker has other duties: beat asks for the next ones.
MOST_IN_A_RUN = 10


def run(now: datetime) -> int:
    """Seal letters that wait and post them, the oldest first; return how many left."""
    with turn("letters") as mine:
        if not mine:
            return 0
        due = Letter.objects.filter(due_at__lte=now).order_by("due_at")
        chosen = list(due.values_list("pk", flat=True)[:MOST_IN_A_RUN])
        left = sum(_try_to_seal(pk, now) for pk in chosen)
        waiting = Letter.objects.exclude(due_at=None).values_list("pk", flat=True)
        alerts.resolve_others(ALERT, [str(pk) for pk in waiting])
    return left


def _try_to_seal(pk: UUID, now: datetime) -> bool:
    try:
        return _seal(pk)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others do not wait for it
        # Its words may quote the letter.
        logger.error("letter %s is not sealed: %s", pk, type(error).__name__)
        Letter.objects.filter(pk=pk).update(due_at=now + AGAIN_AFTER)
        alerts.raise_alert(ALERT, str(pk))
        return False


def _seal(pk: UUID) -> bool:
    """Seal a letter and post it; return whether it was still there."""
    row = Letter.objects.select_related("right__request").filter(pk=pk).first()
    if row is None:
        return False
    draft = drafts.opened(row)
    # Not in a transaction: it takes seconds, and the row may be erased meanwhile.
    pdf = drafts.sealed(draft, row.issued_at, clock.now())
    with transaction.atomic():
        if not _kept(row, pdf):
            return False
        _post(draft, row, pdf)
    return True


def _kept(row: Letter, pdf: bytes) -> bool:
    return bool(
        Letter.objects.filter(pk=row.pk, sealed=None).update(
            sealed=vault.seal(drafts.purpose(row.pk), pdf),
            sha256=sha256(pdf).hexdigest(),
            sealed_draft=None,
            due_at=None,
        )
    )


def _post(draft: Draft, row: Letter, pdf: bytes) -> None:
    enclosure = Enclosure(drafts.file_name(row.right, row.kind), drafts.PDF_TYPE, pdf)
    posting.letter(draft.address, draft.language, draft.filled, [enclosure])
