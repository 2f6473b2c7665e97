# SPDX-License-Identifier: AGPL-3.0-or-later
"""Step-up: before keys, exports, erasure and signing, a person proves again that it is them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest

from accounts import clock
from accounts.refusals import StepUpNeeded

FRESH = timedelta(minutes=10)
SESSION_KEY = "stepped_up_at"
MEANS_KEY = "stepped_up_with"
PASSWORD = "password"  # noqa: S105 - the name of a means
SECOND_FACTOR = "second-factor"


@dataclass(frozen=True, slots=True)
class Proof:
    """When a person last proved who they are, and whether with PASSWORD or SECOND_FACTOR."""

    at: datetime
    means: str


def note(request: HttpRequest, means: str) -> None:
    """Remember in the session that the person has just proved who they are, with all they have."""
    request.session[SESSION_KEY] = clock.now().isoformat()
    request.session[MEANS_KEY] = means


def proof(request: HttpRequest) -> Proof | None:
    """Return what was noted last, None when nothing was."""
    noted = request.session.get(SESSION_KEY)
    if noted is None:
        return None
    return Proof(datetime.fromisoformat(noted), request.session.get(MEANS_KEY, PASSWORD))


def is_fresh(request: HttpRequest) -> bool:
    """Return whether that was less than FRESH ago."""
    noted = proof(request)
    return noted is not None and abs(clock.now() - noted.at) < FRESH


def demand(request: HttpRequest) -> None:
    """Raises StepUpNeeded unless it was."""
    if not is_fresh(request):
        raise StepUpNeeded
