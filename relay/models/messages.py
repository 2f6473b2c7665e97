# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log (Message, Delivery, Attempt: daily partitions), the queue and the content that waits.

Content exists only while a delivery of its message is in the queue.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel

# The log's period. Retention, the public table and the agreement print this very figure.
LOG_DAYS = 30
READABLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))


class LogRow(TenantModel):
    """A row of a daily partition: days are UTC by `accepted_at`, which the message's id repeats."""

    organisation = models.ForeignKey(
        "accounts.Organisation",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    accepted_at = models.DateTimeField(_("accepted"))

    class Meta:
        abstract = True


class Message(LogRow):
    pk = models.CompositePrimaryKey("accepted_at", "id")
    id = models.UUIDField()
    credential_id = models.UUIDField(null=True)
    # Normalised to lower case, because it is searched; the queue keeps the original.
    sender = models.TextField(_("sender"), blank=True)
    size = models.PositiveIntegerField(_("size in octets"))
    recipients = models.PositiveIntegerField(_("recipients"))
    # A delivery status notification of the service's own (RFC 3464).
    is_notification = models.BooleanField(default=False)
    is_sandbox = models.BooleanField(_("sandbox"), default=False)
    # How much is kept of it here, as its organisation or the message itself chose (LogChoice).
    profile = models.CharField(max_length=10, default="minimal", db_default="minimal")
    subject = models.TextField(_("subject"), blank=True, db_default="")
    # Of its Message-ID, keyed for its organisation; 16 octets.
    header_hash = models.BinaryField(null=True)
    tls_version = models.CharField(max_length=10, blank=True)
    tls_cipher = models.CharField(max_length=60, blank=True)
    content_destroyed_at = models.DateTimeField(_("content destroyed"), null=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [
            models.Index(fields=["organisation", "accepted_at", "id"], name="message_newest"),
            models.Index(
                fields=["organisation", "sender", "accepted_at"],
                opclasses=["uuid_ops", "text_pattern_ops", "timestamptz_ops"],
                name="message_sender",
            ),
            models.Index(
                fields=["organisation", "credential_id", "accepted_at", "id"],
                name="message_credential",
            ),
            models.Index(
                fields=["organisation", "header_hash"],
                condition=models.Q(header_hash__isnull=False),
                name="message_header",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Delivery(LogRow):
    """One recipient of a message."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        BOUNCED = "bounced", _("bounced")
        EXPIRED = "expired", _("expired")
        CANCELLED = "cancelled", _("cancelled")
        SANDBOXED = "sandboxed", _("sandboxed")

    class FinalReason(models.TextChoices):
        """Why a delivery ended, where the state and the last attempt do not say it."""

        NONE = "", _("none")
        RESTORED = "restored", _("final before a restore of the database")
        SIMULATED = "simulated", _("simulated in the sandbox")
        BY_PERSON = "by_person", _("cancelled by somebody in the organisation")
        CLOSED = "closed", _("the customer's account was closed")
        SUPPRESSED = (
            "suppressed",
            _("not sent: the address is on your list of addresses that get no mail"),
        )
        RETURNED = "returned", _("was taken by the recipient's server and came back later")

    pk = models.CompositePrimaryKey("accepted_at", "message_id", "position")
    message_id = models.UUIDField()
    position = models.PositiveSmallIntegerField()
    recipient = models.TextField(_("recipient"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    final_reason = models.CharField(
        _("reason"), max_length=20, choices=FinalReason, default=FinalReason.NONE, blank=True
    )
    finished_at = models.DateTimeField(_("finished"), null=True)
    possible_duplicate = models.BooleanField(_("possible duplicate"), default=False)
    # As the mail showed it, where its profile keeps that.
    display_name = models.TextField(_("name"), blank=True, db_default="")
    # Whether its sender wants to be told of a failure, also of one that comes late (RFC 3461).
    tells_failure = models.BooleanField(default=True, db_default=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            # LIKE is not leakproof, so a prefix search is a range in pattern order (~>=~ and ~<~).
            models.Index(
                fields=["organisation", "recipient", "accepted_at"],
                opclasses=["uuid_ops", "text_pattern_ops", "timestamptz_ops"],
                name="delivery_recipient",
            ),
            # No row of mail that went as it should is in it.
            models.Index(
                fields=["organisation", "accepted_at", "message_id"],
                condition=models.Q(possible_duplicate=True),
                name="delivery_possible_duplicate",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} {self.position}"


class Attempt(LogRow):
    """One try to hand a delivery to the next hop, with the evidence of its TLS."""

    class Verdict(models.TextChoices):
        DELIVERED = "delivered", _("delivered")
        RETRY = "retry", _("try again")
        BOUNCED = "bounced", _("refused")

    pk = models.CompositePrimaryKey("accepted_at", "message_id", "position", "number")
    message_id = models.UUIDField()
    position = models.PositiveSmallIntegerField()
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=Verdict)
    remote_host = models.TextField(blank=True)
    remote_address = models.TextField(blank=True)
    tls_version = models.CharField(max_length=10, blank=True)
    tls_cipher = models.CharField(max_length=60, blank=True)
    tls_verified = models.BooleanField(default=False)
    # Words of relay.smtp.tls and relay.smtp.replies; empty where nothing is known.
    tls_demand = models.CharField(max_length=15, blank=True, db_default="")
    tls_result = models.CharField(max_length=15, blank=True, db_default="")
    kind = models.CharField(max_length=10, blank=True, db_default="")  # of Route.Kind
    scope = models.CharField(max_length=15, blank=True, db_default="")
    is_hard = models.BooleanField(default=False, db_default=False)
    code = models.PositiveSmallIntegerField(default=0)
    enhanced = models.CharField(max_length=12, blank=True)
    # The remote server's words with every address masked.
    reply = models.TextField(blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.message_id} {self.position} {self.number}"


class Content(TenantModel):
    """A waiting message's bytes, sealed; its row goes with the last delivery's final state."""

    message_id = models.UUIDField(primary_key=True)
    organisation = models.ForeignKey(
        "accounts.Organisation",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    accepted_at = models.DateTimeField()
    hour_key_id = models.CharField(max_length=40, db_index=True)
    wrapped_key = models.BinaryField()
    ciphertext = models.BinaryField()
    # The envelope as given, for sending; the log has it normalised.
    sender = models.TextField(blank=True)
    body = models.CharField(max_length=10, default="7BIT")
    smtputf8 = models.BooleanField(default=False)
    ret = models.CharField(max_length=4, blank=True)
    envid = models.TextField(blank=True)
    open_deliveries = models.PositiveIntegerField()
    # Whether its credential was a sandbox one at acceptance: then it never leaves. Stands here
    # because neither the portal nor staff have a grant on this table.
    is_sandbox = models.BooleanField(default=False)
    # Whether the message itself asks for TLS, whatever its route would allow.
    require_tls = models.BooleanField(default=False, db_default=False)
    # Whether its sender waives what the recipient's domain asks for (RFC 8689).
    tls_optional = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return str(self.message_id)


class QueuedDelivery(TenantModel):
    """A delivery that is not final: the queue. Leased by one shift at a time, fenced by `fence`."""

    class Reason(models.TextChoices):
        NEW = "new", _("not tried yet")
        DEFERRED = "deferred", _("the mail server asked to try later")
        UNREACHABLE = "unreachable", _("the mail server could not be reached")
        TLS = "tls", _("no secure connection to the mail server")
        SIGN_IN_REFUSED = "sign_in_refused", _("the mail server refused user name or password")
        NO_ROUTE = "no_route", _("no route is set up")
        ROUTE_PAUSED = "route_paused", _("the route is paused")
        STOPPED = "stopped", _("sending is stopped for the organisation")
        UNCERTAIN = "uncertain", _("the connection broke before the answer")
        UNOPENED = "unopened", _("this service could not decrypt the message or the route")
        UNTOLD = "untold", _("it failed, and the notice to its sender could not be stored yet")
        SIMULATED = "simulated", _("a deferral simulated in the sandbox")
        HELD = "held", _("held back by somebody in the organisation")
        RESTING = "resting", _("the mail server could not be reached and is left alone a while")
        OVER_QUOTA = "over_quota", _("the organisation has sent as much as it may for now")
        PACED = "paced", _("the route has carried as much as it may for now")
        QUARANTINED = "quarantined", _("set aside, because this service failed at it repeatedly")
        BOUNCES = "bounces", _("held: too much mail from this domain came back")
        RECIPIENT_TLS = (
            "recipient_tls",
            _("the recipient's domain demands encryption that its server did not offer"),
        )
        RESTRICTED = "restricted", _("kept back: the use of an address is restricted")
        # Together with `cancelled_at`: what it is cancelled for.
        SUPPRESSED = "suppressed", _("the address is on your list of addresses that get no mail")

    class Lane(models.IntegerChoices):
        """Which mail of an organisation goes first; new mail is not held up by tries again."""

        NEW = 0
        AGAIN = 1
        # Needs no next hop (cancelled, given up, its sender to be told): no hold keeps it back.
        ENDING = 2

    id = models.BigAutoField(primary_key=True)
    organisation = models.ForeignKey(
        "accounts.Organisation",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    message_id = models.UUIDField()
    accepted_at = models.DateTimeField(_("accepted"))
    position = models.PositiveSmallIntegerField()
    # Whose route serves it: the sender's, or the author's where the sender is null. Lower case.
    domain = models.TextField(_("domain"), blank=True, db_default="", db_collation="C")
    recipient = models.TextField(_("recipient"))
    notify = models.CharField(max_length=40, blank=True)
    orcpt = models.TextField(blank=True)
    due_at = models.DateTimeField(_("next try"))
    expires_at = models.DateTimeField(_("given up at"))
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    lane = models.PositiveSmallIntegerField(choices=Lane, default=Lane.NEW, db_default=Lane.NEW)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason, default=Reason.NEW)
    delayed_notice_at = models.DateTimeField(null=True)
    possible_duplicate = models.BooleanField(default=False)
    lease_owner = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    # Committed just before the final dot of the attempt under this lease leaves.
    dot_at = models.DateTimeField(null=True)
    # How often this service itself failed at it, and since when it tries a suspect alone.
    strikes = models.PositiveSmallIntegerField(_("failures"), default=0, db_default=0)
    begun_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True)

    class Meta:
        verbose_name = _("waiting delivery")
        verbose_name_plural = _("waiting deliveries")
        constraints = [
            models.UniqueConstraint(name="queueddelivery_once", fields=["message_id", "position"]),
            # An instant that Python has none for would make a whole claim unreadable.
            models.CheckConstraint(
                name="queueddelivery_readable",
                condition=models.Q(due_at__range=READABLE, expires_at__range=READABLE),
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "accepted_at"], name="queueddelivery_tenant"),
            # Turns are taken by organisation and domain; each has its lanes in order.
            models.Index(
                fields=["organisation", "domain", "lane", "due_at", "id"],
                name="queueddelivery_turn",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} {self.position}"


class HourKey(models.Model):
    """The truth about an hour key (never the key): closed means nothing may be sealed under it."""

    id = models.CharField(primary_key=True, max_length=40)
    closed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.id


class LogPeriod(models.Model):
    """One row: the log's period in days, from LOG_DAYS; what the partition functions go by."""

    days = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="logperiod_one_row", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return str(self.days)
