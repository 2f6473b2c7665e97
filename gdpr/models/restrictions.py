# SPDX-License-Identifier: AGPL-3.0-or-later
"""Accounts whose data are kept and not used, and why (GDPR article 18)."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr.models.requests import RequestedRight


class PersonRestriction(models.Model):
    """One ground on which an account is restricted; while any is in force, the account is.

    `accounts.User.restricted_at` says so to everything that would use the account: it is written
    by gdpr/rights/restriction.py alone, from these rows.
    """

    class Ground(models.TextChoices):
        """Article 18(1)(a) to (d), and the time to think that an erasure has."""

        ACCURACY = "accuracy", _("you say that something is wrong, until that is looked at")
        UNLAWFUL = "unlawful", _("you say that the use is unlawful, and want no erasure")
        CLAIMS = "claims", _("you need the data for a legal claim")
        ASKED = "asked", _("you have asked for it in your own words")
        OBJECTION = "objection", _("you have objected, until that is decided")
        COOL_DOWN = "cool_down", _("your account is to be erased, and you have time to think")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    person = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    # What it hangs on, where that is another right; it is over when that is answered.
    right = models.ForeignKey(
        RequestedRight, null=True, on_delete=models.SET_NULL, related_name="restrictions"
    )
    ground = models.CharField(_("ground"), max_length=10, choices=Ground)
    restricted_at = models.DateTimeField(_("since"))
    # The person is told before it ends (article 18(3)): then this is when it does.
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True)
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)

    class Meta:
        verbose_name = _("restricted account")
        verbose_name_plural = _("restricted accounts")
        indexes = [
            models.Index(
                fields=["person"],
                condition=models.Q(lifted_at=None),
                name="personrestriction_in_force",
            )
        ]

    def __str__(self) -> str:
        return f"{_('Restriction')} {str(self.id)[:8]}"
