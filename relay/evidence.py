# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the database has of one customer's mail at this moment: the facts behind the promises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min

from relay import logchoices
from relay.models import Message, QueuedDelivery


@dataclass(frozen=True, slots=True)
class OfMail:
    """`log_days` is the period in days; `contents` counts the mails that wait.

    They alone have content, sealed (the check of promise R4 looks for any other).
    """

    log_days: int
    oldest_logged_at: datetime | None
    contents: int
    oldest_content_at: datetime | None


def of_mail(organisation_id: UUID) -> OfMail:
    """Return the facts; open the organisation's context first."""
    logged = Message.objects.for_organisation(organisation_id).order_by("accepted_at")
    waiting = QueuedDelivery.objects.for_organisation(organisation_id).aggregate(
        mails=Count("message_id", distinct=True), oldest=Min("accepted_at")
    )
    return OfMail(
        log_days=logchoices.choice_of(organisation_id).days,
        oldest_logged_at=logged.values_list("accepted_at", flat=True).first(),
        contents=waiting["mails"],
        oldest_content_at=waiting["oldest"],
    )
