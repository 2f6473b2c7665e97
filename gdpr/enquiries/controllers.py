# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose mail a request is about: the customers that it is passed on to. Role `duty`."""

from __future__ import annotations

from uuid import UUID

from gdpr.correspondents.addresses import written
from gdpr.enquiries.asking import Asked, Whom
from gdpr.enquiries.headers import Named
from relay import correspondence


def concerned(asked: Asked) -> set[UUID]:
    """Return the organisations that a request goes to.

    A sender who is named gets it also where the log knows nothing any more: whether it has data of
    the person elsewhere is the controller's to say.
    """
    if asked.whom is Whom.EVERYONE:
        return correspondence.organisations_with(written(asked.address))
    return _named(asked.named)


def _named(named: Named) -> set[UUID]:
    """Return who has sent the mail, or else who owns the first domain that anybody owns."""
    if named.message_id and (found := correspondence.organisations_of_mail(named.message_id)):
        return found
    owners = map(correspondence.organisation_of_domain, named.domains)
    first = next((owner for owner in owners if owner), None)
    return {first} if first else set()
