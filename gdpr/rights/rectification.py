# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rectification (GDPR article 16) of what a person cannot correct on their own profile page.

Staff decide. An accepted value is written to the one row that everybody reads, so that whom the
data are shown to have it at once (article 19); the audit trail has the field's name and no value.
An address is the name to sign in with, so that it is written when somebody who reads its mail has
followed a link, and never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import links, signin
from accounts.addresses import normalised
from accounts.models import User
from accounts.rectification import rectify_person
from accounts.refusals import Refused
from accounts.tenancy import person_context
from gdpr import emails, inventory, requests
from gdpr.letters import drafts, writing
from gdpr.models import Correction, Request, RequestedRight, Right
from gdpr.registry import Corrector
from gdpr.rights import restriction
from gdpr.rights.restriction import Ground

State = RequestedRight.State
PERSON = "accounts.User"
ADDRESS = f"{PERSON}.{User.EMAIL_FIELD}"
LINK_PURPOSE = "address-confirm"
LINK_DAYS = 3


class ValueTaken(Refused):
    text: Promise = _("Another account has that address.")


@dataclass(frozen=True, slots=True)
class Wish:
    """What should be corrected; `field` is "" for what is no field of the account."""

    field: str
    value: str
    evidence: str
    # Whether the account is restricted until it is decided (article 18(1)(a)).
    restrict: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """What a field holds and what it should; `before` is "" for what is no field of the account."""

    what: str | Promise
    before: str
    after: str
    evidence: str


def fields() -> dict[str, str | Promise]:
    """Return the fields of an account that staff correct, with their words, by the inventory."""
    personal = inventory.entry(PERSON).personal
    return {
        f"{PERSON}.{item.name}": item.what
        for item in personal
        if item.corrected_by is Corrector.STAFF
    }


def ask(person: User, wish: Wish, now: datetime) -> Request:
    """Open a request for a correction, which staff assess."""
    with transaction.atomic():
        request = requests.open_by_person(person, {Right.RECTIFICATION: ""}, now)
        right = request.rights.get()
        note_wish(right, wish, now)
        drafts.send(writing.received(right))
    return request


def note_wish(right: RequestedRight, wish: Wish, now: datetime) -> None:
    """Keep what a person wants corrected until it is decided, and restrict meanwhile if asked."""
    Correction.objects.create(
        right=right, field=wish.field, value=wish.value, evidence=wish.evidence
    )
    if wish.restrict and right.request.person is not None:
        restriction.impose(right.request.person, Ground.ACCURACY, now, right=right)


def difference_of(right: RequestedRight) -> Difference | None:
    """Return what would change, for the person and for staff; None once it is decided."""
    rows = Correction.objects.filter(right=right).select_related("right__request__person")
    correction = rows.first()
    if correction is None or not correction.value:
        return None
    person = correction.right.request.person
    if person is None:
        return None
    name = correction.field.removeprefix(f"{PERSON}.")
    before = str(getattr(person, name)) if correction.field else ""
    what = fields().get(correction.field, _("something else"))
    return Difference(what, before, correction.value, correction.evidence)


def accept(correction: Correction, by: User, now: datetime) -> None:
    """Write the value to the account and answer the person; an address is asked for proof first.

    What is no field of the account has been corrected by hand where it lies.
    Raises IllegalMove, ValueTaken.
    """
    right, actor = correction.right, requests.staff(by)
    person = right.request.person
    with transaction.atomic():
        requests.move(right, State.ACT, actor, now)
        if correction.field == ADDRESS and person is not None:
            _ask_for_proof(person, correction, now)
            return
        requests.move(right, State.DONE, actor, now)
        if correction.field and person is not None:
            name = correction.field.removeprefix(f"{PERSON}.")
            rectify_person(person, {name: correction.value}, by=by)
        drafts.send(writing.done(right))
        restriction.settle(right, now)
        correction.forget()


def needs_proof(right: RequestedRight) -> bool:
    """Say whether a link, and nobody of the staff, brings this right to its end."""
    return Correction.objects.filter(right=right, field=ADDRESS).exists()


def confirm(token: str, now: datetime) -> None:
    """Write the address that the link was mailed to; the person signs in anew. Role `web`.

    Raises links.LinkInvalid, links.LinkExpired, ValueTaken.
    """
    person_id, right_id, address = _read(token)
    with person_context(person_id):
        correction = _awaiting(right_id, address)
        person = correction.right.request.person
        assert person is not None, "its own context shows a request of this person"
        # Before the address changes: whoever did not ask for it hears of it at the old one.
        requests.move(correction.right, State.DONE, requests.person(person), now)
        drafts.send(writing.done(correction.right))
        _write_address(person, address, now)
        # The person has just seen that it is right: nobody has to be told first.
        restriction.lift_of(correction.right, person, now)
        correction.forget()
        signin.end_sessions(person.pk)


def check_link(token: str) -> None:
    """Raises links.LinkInvalid, links.LinkExpired."""
    _read(token)


def _ask_for_proof(person: User, correction: Correction, now: datetime) -> None:
    address = normalised(correction.value)
    if User.objects.filter(email=address).exclude(pk=person.pk).exists():
        raise ValueTaken
    values = {"person": str(person.pk), "right": str(correction.pk), "address": address}
    token = links.make(LINK_PURPOSE, values, now + timedelta(days=LINK_DAYS))
    emails.address_proof(correction.right, address, token, LINK_DAYS)
    emails.address_change(correction.right)


def _read(token: str) -> tuple[UUID, UUID, str]:
    values = links.read(LINK_PURPOSE, token)
    return UUID(values["person"]), UUID(values["right"]), values["address"]


def _awaiting(right_id: UUID, address: str) -> Correction:
    """Return the correction, locked, if it still waits for this address."""
    right = RequestedRight.objects.filter(pk=right_id).first()
    if right is None:
        raise links.LinkInvalid
    # Before the correction, as where staff decide: they may be refusing it at this moment.
    requests.hold(right)
    rows = Correction.objects.select_for_update(of=("self",))
    waiting = rows.filter(pk=right_id, field=ADDRESS, right__state=State.ACT)
    correction = waiting.select_related("right__request__person").first()
    if correction is None or normalised(correction.value) != address:
        raise links.LinkInvalid
    return correction


def _write_address(person: User, address: str, now: datetime) -> None:
    try:
        with transaction.atomic():
            rectify_person(person, {User.EMAIL_FIELD: address, "confirmed_at": now})
    except IntegrityError:
        # Somebody signed up with it meanwhile; nobody else's rows are seen here.
        raise ValueTaken from None
