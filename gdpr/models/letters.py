# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sealed letters as they left."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class Letter(models.Model):
    """A letter that went out as a sealed PDF. It is never changed; it goes with its request."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    right = models.ForeignKey(
        "gdpr.RequestedRight", on_delete=models.CASCADE, related_name="letters"
    )
    # The name of a kind in gdpr/letters/wording.py.
    kind = models.CharField(_("kind"), max_length=20)
    language = models.CharField(_("language"), max_length=2)
    issued_at = models.DateTimeField(_("issued"))
    sealed = models.BinaryField()
    sha256 = models.CharField(max_length=64, db_index=True)

    class Meta:
        verbose_name = _("letter")
        verbose_name_plural = _("letters")
        ordering = ("issued_at",)

    def __str__(self) -> str:
        return f"{_('Letter')} {str(self.id)[:8]}"
