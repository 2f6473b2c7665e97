# SPDX-License-Identifier: AGPL-3.0-or-later
"""Domains that mail is delivered to directly: what they publish, and whether they answer."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class Destination(models.Model):
    """One domain; of which customer its mail is stands nowhere."""

    class StsMode(models.TextChoices):
        """Of its policy (RFC 8461 §3.2); empty where none is known."""

        UNKNOWN = "", _("none")
        NONE = "none", "none"
        TESTING = "testing", "testing"
        ENFORCE = "enforce", "enforce"

    # As A-label in lower case.
    name = models.TextField(_("domain"), primary_key=True, db_collation="C")
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)
    rest_until = models.DateTimeField(_("resting until"), null=True, blank=True)
    sts_id = models.CharField(max_length=32, blank=True, db_default="")
    sts_mode = models.CharField(
        _("MTA-STS"), max_length=10, choices=StsMode, blank=True, db_default=""
    )
    sts_mx = ArrayField(models.TextField(), default=list, blank=True, db_default=[])
    sts_fetched_at = models.DateTimeField(null=True, blank=True)
    sts_expires_at = models.DateTimeField(null=True, blank=True)
    sts_checked_at = models.DateTimeField(null=True, blank=True)
    used_on = models.DateField(_("used"))

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
        indexes = [models.Index(fields=["used_on"], name="destination_used")]

    def __str__(self) -> str:
        return self.name
