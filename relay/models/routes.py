# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Route(TenantModel):
    """Where an organisation's mail goes next: its own mail server."""

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
        "relay.SendingDomain", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    priority = models.PositiveSmallIntegerField(_("order"), default=10)
    host = models.CharField(_("host"), max_length=253)
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

    def __str__(self) -> str:
        return self.name

    def rests(self, now: datetime) -> bool:
        """Whether its server is left alone, because it did not answer."""
        return self.rest_until is not None and self.rest_until > now
