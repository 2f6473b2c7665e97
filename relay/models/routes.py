# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Route(TenantModel):
    """Where mail goes next: an organisation's own server, the recipients' ones, or a provider."""

    class Kind(models.TextChoices):
        OWN = "own", _("own mail server")
        DIRECT = "direct", _("straight to the recipients' mail servers")
        ESP = "esp", _("a mail provider's interface")

    class Provider(models.TextChoices):
        NONE = "", _("none")
        MAILGUN_EU = "mailgun_eu", "Mailgun (EU)"
        MAILGUN_US = "mailgun_us", "Mailgun (US)"
        POSTMARK = "postmark", "Postmark"
        BREVO = "brevo", "Brevo"
        MAILJET = "mailjet", "Mailjet"
        SPARKPOST_EU = "sparkpost_eu", "SparkPost (EU)"

    class Security(models.TextChoices):
        TLS = "tls", _("TLS from the first byte (port 465)")
        STARTTLS = "starttls", _("STARTTLS, certificate checked")
        OPPORTUNISTIC = "opportunistic", _("STARTTLS when offered, certificate not checked")
        NONE = "none", _("no encryption")

    class PauseReason(models.TextChoices):
        NONE = "", _("not paused")
        SIGN_IN_REFUSED = "sign_in_refused", _("the server refused user name or password")
        BY_PERSON = "by_person", _("paused by you")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    # Empty for every domain of the organisation.
    domain = models.ForeignKey(
        "relay.SendingDomain",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("domain"),
    )
    priority = models.PositiveSmallIntegerField(_("order"), default=10)
    kind = models.CharField(
        _("kind"), max_length=10, choices=Kind, default=Kind.OWN, db_default=Kind.OWN
    )
    provider = models.CharField(
        _("provider"),
        max_length=20,
        choices=Provider,
        default=Provider.NONE,
        blank=True,
        db_default=Provider.NONE,
    )
    # The domain that mail leaves from at the provider, where it asks for one.
    provider_domain = models.CharField(
        _("domain at the provider"), max_length=253, blank=True, db_default=""
    )
    # Whether it also carries mail while the ones before it rest.
    takes_over = models.BooleanField(_("takes over"), default=True, db_default=True)
    host = models.CharField(_("host"), max_length=253, blank=True)
    port = models.PositiveIntegerField(_("port"), default=587)
    security = models.CharField(
        _("encryption"), max_length=15, choices=Security, default=Security.STARTTLS
    )
    username = models.CharField(_("user name"), max_length=200, blank=True)
    sealed_secret = models.BinaryField(default=b"", blank=True)
    # Counts changes of how to connect, so that no kept connection outlives them.
    version = models.PositiveIntegerField(default=1)
    concurrency = models.PositiveSmallIntegerField(_("connections at once"), default=10)
    # Messages; None: as many as it takes.
    rate_per_minute = models.PositiveIntegerField(_("messages a minute"), null=True, blank=True)
    # Connections that failed in a row, and until when no other one is tried.
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)
    rest_until = models.DateTimeField(_("resting until"), null=True, blank=True)
    # How it went last; no words of a remote, which may hold addresses.
    worked_at = models.DateTimeField(_("worked"), null=True, blank=True)
    failed_at = models.DateTimeField(_("failed"), null=True, blank=True)
    failed_code = models.PositiveSmallIntegerField(
        _("answer when it failed"), default=0, db_default=0
    )
    failed_enhanced = models.CharField(
        _("status when it failed"), max_length=12, blank=True, db_default=""
    )
    failed_stage = models.CharField(
        _("stage when it failed"), max_length=10, blank=True, db_default=""
    )
    # Of the secret in the address that its provider reports to.
    hook_hash = models.BinaryField(null=True, blank=True, unique=True)
    hook_made_at = models.DateTimeField(null=True, blank=True)
    hook_seen_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    pause_reason = models.CharField(
        _("pause reason"), max_length=20, choices=PauseReason, default=PauseReason.NONE, blank=True
    )
    # The `paused_at` of the last pause that people were told of by mail.
    pause_told_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        constraints = [
            # What leaves without a server of the customer's uses no secret of theirs either.
            models.CheckConstraint(
                name="route_complete",
                condition=(models.Q(kind="own") & ~models.Q(host=""))
                | models.Q(kind="direct", host="", username="", sealed_secret=b"")
                | (models.Q(kind="esp") & ~models.Q(provider="") & ~models.Q(sealed_secret=b"")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def rests(self, now: datetime) -> bool:
        """Whether its server is left alone, because it did not answer."""
        return self.rest_until is not None and self.rest_until > now


class EspEvent(TenantModel):
    """What a provider reported about mails of a route, until it is written in the log."""

    # Made here: the portal, which writes it, may read nothing back.
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # The database's own cascade: the portal may not read these rows, so Django may not either.
    route = models.ForeignKey(
        Route, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    received_at = models.DateTimeField()
    # Under the organisation's key.
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)
