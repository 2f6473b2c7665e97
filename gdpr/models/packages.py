# SPDX-License-Identifier: AGPL-3.0-or-later
"""Packages of personal data: a sealed file outside the database, and the row that opens it."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr.models.requests import RequestedRight

# How long a package can be fetched before file and key are destroyed.
PACKAGE_DAYS = 7


class Package(models.Model):
    """What a person gets to download. The row goes with the file, and with it the file's key."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        BUILDING = "building", _("being put together")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    right = models.OneToOneField(RequestedRight, on_delete=models.CASCADE, related_name="package")
    person = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    sealed_key = models.BinaryField()
    parts_done = models.PositiveSmallIntegerField(default=0)
    parts_total = models.PositiveSmallIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    # Until then the worker that has taken the package is left alone with it.
    leased_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("asked for"))
    made_at = models.DateTimeField(_("made"), null=True)
    expires_at = models.DateTimeField(_("destroyed at the latest"), null=True)
    size = models.PositiveBigIntegerField(_("size"), default=0)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("package")
        verbose_name_plural = _("packages")
        constraints = [
            models.CheckConstraint(
                name="package_ready_has_an_end",
                condition=~models.Q(state="ready")
                | models.Q(made_at__isnull=False, expires_at__isnull=False),
            )
        ]
        indexes = [models.Index(fields=["state", "created_at"], name="package_to_do")]

    def __str__(self) -> str:
        return f"{_('Package')} {str(self.id)[:8]}"
