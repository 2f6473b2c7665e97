# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whom a request says that it is from, until that is proven."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr.models.requests import Request

# How long a mailed link can prove an address; then the request is at its end.
CLAIM_DAYS = 7


class Claim(models.Model):
    """Beside a request, never in it: what is claimed proves nothing and leads to nobody.

    The row goes when the identity is proven to be an account's, and with the request's end.
    """

    request = models.OneToOneField(
        Request, primary_key=True, on_delete=models.CASCADE, related_name="claim"
    )
    # The account with exactly the address that was given, if there is one.
    claimant = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.CASCADE, related_name="+"
    )
    # How whoever wrote can be reached, in staff's words: sealed, and read on one page alone.
    sealed = models.BinaryField()
    # When the link was mailed, and when somebody who reads that mail confirmed it.
    asked_at = models.DateTimeField(_("asked by mail"), null=True)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)

    class Meta:
        verbose_name = _("claimed identity")
        verbose_name_plural = _("claimed identities")
        constraints = [
            models.CheckConstraint(
                name="claim_confirmed_by_who_was_asked",
                condition=models.Q(confirmed_at=None)
                | models.Q(asked_at__isnull=False, claimant__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{_('Claimed identity')} {str(self.pk)[:8]}"
