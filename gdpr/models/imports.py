# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person brought along from another installation (GDPR article 20)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

# How long a package that was uploaded waits for the person's yes.
PROPOSAL_HOURS = 20


class Import(models.Model):
    """A package, read and held for the person's yes; once taken over, what is kept of it.

    `records` are rows as {"table": …, "row": …}: all of the package while it is a proposal, then
    those that are no data of this account, such as when the person signed in elsewhere. They come
    out again with the person's next package.
    """

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="imports"
    )
    records = models.JSONField()
    made_at = models.DateTimeField(_("package made"))
    # Empty once it is taken over: only what waits is forgotten by the clock.
    proposed_at = models.DateTimeField(_("uploaded"), null=True)
    taken_at = models.DateTimeField(_("taken over"), null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="import_proposed_or_taken",
                condition=models.Q(proposed_at__isnull=True, taken_at__isnull=False)
                | models.Q(proposed_at__isnull=False, taken_at__isnull=True),
            ),
            models.UniqueConstraint(
                name="import_one_proposal",
                fields=["person"],
                condition=models.Q(proposed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{_('Package brought along')} {self.pk}"
