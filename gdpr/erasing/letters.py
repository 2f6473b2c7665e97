# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mails of an erasure: asked for, cancelled, done; the last one when the account is gone."""

from __future__ import annotations

from datetime import datetime

from django.utils import translation

from accounts.emails import Link, to_person
from accounts.models import Membership, User
from gdpr import deadlines
from gdpr.erasing import certificate, holding
from gdpr.erasing.subject import Carried
from gdpr.letters import drafts, writing
from gdpr.models import Erasure


def erasure_asked(person: User, erasure: Erasure, token: str) -> None:
    """Say what was asked for and how to cancel it, also for who can no longer sign in."""
    link = Link("gdpr:erasure-cancel-link", token)
    to_person("gdpr/erasure_asked", person, {"erasure": erasure, "link": link})


def erasure_cancelled(person: User) -> None:
    to_person("gdpr/erasure_cancelled", person, {"link": Link("accounts:security")})


def member_erased(owner: Membership) -> None:
    """Tell an owner that a member is gone. It does not name them: nothing is kept of who it was."""
    context = {"organisation": owner.organisation, "link": Link("accounts:team")}
    to_person("gdpr/member_erased", owner.user, context, owner.organisation_id)


def erased(carried: Carried, erasure: Erasure, token: str, reasons: str, now: datetime) -> None:
    """Bring the link to the certificate, and say until when it works or what it leads to later.

    `reasons` is why something stays, in the letter itself (article 12(4)): the link ends, and the
    page of the request went with the account. Empty when nothing does. Raises Incomplete.
    """
    with translation.override(erasure.language):
        link = str(Link("gdpr:certificate", token))
    held = erasure.held.filter(done_at=None)
    until = None if held.exists() else deadlines.day_of(certificate.link_ends_at(now))
    cover = writing.Cover(
        reference=erasure.reference,
        link=link,
        link_days=certificate.LINK_DAYS,
        until=until,
        kept_until=holding.last_day(erasure),
        reasons=reasons,
    )
    draft = writing.erased(carried.address, carried.name, erasure.language, cover)
    drafts.send(draft)
