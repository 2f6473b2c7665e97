# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person wants corrected that they cannot correct themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr.models.requests import RequestedRight


class Correction(models.Model):
    """A field and what it should be. Value and evidence are emptied with the decision."""

    right = models.OneToOneField(
        RequestedRight, primary_key=True, on_delete=models.CASCADE, related_name="correction"
    )
    # "app.Model.field" of a field that staff correct, empty for anything else.
    field = models.CharField(_("field"), max_length=100, blank=True)
    value = models.TextField(_("should be"), blank=True)
    evidence = models.TextField(_("evidence"), blank=True)

    class Meta:
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")

    def __str__(self) -> str:
        return f"{_('Correction')} {str(self.pk)[:8]}"

    def forget(self) -> None:
        """Empty what is needed no more once it is decided."""
        self.value = self.evidence = ""
        self.save(update_fields=["value", "evidence"])
