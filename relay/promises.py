# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about mail, each with the control that keeps it and a live check."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import alerts, clock, vault
from accounts.models.organisations import QUEUE_HOURS_MAX
from accounts.promise import Promise, Result
from relay import hourkeys, routing, upkeep
from relay.models import (
    Attempt,
    Content,
    Delivery,
    LogChoice,
    Message,
    MessageHeader,
    Restriction,
    Route,
)
from relay.smtp.tls import make_contexts

# What the log has of a mail besides times and figures; a column more would be content.
LOGGED = frozenset({"sender", "tls_version", "tls_cipher", "profile", "subject", "header_hash"})
# So long ago is looked at: a check comes each hour. And so long a choice may take to be known.
LOOKED_AT = timedelta(hours=2)
KNOWN_IN = timedelta(seconds=10)


def content_goes_with_the_last_delivery() -> Result:
    oldest = upkeep.oldest_content_of_final_message()
    waiting = Content.objects.count()
    seen = f"content outlived a message of {oldest:%Y-%m-%d %H:%M}" if oldest else ""
    return Result(holds=oldest is None, seen=seen or f"{waiting} mails wait, each with content")


def keys_go_within_the_stated_hours() -> Result:
    late, hours = hourkeys.count_overdue(clock.now()), hourkeys.longest_hours()
    # Only the delivery process sees the keyring.
    left = alerts.open_alerts().filter(kind=hourkeys.LEFT).exists()
    seen = "closed keys are still on the disk" if left else f"{late} keys older than {hours} hours"
    return Result(holds=not late and not left, seen=seen)


def the_log_has_no_content() -> Result:
    texts = {
        field.name
        for field in Message._meta.get_fields()
        if field.get_internal_type() in ("CharField", "TextField", "BinaryField", "JSONField")
    }
    unknown = sorted(texts - LOGGED)
    beyond = _beyond_choice(Message.objects.exclude(profile=LogChoice.Profile.MINIMAL, subject=""))
    beyond += _beyond_choice(MessageHeader.objects.all())
    more = f"{beyond} mails with more than was chosen" if beyond else ""
    seen = ", ".join(unknown) or more or "sender, recipients, times, states, and what was chosen"
    return Result(holds=not unknown and not beyond, seen=seen)


def _beyond_choice(rows: QuerySet[Any]) -> int:
    """Count the mails of late of which more is kept than their organisation has chosen."""
    least = Q(profile=LogChoice.Profile.MINIMAL, changed_at__lte=OuterRef("accepted_at") - KNOWN_IN)
    chosen = LogChoice.objects.filter(~least, organisation_id=OuterRef("organisation_id"))
    since = clock.now() - LOOKED_AT
    return rows.filter(~Exists(chosen), accepted_at__gte=since).count()


def sign_in_needs_tls() -> Result:
    oldest = make_contexts(settings.RELAY_CA_FILE).verified.minimum_version
    in_clear = settings.RELAY_ALLOW_PLAINTEXT_AUTH
    holds = not in_clear and oldest >= ssl.TLSVersion.TLSv1_2
    return Result(holds=holds, seen="sign-in in clear" if in_clear else f"at least {oldest.name}")


def passwords_of_mail_servers_are_sealed() -> Result:
    """Open each; what does not open was not sealed by this installation."""
    rows = Route.objects.exclude(sealed_secret=b"").only("organisation_id", "sealed_secret")
    opened = [_opens(route) for route in rows]
    return Result(holds=all(opened), seen=f"{sum(opened)} of {len(opened)} are sealed")


def _opens(route: Route) -> bool:
    try:
        vault.unseal(
            routing.SECRET_PURPOSE,
            bytes(route.sealed_secret),
            organisation_id=route.organisation_id,
        )
    except vault.VaultError:
        return False
    return True


def restricted_addresses_are_not_used() -> Result:
    rows = Restriction.objects.filter(lifted_at=None, address__isnull=False)
    used = sum(_tried_since(row) for row in rows)
    return Result(holds=not used, seen=f"{used} mails to {rows.count()} restricted addresses")


def _tried_since(row: Restriction) -> int:
    """Count the deliveries to an address that were tried after it was restricted."""
    queued = row.restricted_at - timedelta(hours=QUEUE_HOURS_MAX)
    tried = Attempt.objects.filter(
        accepted_at=OuterRef("accepted_at"),
        message_id=OuterRef("message_id"),
        position=OuterRef("position"),
        started_at__gt=row.restricted_at + KNOWN_IN,
    )
    deliveries = Delivery.objects.for_organisation(row.organisation_id).filter(
        recipient__in=row.spellings or [], accepted_at__gte=queued
    )
    return deliveries.filter(Exists(tried)).count()


PROMISES: tuple[Promise, ...] = (
    Promise(
        id="R4",
        words=_("A mail's content is destroyed when its last recipient's mail is final."),
        control="relay.queue, in the commit that writes the last state",
        switched_off_by="leave a content row without a waiting delivery",
        check=content_goes_with_the_last_delivery,
    ),
    Promise(
        id="R4b",
        words=_("The key that could open a backup's copy of a mail goes within the stated hours."),
        control="relay.hourkeys, by the delivery process",
        switched_off_by="let no key be closed for a week",
        check=keys_go_within_the_stated_hours,
    ),
    Promise(
        id="M2.7d",
        words=_(
            "The log never has content; it has subject or headers only where the customer chose so."
        ),
        control="relay.models.Message, relay.models.LogChoice",
        switched_off_by="add a column of text to the log",
        check=the_log_has_no_content,
    ),
    Promise(
        id="G3b",
        words=_("Nobody signs in to send over a connection in clear, and TLS is 1.2 or newer."),
        control="relay.smtpd, relay.smtp.tls, RELAY_ALLOW_PLAINTEXT_AUTH",
        switched_off_by="set RELAY_ALLOW_PLAINTEXT_AUTH",
        check=sign_in_needs_tls,
    ),
    Promise(
        id="R2",
        words=_("Passwords of customers' mail servers are stored sealed."),
        control="relay.routing, accounts.vault",
        switched_off_by="write a password in clear",
        check=passwords_of_mail_servers_are_sealed,
    ),
    Promise(
        id="S6",
        words=_("No mail goes to an address whose use is restricted, as long as that lasts."),
        control="relay.submission, relay.restraints",
        switched_off_by="try a mail to a restricted address",
        check=restricted_addresses_are_not_used,
    ),
)
