# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff decide about a right: each is a step, and a letter where the law wants one.

As long as nobody has proven whose a request is, what can be decided is how to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import User
from accounts.refusals import Refused
from gdpr import (
    approvals,
    carrying,
    claims,
    clocks,
    closing,
    packages,
    requests,
    secondlooks,
)
from gdpr.courses import APPROVED, AUTOMATIC
from gdpr.letters import drafts, writing
from gdpr.letters.drafts import Draft
from gdpr.letters.writing import NO_PROOF, Proof
from gdpr.models import Approval, Correction, Package, RequestedRight, Step
from gdpr.rights import erasure, rectification

State = RequestedRight.State
# What a second person says about what another has asked for.
Second = Callable[[Approval, User, datetime], None]

# What can be decided besides the states that a right can go to.
EXTEND = "extend"
ACCEPT = "accept"
REBUILD = "rebuild"
ABUSE = "abuse"
FEE = "fee"
# What staff must show themselves (article 12(5)).
ABUSES = frozenset({ABUSE, FEE})
LINK = "link"
PROVE = "prove"
APPROVAL = "approval"

WORDS: dict[str, str | Promise] = {
    LINK: _("Mail a link to the address on file, for the whole request"),
    PROVE: _("It is proven who asks, for the whole request: write how"),
    EXTEND: _("Take three months from receipt, and tell the person why"),
    ACCEPT: _("Write what the person wants corrected"),
    REBUILD: _("Put the failed package together once more"),
    State.ASSESS: _("Assess it"),
    State.PAUSED: _("Ask the person; the clock stands still until the answer"),
    APPROVAL: _("Have it approved by a second person, then carried out"),
    State.ACT: _("Carry it out"),
    State.DONE: _("Done; tell the person"),
    State.PARTLY_DONE: _("Partly done; tell the person why not wholly"),
    State.REFUSED: _("Refuse; tell the person why"),
    ABUSE: _("Refuse as manifestly unfounded or excessive; tell the person why"),
    FEE: _("Ask for a fee, as it is manifestly unfounded or excessive; tell the person why"),
    State.WITHDRAWN: _("The person has withdrawn it"),
    State.NOT_IDENTIFIABLE: _("Not identifiable; tell the person"),
}
# Nothing is mailed to whom nobody knows, and nothing to an account about what may not be its own.
BY_HAND: dict[str, str | Promise] = {
    State.PAUSED: _("You have asked who it is: write what you asked"),
    State.NOT_IDENTIFIABLE: _("Not identifiable; you have told whoever wrote why"),
}
ASK_LATE = _("Ask the person; it is too late for the clock to stand still")


class OwnRequest(Refused):
    text: Promise = _("You cannot decide your own request; a colleague must.")


def moves(row: RequestedRight, now: datetime) -> dict[str, str | Promise]:
    """Return what staff can do about a right now, in words."""
    is_proven = row.request.proven_at is not None
    possible = _after_proof(row, now) if is_proven else _before_proof(row)
    late = not requests.question_would_stop(row, now)
    words = WORDS | ({State.PAUSED: ASK_LATE} if late else {}) | ({} if is_proven else BY_HAND)
    return {what: said for what, said in words.items() if what in possible}


def letter(
    row: RequestedRight, what: str, now: datetime, *, reason: str = "", proof: Proof = NO_PROOF
) -> Draft | None:
    """Return the letter that deciding so sends, as it would leave now; None where it sends none.

    Raises Incomplete, TooLate.
    """
    write = (LETTERS if row.second_look_of_id is None else LETTERS_AGAIN).get(what)
    return write(row, reason, proof, now) if write else None


def decide(
    row: RequestedRight,
    what: str,
    by: User,
    now: datetime,
    *,
    reason: str = "",
    proof: Proof = NO_PROOF,
) -> None:
    """Do one of `moves`, with its letter or not at all; one that is sealed leaves within a minute.

    Raises OwnRequest, SameDecider, IllegalMove, Incomplete, ReasonMissing, TooLate, ValueTaken,
    and what stops the act that a right is about.
    """
    with transaction.atomic():
        # What a colleague has decided since the page was opened counts.
        requests.hold(row)
        if row.request.person_id == by.pk:
            raise OwnRequest
        if what not in moves(row, now):
            raise requests.IllegalMove
        secondlooks.demand_another(row, by)
        draft = letter(row, what, now, reason=reason, proof=proof)
        if what in ABUSES:
            reason = writing.stated(row, reason, proof)
        _act(row, what, by, now, reason)
        drafts.send(draft)


def approve(approval: Approval, by: User, now: datetime) -> None:
    """Approve an erasure as the second person; its time to think begins within the minute.

    Raises OwnRequest, IllegalMove, and as approvals.decide.
    """
    row = _erasure_to(approval, by)
    with transaction.atomic():
        approvals.decide(approval, Approval.Decision.APPROVED, by, now)
        requests.note(row, Step.Kind.APPROVED, requests.staff(by), now)
        requests.move(row, State.ACT, requests.staff(by), now)


def decline(approval: Approval, by: User, now: datetime) -> None:
    """Give an erasure back to whoever assesses it. Raises OwnRequest, and as approvals.decide."""
    row = _erasure_to(approval, by)
    with transaction.atomic():
        approvals.decide(approval, Approval.Decision.DECLINED, by, now)
        requests.note(row, Step.Kind.DECLINED, requests.staff(by), now)


def _erasure_to(approval: Approval, by: User) -> RequestedRight:
    row = RequestedRight.objects.select_related("request").get(pk=approval.subject_id)
    if row.request.person_id == by.pk:
        raise OwnRequest
    return row


def _before_proof(row: RequestedRight) -> set[str]:
    claim = claims.of(row.request)
    more = [
        (PROVE, row.is_open),
        (LINK, row.is_open and claim is not None and claim.claimant_id is not None),
    ]
    allowed = requests.MOVES.get(State(row.state), set()) & requests.UNPROVEN
    return {what for what, holds in more if holds} | set(allowed)


def _after_proof(row: RequestedRight, now: datetime) -> set[str]:
    allowed = requests.MOVES.get(State(row.state), set())
    if row.right in AUTOMATIC and row.state == State.ACT:
        allowed = set() if erasure.is_running(row) else allowed & {State.ASSESS}
    if rectification.needs_proof(row):
        allowed = allowed - {State.ACT, State.DONE, State.PARTLY_DONE}
    unapproved = row.right in APPROVED and row.begun_at is None
    if unapproved:
        allowed = allowed - {State.ACT}
    asked = unapproved and approvals.is_waiting(Approval.What.ERASURE, row.pk)
    more = [
        (ACCEPT, row.state == State.ASSESS and Correction.objects.filter(right=row).exists()),
        (REBUILD, Package.objects.filter(right=row, state=Package.State.FAILED).exists()),
        (EXTEND, row.is_open and clocks.read(row, now).may_extend),
        # Who asks for a second look, once, abuses nothing.
        (ABUSE, State.REFUSED in allowed and row.second_look_of_id is None),
        (FEE, row.state == State.ASSESS and row.second_look_of_id is None),
        (APPROVAL, unapproved and row.state == State.ASSESS and not asked),
    ]
    return {what for what, holds in more if holds} | set(allowed)


def _act(row: RequestedRight, what: str, by: User, now: datetime, reason: str) -> None:
    if what in ACTS:
        ACTS[what](row, by, now, reason)
    else:
        _move(row, State.REFUSED if what == ABUSE else State(what), by, now, reason)


def _extend(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    requests.extend(row, requests.staff(by), now, reason=reason)


def _ask_a_fee(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    requests.note(row, Step.Kind.FEE, requests.staff(by), now, reason=reason)
    audit.record_installation(by, "request.fee", row)


def _accept(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    rectification.accept(Correction.objects.get(right=row), by, now)


def _rebuild(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    packages.try_again(Package.objects.get(right=row))


def _link(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    claims.ask_by_link(row.request, by, now)


def _prove(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    claims.prove_by_evidence(row.request, reason, by, now)


def _ask_for_approval(row: RequestedRight, by: User, now: datetime, reason: str) -> None:
    approvals.ask(Approval.What.ERASURE, row.pk, now, by=by)
    requests.note(row, Step.Kind.APPROVAL, requests.staff(by), now)


ACTS: dict[str, Callable[[RequestedRight, User, datetime, str], None]] = {
    EXTEND: _extend,
    FEE: _ask_a_fee,
    ACCEPT: _accept,
    REBUILD: _rebuild,
    LINK: _link,
    PROVE: _prove,
    APPROVAL: _ask_for_approval,
}


def _move(row: RequestedRight, to: State, by: User, now: datetime, reason: str) -> None:
    carrying.follow(row, to, by, now)
    requests.move(row, to, requests.staff(by), now, reason=reason)
    if to in RequestedRight.FINAL:
        closing.clear(row)


def _question(row: RequestedRight, words: str, _: Proof, now: datetime) -> Draft | None:
    stands_still = requests.question_would_stop(row, now)
    return writing.question(row, words, stands_still=stands_still)


# What needs to be told goes by one of these; of what is not here the person need not hear, or the
# act itself writes to them.
LETTERS: dict[str, Callable[[RequestedRight, str, Proof, datetime], Draft | None]] = {
    EXTEND: lambda row, reason, _, now: writing.extended(row, reason, now),
    ABUSE: lambda row, reason, proof, _: writing.unfounded(row, reason, proof),
    FEE: lambda row, reason, proof, _: writing.fee(row, reason, proof),
    State.PAUSED: _question,
    State.DONE: lambda row, reason, *_: writing.done(row, reason),
    State.PARTLY_DONE: lambda row, reason, *_: writing.partly_done(row, reason),
    State.REFUSED: lambda row, reason, *_: writing.refused(row, reason),
    State.WITHDRAWN: lambda row, *_: writing.withdrawn(row),
    State.NOT_IDENTIFIABLE: lambda row, reason, *_: writing.not_identifiable(row, reason),
}
LETTERS_AGAIN = LETTERS | {
    State.DONE: lambda row, reason, *_: writing.again_changed(row, reason),
    State.PARTLY_DONE: lambda row, reason, *_: writing.again_changed(row, reason),
    State.REFUSED: lambda row, reason, *_: writing.again_upheld(row, reason),
    State.NOT_IDENTIFIABLE: lambda row, reason, *_: writing.again_upheld(row, reason),
}
