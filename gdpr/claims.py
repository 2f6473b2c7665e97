# SPDX-License-Identifier: AGPL-3.0-or-later
"""The identity step of requests that staff entered: who somebody says to be, and its proof.

A claim stands beside its request. As long as it does, the request has no person: it stops nothing,
joins nothing and shows nothing of the person whose name was used (GDPR article 12(6)). It is
proven by evidence, which staff describe, or by a link that is mailed to the address on file and to
no other. Nobody who was asked that way and keeps silent for CLAIM_DAYS leaves more behind than
that a request was there (article 12(2)).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import links, vault
from accounts.addresses import normalised
from accounts.models import User
from accounts.refusals import Refused
from accounts.tenancy import person_context
from gdpr import emails, requests, rounds
from gdpr.models import Claim, Request, RequestedRight
from gdpr.models.claims import CLAIM_DAYS

State = RequestedRight.State
LINK_PURPOSE = "identity"
LIFE = timedelta(days=CLAIM_DAYS)
# Alerts; their subject is the request's id.
NOT_TAKEN_UP, NOT_ENDED = "claim-not-taken-up", "claim-not-ended"


class NobodyKnown(Refused):
    text: Promise = gettext_lazy("No account has the address, so there is none to mail a link to.")


def make(request: Request, address: str, contact: str) -> Claim:
    """Note who wrote: the account with exactly this address, if any, and how to reach them.

    Role `staff`.
    """
    claimant = User.objects.filter(email=normalised(address)).first() if address else None
    words = "\n".join(part for part in (address.strip(), contact.strip()) if part)
    sealed = vault.seal(_purpose(request.pk), words.encode())
    return Claim.objects.create(request=request, claimant=claimant, sealed=sealed)


def of(request: Request) -> Claim | None:
    """Return whom a request says that it is from, None once that is proven."""
    return Claim.objects.filter(request=request).select_related("claimant").first()


def contact(claim: Claim) -> str:
    """Return what was said about how to reach whoever wrote. The look is to be recorded."""
    return vault.unseal(_purpose(claim.pk), claim.sealed).decode()


def ask_by_link(request: Request, by: User, now: datetime) -> None:
    """Mail a link to the address on file; the request waits for the answer. Role `staff`.

    Raises NobodyKnown, IllegalMove.
    """
    with transaction.atomic():
        claim = _held(request)
        if claim.claimant is None:
            raise NobodyKnown
        with translation.override(request.language):
            words = _("Follow the link in our mail to say that the request is yours.")
        for row in _open(request):
            if row.state != State.PAUSED:
                requests.move(row, State.PAUSED, requests.staff(by), now, reason=words)
        claim.asked_at = now
        claim.save(update_fields=["asked_at"])
        _mail(claim.claimant, request, now)


def prove_by_evidence(request: Request, evidence: str, by: User, now: datetime) -> None:
    """Take a request for the claimant's, for the reasons that staff state. Role `staff`.

    Raises IllegalMove, ReasonMissing.
    """
    with transaction.atomic():
        claim = _held(request)
        requests.prove(request, claim.claimant, requests.staff(by), now, how=evidence)
        # Who has no account can be written to as long as there is something to answer.
        if claim.claimant is not None:
            claim.delete()


def check_link(token: str) -> None:
    """Raises links.LinkInvalid, links.LinkExpired. Role `web`."""
    person_id, request_id = _read(token)
    with person_context(person_id):
        _asked(request_id, person_id)


def confirm(token: str, now: datetime) -> None:
    """Note that somebody who reads the claimant's mail says that the request is theirs.

    Nothing else happens here: the request is the worker's to take up. Role `web`.
    Raises links.LinkInvalid, links.LinkExpired.
    """
    person_id, request_id = _read(token)
    with person_context(person_id):
        claim = _asked(request_id, person_id)
        claim.confirmed_at = now
        claim.save(update_fields=["confirmed_at"])


def take_up(now: datetime) -> int:
    """Give the requests that were confirmed by mail to their people; return how many.

    Role `duty`.
    """
    confirmed = Claim.objects.filter(confirmed_at__isnull=False, request__proven_at=None)
    rows = confirmed.select_related("request", "claimant")
    return rounds.each(NOT_TAKEN_UP, rows, lambda claim: _take_up(claim, now))


def let_go(now: datetime) -> int:
    """End the requests of those who were asked by mail and kept silent; return how many.

    Of every request that ended unproven goes what was claimed and written. Role `duty`.
    """
    silent = Claim.objects.filter(asked_at__lte=now - LIFE, request__proven_at=None)
    waiting = silent.filter(confirmed_at=None, request__closed_at=None)
    ended = rounds.each(
        NOT_ENDED, waiting.select_related("request"), lambda claim: _end(claim.request, now)
    )
    Claim.objects.filter(request__closed_at__isnull=False).delete()
    of_nobody = RequestedRight.objects.filter(
        request__proven_at=None, request__closed_at__isnull=False
    )
    of_nobody.exclude(details="").update(details="")
    return ended


def _take_up(claim: Claim, now: datetime) -> bool:
    request, person = claim.request, claim.claimant
    # Staff may have closed it, or proven it otherwise, since the link was followed.
    if person is None or request.closed_at is not None:
        return False
    with translation.override(request.language):
        how = _("Confirmed by the link that was mailed to the address of the account.")
        requests.prove(request, person, requests.person(person), now, how=how)
        claim.delete()
    return True


def _end(request: Request, now: datetime) -> bool:
    with translation.override(request.language):
        reason = _("Nobody has confirmed by the mailed link that the request is theirs.")
        for row in _open(request):
            requests.move(row, State.NOT_IDENTIFIABLE, requests.SERVICE, now, reason=reason)
    return True


def _open(request: Request) -> list[RequestedRight]:
    return list(request.rights.filter(closed_at=None).order_by("right"))


def _held(request: Request) -> Claim:
    rows = Claim.objects.select_for_update(of=("self",)).select_related("claimant")
    claim = rows.filter(request=request, request__proven_at=None).first()
    if claim is None:
        raise requests.IllegalMove
    return claim


def _asked(request_id: UUID, person_id: UUID) -> Claim:
    asked = Claim.objects.filter(pk=request_id, claimant=person_id, asked_at__isnull=False)
    claim = asked.filter(confirmed_at=None).first()
    if claim is None:
        raise links.LinkInvalid
    return claim


def _mail(claimant: User, request: Request, now: datetime) -> None:
    values = {"person": str(claimant.pk), "request": str(request.pk)}
    token = links.make(LINK_PURPOSE, values, now + LIFE)
    rights = [row.get_right_display() for row in _open(request)]
    emails.identity_asked(claimant, rights, token, CLAIM_DAYS)


def _read(token: str) -> tuple[UUID, UUID]:
    values = links.read(LINK_PURPOSE, token)
    return UUID(values["person"]), UUID(values["request"])


def _purpose(request_id: UUID) -> str:
    return f"claim|{request_id}"
