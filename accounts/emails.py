# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's own mails: one function for each kind, and the worker's sending of what is due.

A function renders the mail in the person's language and writes it as a sealed row in the
transaction of the act, so that there is no act without its mail and no mail without its act.
"""

from __future__ import annotations

import base64
import json
import logging
import smtplib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from accounts import clock, vault
from accounts.addresses import normalised
from accounts.models import Invitation, Membership, OutgoingMail, User
from accounts.turns import turn

logger = logging.getLogger(__name__)

KEPT_HOURS = 72
LONGEST_PAUSE_MINUTES = 60
# A mail server that is slow must not take the worker from its other duties.
RUN_SECONDS = 20.0
# While one worker sends a mail, no other takes it; longer than its sending can last.
LEASE = timedelta(minutes=10)
# Without these somebody else could take an account while its person is not told of anything.
OF_SECURITY = frozenset(
    {"password_reset", "password_changed", "new_browser", "second_factor_changed"}
)
# A mail that cannot be opened or composed must not stop those behind it.
SENDING_FAULTS = (OSError, smtplib.SMTPException, vault.VaultError, ValueError, LookupError)


def confirm_address(email: str, language: str, token: str, days: int) -> None:
    """Ask whether somebody meant to sign up; holds nothing that the sender could have written.

    `days` is how long the link is good.
    """
    context = {"link": Link("accounts:sign-up-confirm", token), "days": days}
    to_address("confirm_address", email, language, context)


def address_known(email: str, language: str) -> None:
    """Tell the owner of an address with an account that somebody signed up with it."""
    links = {"link": Link("accounts:sign-in"), "reset_link": Link("accounts:password-reset")}
    to_address("address_known", email, language, links)


def consent_confirm(user: User, token: str, words: Sequence[str], days: int) -> None:
    """Ask whether the person ticked these words; `days` is how long the link is good."""
    context = {"link": Link("accounts:consent-confirm", token), "words": words, "days": days}
    to_person("consent_confirm", user, context)


def consent_confirmed(user: User, token: str, words: Sequence[str]) -> None:
    """Tell the person what they have said yes to, with the link that ends it."""
    to_person(
        "consent_confirmed", user, {"link": Link("accounts:consent-end", token), "words": words}
    )


def password_reset(user: User, token: str) -> None:
    to_person("password_reset", user, {"link": Link("accounts:password-reset-confirm", token)})


def password_changed(user: User) -> None:
    to_person("password_changed", user, {"link": Link("accounts:password-reset")})


def new_browser(user: User, at: datetime) -> None:
    """Tell a person that they (or somebody) signed in from a browser not seen before."""
    to_person("new_browser", user, {"at": at, "link": Link("accounts:security")})


def second_factor_changed(user: User, change: str) -> None:
    """`change` is "added", "removed" or "codes"."""
    to_person("second_factor_changed", user, {"change": change, "link": Link("accounts:security")})


def invitation(invitation: Invitation, inviter: User, token: str) -> None:
    context = {
        "organisation": invitation.organisation,
        "inviter": inviter,
        "role": invitation.get_role_display,
        "expires_at": invitation.expires_at,
        "link": Link("accounts:invitation", token),
    }
    to_address(
        "invitation", invitation.email, inviter.language, context, invitation.organisation_id
    )


def membership_waiting(membership: Membership, owner: User) -> None:
    """Tell an owner that somebody took up an invitation and waits to be let in."""
    context = _of_membership(membership) | {"link": Link("accounts:team")}
    to_person("membership_waiting", owner, context, membership.organisation_id)


def membership_approved(membership: Membership) -> None:
    context = _of_membership(membership) | {"link": Link("accounts:sign-in")}
    to_person("membership_approved", membership.user, context, membership.organisation_id)


def membership_refused(membership: Membership) -> None:
    context = _of_membership(membership)
    to_person("membership_refused", membership.user, context, membership.organisation_id)


def membership_ended(membership: Membership) -> None:
    context = _of_membership(membership)
    to_person("membership_ended", membership.user, context, membership.organisation_id)


def role_changed(membership: Membership) -> None:
    context = _of_membership(membership)
    to_person("role_changed", membership.user, context, membership.organisation_id)


def route_paused(membership: Membership, route_id: UUID, name: str, host: str) -> None:
    """Tell a member that the organisation's mail server refused the sign-in, so mail waits."""
    route = {"name": name, "host": host, "link": Link("relay:route", str(route_id))}
    context = _of_membership(membership) | route
    to_person("route_paused", membership.user, context, membership.organisation_id)


def domain_stopped(membership: Membership, review_id: UUID, domain: str) -> None:
    """Tell a member that mail of a domain waits, because much of it came back."""
    stopped = {"domain": domain, "link": Link("relay:review", str(review_id))}
    context = _of_membership(membership) | stopped
    to_person("domain_stopped", membership.user, context, membership.organisation_id)


def domain_failing(
    membership: Membership, domain_id: UUID, name: str, selectors: Sequence[str], *, is_lost: bool
) -> None:
    """Tell a member that a record of a sending domain is gone; `selectors` sign no more for it."""
    domain = {"name": name, "selectors": selectors, "is_lost": is_lost}
    context = _of_membership(membership) | domain
    context["link"] = Link("relay:domain", str(domain_id))
    to_person("domain_failing", membership.user, context, membership.organisation_id)


def operator_alert(kind: str, subject: str) -> OutgoingMail:
    """Return the mail about an alert, not saved: who raises it may have no Django connection."""
    context = {"kind": kind, "subject": subject}
    return _compose("operator_alert", settings.OPERATOR_EMAIL, settings.LANGUAGE_CODE, context)


class Link:
    """A page of the portal, written out in the language that is active when it is rendered."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.arguments = arguments

    def __str__(self) -> str:
        site: str = settings.SITE_URL
        return site.rstrip("/") + reverse(self.name, args=self.arguments)


def _of_membership(membership: Membership) -> dict[str, Any]:
    return {
        "organisation": membership.organisation,
        "person": membership.user,
        "role": membership.get_role_display,
    }


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that goes with a mail; it lies sealed with it until the mail is sent."""

    name: str
    type: str
    content: bytes = field(repr=False)


def to_person(
    kind: str,
    user: User,
    context: Mapping[str, Any],
    organisation_id: UUID | None = None,
    enclosures: Sequence[Enclosure] = (),
) -> None:
    """Post a mail in the person's language; `kind` is "app/name" for a mail of another app.

    Its three templates are <app>/email/<name> with .subject.txt, .txt and .html. To an account
    that is restricted nothing goes but what is about its rights, its security or an agreement.
    """
    if user.restricted_at and not _goes_while_restricted(kind):
        return
    values = {"user": user, **context}
    to_address(kind, user.email, user.language, values, organisation_id, enclosures)


def _goes_while_restricted(kind: str) -> bool:
    """Article 18(2) of the GDPR leaves what a person agrees to, and what rights are claimed by."""
    return kind in OF_SECURITY or kind.partition("/")[0] in ("gdpr", "dpa")


def to_address(
    kind: str,
    email: str,
    language: str,
    context: Mapping[str, Any],
    organisation_id: UUID | None = None,
    enclosures: Sequence[Enclosure] = (),
) -> None:
    """Post a mail to an address; as `to_person` in everything else."""
    mail = _compose(kind, email, language, context, enclosures)
    mail.organisation_id = organisation_id
    mail.save(force_insert=True)


def _compose(
    kind: str,
    email: str,
    language: str,
    context: Mapping[str, Any],
    enclosures: Sequence[Enclosure] = (),
) -> OutgoingMail:
    now, mail_id = clock.now(), uuid4()
    letter: dict[str, Any] = {"to": email, **_render(kind, language, context)}
    letter["enclosures"] = [
        [file.name, file.type, base64.b64encode(file.content).decode()] for file in enclosures
    ]
    sealed = vault.seal(_purpose(mail_id), json.dumps(letter).encode())
    return OutgoingMail(id=mail_id, kind=kind, sealed=sealed, created_at=now, due_at=now)


def _render(kind: str, language: str, context: Mapping[str, Any]) -> dict[str, str]:
    app, _, name = kind.rpartition("/")
    template = f"{app or 'accounts'}/email/{name}"
    with translation.override(language):
        values = {**context, "language": language, "site": settings.SITE_URL}
        # A subject is one line whatever a name in it holds.
        subject = " ".join(render_to_string(f"{template}.subject.txt", values).split())
        values["subject_line"] = subject
        return {
            "subject": subject,
            "text": render_to_string(f"{template}.txt", values).strip() + "\n",
            "html": render_to_string(f"{template}.html", values),
        }


def _purpose(mail_id: UUID) -> str:
    return f"outgoing-mail|{mail_id}"


def send_due(now: datetime) -> int:
    """Send mails that are due and forget them; return how many were sent. Role `duty`.

    One worker at a time does, for RUN_SECONDS and the mail in hand: the next run goes on.
    """
    with turn("own-mails") as mine:
        return _send_some(now) if mine else 0


def _send_some(now: datetime) -> int:
    ends_at = time.monotonic() + RUN_SECONDS
    backend = get_connection()
    sent = 0
    try:
        while time.monotonic() < ends_at and (mail := _lease_next(now)) is not None:
            sent += _send(mail, backend, now)
    finally:
        backend.close()
    return sent


def mails_to(email: str) -> list[UUID]:
    """Return the mails to an address that wait to be sent. Opens every one. Role `duty`."""
    rows = OutgoingMail.objects.values_list("id", "sealed")
    return [mail_id for mail_id, sealed in rows if _is_to(email, mail_id, bytes(sealed))]


def _is_to(email: str, mail_id: UUID, sealed: bytes) -> bool:
    try:
        letter = json.loads(vault.unseal(_purpose(mail_id), sealed))
    except vault.VaultError:
        # Nobody can read it, so it is to nobody; KEPT_HOURS ends it.
        return False
    return normalised(letter["to"]) == email


def drop_undeliverable(now: datetime) -> int:
    """Delete mails that could not be sent for KEPT_HOURS; return how many."""
    limit = now - timedelta(hours=KEPT_HOURS)
    count, _ = OutgoingMail.objects.filter(created_at__lte=limit).delete()
    return count


def _lease_next(now: datetime) -> OutgoingMail | None:
    """Return the mail that is due first, out of other workers' reach for LEASE."""
    with transaction.atomic():
        due = OutgoingMail.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
        mail = due.order_by("due_at").first()
        if mail is not None:
            # From now, not from when the run began: the mails before this one took their time.
            mail.due_at = clock.now() + LEASE
            mail.save(update_fields=["due_at"])
    return mail


def _send(mail: OutgoingMail, backend: BaseEmailBackend, now: datetime) -> bool:
    """Send a mail that is leased; return whether it went. No transaction waits for the server."""
    try:
        # Kept open for the next mail: what `send_messages` opens itself, it closes itself.
        backend.open()
        backend.send_messages([_message(mail, backend)])
    except SENDING_FAULTS as error:
        backend.close()
        _postpone(mail, error, now)
        return False
    mail.delete()
    return True


def _message(mail: OutgoingMail, backend: BaseEmailBackend) -> EmailMultiAlternatives:
    letter = json.loads(vault.unseal(_purpose(mail.id), mail.sealed))
    # The same row sent twice after a crash carries the same Message-ID (RFC 5322, section 3.6.4).
    headers = {
        "Message-ID": f"<{mail.id}@{settings.RELAY_HOSTNAME}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834, section 5
    }
    message = EmailMultiAlternatives(
        letter["subject"], letter["text"], to=[letter["to"]], headers=headers, connection=backend
    )
    message.attach_alternative(letter["html"], "text/html")
    for name, kind, content in letter["enclosures"]:
        message.attach(name, base64.b64decode(content), kind)
    return message


def _postpone(mail: OutgoingMail, error: Exception, now: datetime) -> None:
    # The text of these exceptions holds addresses: only the kind of fault is kept.
    mail.last_error = type(error).__name__
    mail.attempts += 1
    minutes = min(2 ** (mail.attempts - 1), LONGEST_PAUSE_MINUTES)
    mail.due_at = now + timedelta(minutes=minutes)
    mail.save(update_fields=["last_error", "attempts", "due_at"])
    logger.warning("own mail %s of kind %s not sent: %s", mail.id, mail.kind, mail.last_error)
