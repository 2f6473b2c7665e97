# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sealed letters as they left."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class Letter(models.Model):
    """A letter that goes out as a sealed PDF. It waits as a draft for its seal, within the minute,
    and is never changed afterwards; it goes with its request.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    right = models.ForeignKey(
        "gdpr.RequestedRight", on_delete=models.CASCADE, related_name="letters"
    )
    # The name of a kind in gdpr/letters/wording.py.
    kind = models.CharField(_("kind"), max_length=20)
    language = models.CharField(_("language"), max_length=2)
    issued_at = models.DateTimeField(_("issued"))
    # When its seal is tried; NULL once it has left.
    due_at = models.DateTimeField(null=True, blank=True)
    # What it says and to whom, encrypted; NULL once it has left.
    sealed_draft = models.BinaryField(null=True)
    sealed = models.BinaryField(null=True)
    sha256 = models.CharField(max_length=64, db_index=True, blank=True)

    class Meta:
        verbose_name = _("letter")
        verbose_name_plural = _("letters")
        ordering = ("issued_at",)
        constraints = [
            models.CheckConstraint(
                name="letter_waits_or_has_left",
                condition=models.Q(
                    sealed__isnull=True, sha256="", sealed_draft__isnull=False, due_at__isnull=False
                )
                | models.Q(
                    ~models.Q(sha256=""),
                    sealed__isnull=False,
                    sealed_draft__isnull=True,
                    due_at=None,
                ),
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], condition=models.Q(due_at__isnull=False), name="letter_due"
            )
        ]

    def __str__(self) -> str:
        return f"{_('Letter')} {str(self.id)[:8]}"

    @property
    def has_left(self) -> bool:
        return self.due_at is None
