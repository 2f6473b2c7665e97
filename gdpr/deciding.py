# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff decide about a right: each is a step, and a letter where the law wants one."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.refusals import Refused
from gdpr import clocks, closing, emails, packages, requests
from gdpr.courses import AUTOMATIC
from gdpr.models import Correction, Package, RequestedRight
from gdpr.rights import erasure, rectification

State = RequestedRight.State

# What can be decided besides the states that a right can go to.
EXTEND = "extend"
ACCEPT = "accept"
REBUILD = "rebuild"

WORDS: dict[str, str | Promise] = {
    EXTEND: _("Take three months from receipt, and tell the person why"),
    ACCEPT: _("Write what the person wants corrected"),
    REBUILD: _("Put the failed package together once more"),
    State.ASSESS: _("Assess it"),
    State.PAUSED: _("Ask the person; the clock stands still until the answer"),
    State.ACT: _("Carry it out"),
    State.DONE: _("Done; tell the person"),
    State.PARTLY_DONE: _("Partly done; tell the person why not wholly"),
    State.REFUSED: _("Refuse; tell the person why"),
    State.WITHDRAWN: _("The person has withdrawn it"),
    State.NOT_IDENTIFIABLE: _("Not identifiable; tell the person"),
}
ASK_LATE = _("Ask the person; it is too late for the clock to stand still")
# Nobody has to be told of these.
SILENT = frozenset({State.IDENTITY, State.ASSESS, State.ACT})


class OwnRequest(Refused):
    text: Promise = _("You cannot decide your own request; a colleague must.")


def moves(row: RequestedRight, now: datetime) -> dict[str, str | Promise]:
    """Return what staff can do about a right now, in words."""
    allowed = requests.MOVES.get(State(row.state), set())
    if row.right in AUTOMATIC and row.state == State.ACT:
        allowed = set() if erasure.is_running(row) else allowed & {State.ASSESS}
    if rectification.needs_proof(row):
        allowed = allowed - {State.ACT, State.DONE, State.PARTLY_DONE}
    more = [
        (ACCEPT, row.state == State.ASSESS and Correction.objects.filter(right=row).exists()),
        (REBUILD, Package.objects.filter(right=row, state=Package.State.FAILED).exists()),
        (EXTEND, row.is_open and clocks.read(row, now).may_extend),
    ]
    possible = {what for what, holds in more if holds} | allowed
    late = not requests.question_would_stop(row, now)
    words = WORDS | ({State.PAUSED: ASK_LATE} if late else {})
    return {what: said for what, said in words.items() if what in possible}


def decide(row: RequestedRight, what: str, by: User, now: datetime, *, reason: str = "") -> None:
    """Do one of `moves`. Raises OwnRequest, IllegalMove, ReasonMissing, TooLate, ValueTaken."""
    if row.request.person_id == by.pk:
        raise OwnRequest
    if what not in moves(row, now):
        raise requests.IllegalMove
    with transaction.atomic():
        if what == EXTEND:
            _extend(row, by, now, reason)
        elif what == ACCEPT:
            rectification.accept(Correction.objects.get(right=row), by, now)
        elif what == REBUILD:
            packages.try_again(Package.objects.get(right=row))
        else:
            _move(row, State(what), by, now, reason)


def _extend(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    requests.extend(row, requests.staff(by), now, reason=reason)
    emails.extended(row, reason)


def _move(row: RequestedRight, to: State, by: User, now: datetime, reason: str) -> None:
    erasure.leave_to_staff(row, to, by, now)
    requests.move(row, to, requests.staff(by), now, reason=reason)
    if to == State.PAUSED:
        emails.question(row, reason, stands_still=requests.stands_still(row, now))
    elif to not in SILENT:
        closing.clear(row)
        emails.answered(row)
