# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the last look at each promise saw, for pages that cannot look themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class PromiseResult(models.Model):
    """The newest result of one promise; `id` is the promise's number."""

    id = models.CharField(primary_key=True, max_length=20)
    holds = models.BooleanField(_("holds"))
    seen = models.TextField(_("seen"))
    checked_at = models.DateTimeField(_("checked"))

    class Meta:
        verbose_name = _("promise")
        verbose_name_plural = _("promises")

    def __str__(self) -> str:
        return self.id
