# SPDX-License-Identifier: AGPL-3.0-or-later
"""Step-up: before keys, exports, erasure and signing, a person proves again that it is them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest

from accounts import clock
from accounts.refusals import StepUpNeeded

FRESH = timedelta(minutes=10)
SESSION_KEY = "stepped_up_at"


def note(request: HttpRequest) -> None:
    """Remember in the session that the person has just proved who they are, with all they have."""
    request.session[SESSION_KEY] = clock.now().isoformat()


def is_fresh(request: HttpRequest) -> bool:
    """Return whether that was less than FRESH ago."""
    noted = request.session.get(SESSION_KEY)
    return noted is not None and abs(clock.now() - datetime.fromisoformat(noted)) < FRESH


def demand(request: HttpRequest) -> None:
    """Raises StepUpNeeded unless it was."""
    if not is_fresh(request):
        raise StepUpNeeded
