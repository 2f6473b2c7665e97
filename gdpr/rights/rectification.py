# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rectification (GDPR article 16) of what a person cannot correct on their own profile page.

Staff decide. An accepted value is written to the one row that everybody reads, so that whom the
data are shown to have it at once (article 19); the audit trail has the field's name and no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.addresses import normalised
from accounts.models import User
from accounts.rectification import rectify_person
from accounts.refusals import Refused
from gdpr import emails, inventory, requests
from gdpr.models import Correction, Request, RequestedRight, Right
from gdpr.registry import Corrector

State = RequestedRight.State
PERSON = "accounts.User"


class ValueTaken(Refused):
    text: Promise = _("Another account has that address.")


@dataclass(frozen=True, slots=True)
class Wish:
    """What should be corrected; `field` is "" for what is no field of the account."""

    field: str
    value: str
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
        Correction.objects.create(
            right=right, field=wish.field, value=wish.value, evidence=wish.evidence
        )
        emails.request_received(right)
    return request


def accept(correction: Correction, by: User, now: datetime) -> None:
    """Write the value to the account and answer the person. Raises IllegalMove, ValueTaken.

    What is no field of the account has been corrected by hand where it lies.
    """
    right, actor = correction.right, requests.staff(by)
    person = right.request.person
    with transaction.atomic():
        requests.move(right, State.ACT, actor, now)
        requests.move(right, State.DONE, actor, now)
        # Before the address changes: whoever did not ask for it hears of it at the old one.
        emails.answered(right)
        if correction.field and person is not None:
            _write(person, correction, by)
        correction.forget()


def _write(person: User, correction: Correction, by: User) -> None:
    name, value = correction.field.removeprefix(f"{PERSON}."), correction.value
    if name == User.EMAIL_FIELD:
        value = normalised(value)
        if User.objects.filter(email=value).exclude(pk=person.pk).exists():
            raise ValueTaken
    rectify_person(person, {name: value}, by=by)
