# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation says of a request that was passed on to it. Call it in its context.

The answer itself goes from the organisation to the person; here stands when, and what it was.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import Membership
from gdpr import deadlines
from gdpr.models import ForwardedRequest
from gdpr.requests import IllegalMove, ReasonMissing, TooLate

State = ForwardedRequest.State

EXTEND = "extend"
MOVES: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.TAKEN, State.ANSWERED, State.REFUSED, State.NOT_OURS}),
    State.TAKEN: frozenset({State.ANSWERED, State.REFUSED, State.NOT_OURS}),
}
WORDS: dict[str, str | Promise] = {
    State.TAKEN: _("We have taken it up"),
    State.ANSWERED: _("We have answered the person"),
    EXTEND: _("We need three months from receipt, and have told the person why"),
    State.REFUSED: _("We have refused it, and told the person why"),
    State.NOT_OURS: _("It is not about us"),
}
# Article 12(3) and (4): the person is told why, and so it is known here.
NEED_REASONS = frozenset({EXTEND, State.REFUSED})


def listed(organisation_id: UUID) -> QuerySet[ForwardedRequest]:
    """Return the organisation's requests: open ones first, the one that is due next on top."""
    rows = ForwardedRequest.objects.for_organisation(organisation_id)
    return rows.order_by(F("closed_at").desc(nulls_first=True), "promised_on", "id")


def moves(row: ForwardedRequest, now: datetime) -> dict[str, str | Promise]:
    """Return what can be said of a request now, in words."""
    possible: set[str] = set(MOVES.get(State(row.state), ()))
    if row.is_open and row.extended_at is None and deadlines.may_extend(row.due_on, now):
        possible.add(EXTEND)
    return {what: words for what, words in WORDS.items() if what in possible}


def record(
    row: ForwardedRequest, what: str, by: Membership, now: datetime, *, reason: str = ""
) -> None:
    """Record one of `moves`; `row` shows it afterwards.

    Raises IllegalMove, ReasonMissing, TooLate.
    """
    with transaction.atomic():
        row.refresh_from_db(from_queryset=ForwardedRequest.objects.select_for_update())
        if what == EXTEND and row.is_open and not deadlines.may_extend(row.due_on, now):
            raise TooLate
        if what not in moves(row, now):
            raise IllegalMove
        if what in NEED_REASONS and not reason.strip():
            raise ReasonMissing
        # What was said of an extension stands until there is something else to say.
        row.reason = reason.strip() or row.reason
        _extend(row, by, now) if what == EXTEND else _move(row, State(what), by, now)


def _extend(row: ForwardedRequest, by: Membership, now: datetime) -> None:
    clock = deadlines.clock(row.received_at, now, extended=True)
    row.extended_at, row.promised_on, row.due_on = now, clock.promised_on, clock.due_on
    row.save()
    audit.record(by.user, "forwarded.extended", row)


def _move(row: ForwardedRequest, state: State, by: Membership, now: datetime) -> None:
    row.state = state
    row.closed_at = now if state in ForwardedRequest.FINAL else None
    row.save()
    audit.record(by.user, f"forwarded.{state}", row)
