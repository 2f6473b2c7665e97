# SPDX-License-Identifier: AGPL-3.0-or-later
"""What accounts forgets by itself: sessions, invitations and alerts that have had their time."""

from __future__ import annotations

from datetime import datetime, timedelta

from accounts import alerts
from accounts.models import Invitation, Session

INVITATION_DAYS = 7
# Once an invitation has run out, its address is kept for a month of questions.
INVITATION_KEPT_DAYS = 30
# A session that has ended opens nothing; its row is gone so soon after.
SESSION_KEPT_HOURS = 2


def expire(now: datetime) -> int:
    """Delete rows that are past their time; return how many. Role `duty`."""
    sessions, _ = Session.objects.filter(expire_date__lte=now).delete()
    limit = now - timedelta(days=INVITATION_KEPT_DAYS)
    invitations, _ = Invitation.objects.filter(expires_at__lte=limit).delete()
    return sessions + invitations + alerts.forget_resolved(now)
