# SPDX-License-Identifier: AGPL-3.0-or-later
"""Letters about requests. Where the law demands words, they are in the template of every letter:
reasons, the authority, the courts (GDPR article 12(3) and (4)).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings

from accounts.emails import Link, to_address, to_person
from gdpr.models import Package, RequestedRight


def request_received(right: RequestedRight) -> None:
    """Say that the request is there and when it is answered at the latest."""
    _letter("request_received", right)


def package_ready(package: Package) -> None:
    """Say that the package can be fetched; the link leads to a page that asks who it is."""
    _letter("package_ready", package.right, expires_at=package.expires_at)


def question(right: RequestedRight, words: str, *, stands_still: bool) -> None:
    """Ask the person for what is missing; `stands_still` says whether our time waits for it."""
    _letter("question", right, words=words, stands_still=stands_still)


def question_reminder(right: RequestedRight, words: str, decided_on: date) -> None:
    """Remind of a question; `decided_on` is the day on which the answer is waited for no more."""
    _letter("question_reminder", right, words=words, decided_on=decided_on)


def extended(right: RequestedRight, words: str) -> None:
    """Tell of an extension, with the reasons (article 12(3))."""
    _letter("extended", right, words=words)


def answered(right: RequestedRight) -> None:
    """Give the answer: done, or not or not wholly, with the reasons (article 12(4))."""
    _letter("answered", right)


def address_proof(right: RequestedRight, address: str, token: str, days: int) -> None:
    """Ask, at the new address, whether it is the person's; `days` is how long the link is good."""
    link = Link("gdpr:address-confirm", token)
    to_address("gdpr/address_proof", address, right.request.language, {"link": link, "days": days})


def address_change(right: RequestedRight) -> None:
    """Tell the old address what was accepted, while it can still be stopped."""
    _letter("address_change", right)


def _letter(kind: str, right: RequestedRight, **more: Any) -> None:
    person = right.request.person
    # Nobody to write to any more: the account was erased, and the certificate is the answer.
    if person is None:
        return
    context = {
        "right": right,
        "request": right.request,
        "link": Link("gdpr:request", str(right.request_id)),
        "authority": f"{settings.AUTHORITY_NAME}, {settings.AUTHORITY_ADDRESS}",
        "authority_url": settings.AUTHORITY_URL,
        "contact": settings.PRIVACY_EMAIL,
    }
    to_person(f"gdpr/{kind}", person, context | more)
