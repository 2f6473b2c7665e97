# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service itself sends and shouts: sealed outgoing mails and alerts."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class OutgoingMail(models.Model):
    """A mail of the service's own, sealed until the worker has sent it; then the row goes."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organisation = models.ForeignKey(
        "accounts.Organisation", null=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(_("kind"), max_length=60)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(_("created"))
    due_at = models.DateTimeField(_("next try"), db_index=True)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    last_error = models.CharField(_("last error"), max_length=60, blank=True)

    class Meta:
        verbose_name = _("outgoing mail")
        verbose_name_plural = _("outgoing mails")

    def __str__(self) -> str:
        return f"{self.kind} {str(self.id)[:8]}"


class Alert(models.Model):
    """Something the operator must look at; one open row per kind and subject."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=60)
    subject = models.CharField(_("subject"), max_length=120, blank=True)
    count = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                name="alert_one_open",
                fields=["kind", "subject"],
                condition=models.Q(resolved_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()
