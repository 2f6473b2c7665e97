# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mails about enquiries. Those to the person hold no word of whoever asked, nor of any customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from django.conf import settings

from accounts.emails import Link, to_address, to_person
from accounts.models import Membership
from gdpr.enquiries import proving
from gdpr.enquiries.asking import Asked
from gdpr.models import Enquiry, ForwardedRequest

ToMember: TypeAlias = Callable[[ForwardedRequest, Membership], None]


def enquiry_proof(enquiry: Enquiry, asked: Asked, token: str) -> None:
    """Ask whether the address is of the one who asked; the same mail for every address."""
    context = {
        "reference": str(enquiry.id)[:8],
        "rights": [right.label for right in asked.rights],
        "link": Link("gdpr:enquiry-confirm", token),
        "days": proving.LINK_LIFETIME.days,
    }
    to_address("gdpr/enquiry_proof", asked.address, asked.language, context)


def enquiry_answered(enquiry: Enquiry, asked: Asked) -> None:
    """Say what happens to every request, and nothing of what happened to this one."""
    context = {
        "reference": str(enquiry.id)[:8],
        "rights": [right.label for right in asked.rights],
        "link": Link("gdpr:privacy"),
        "authority": f"{settings.AUTHORITY_NAME}, {settings.AUTHORITY_ADDRESS}",
        "authority_url": settings.AUTHORITY_URL,
        "contact": settings.PRIVACY_EMAIL,
    }
    to_address("gdpr/enquiry_answered", asked.address, asked.language, context)


def request_forwarded(row: ForwardedRequest, membership: Membership) -> None:
    """Tell a member that somebody asks the organisation; who it is stands in the portal alone."""
    _to_member("request_forwarded", row, membership)


def forwarded_due(row: ForwardedRequest, membership: Membership) -> None:
    """Remind a member that a request is to be answered, by how far its clock has run."""
    _to_member("forwarded_due", row, membership)


def _to_member(kind: str, row: ForwardedRequest, membership: Membership) -> None:
    context = {
        "organisation": membership.organisation,
        "row": row,
        "link": Link("gdpr:inbox-request", str(row.id)),
    }
    to_person(f"gdpr/{kind}", membership.user, context, membership.organisation_id)
