# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whom a person's packages name though it is somebody else."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Release(models.Model):
    """That one other person is not hidden in the packages of a person (GDPR article 15(4)).

    Staff decide it, weighing both; it holds for the packages that are made from then on, and each
    says so. A manifest gives the reasons.
    """

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("whose packages"),
    )
    address = models.EmailField(_("who is shown"))
    reason = models.TextField(_("reasons"))
    decided_at = models.DateTimeField(_("decided"))

    class Meta:
        verbose_name = _("release of another person's data")
        verbose_name_plural = _("releases of other people's data")
        constraints = [
            models.UniqueConstraint(name="release_once", fields=["person", "address"]),
        ]
        indexes = [models.Index(fields=["address"], name="release_of_address")]

    def __str__(self) -> str:
        return f"{_('Shown person')} {self.pk}"
