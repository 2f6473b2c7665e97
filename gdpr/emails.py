# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mails that prove who asks, and a corrected address. Letters about requests are in
gdpr/letters.
"""

from __future__ import annotations

from django.conf import settings

from accounts.emails import Link, to_address, to_person
from accounts.models import User
from gdpr.models import RequestedRight


def identity_asked(claimant: User, rights: list[str], token: str, days: int) -> None:
    """Ask at the address on file whether a request that came otherwise is the person's.

    `days` is how long the link is good; afterwards the request ends (article 12(2)).
    """
    context = {
        "rights": rights,
        "days": days,
        "link": Link("gdpr:identity-confirm", token),
        "authority": f"{settings.AUTHORITY_NAME}, {settings.AUTHORITY_ADDRESS}",
        "authority_url": settings.AUTHORITY_URL,
        "contact": settings.PRIVACY_EMAIL,
    }
    to_person("gdpr/identity_asked", claimant, context)


def address_proof(right: RequestedRight, address: str, token: str, days: int) -> None:
    """Ask, at the new address, whether it is the person's; `days` is how long the link is good."""
    link = Link("gdpr:address-confirm", token)
    to_address("gdpr/address_proof", address, right.request.language, {"link": link, "days": days})


def address_change(right: RequestedRight) -> None:
    """Tell the old address what was accepted, while it can still be stopped."""
    person = right.request.person
    # Nobody to write to any more: the account was erased.
    if person is not None:
        link = Link("gdpr:request", str(right.request_id))
        to_person("gdpr/address_change", person, {"link": link, "contact": settings.PRIVACY_EMAIL})
