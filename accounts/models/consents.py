# SPDX-License-Identifier: AGPL-3.0-or-later
"""Consents of people (GDPR article 7): what to, when, by which words, and when it ended."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class Consent(models.Model):
    """One consent, from the confirmation on. A trigger sees to it that only its end is written."""

    class Purpose(models.TextChoices):
        NEWSLETTER = "newsletter", _("newsletter by e-mail")
        TRACKING = "tracking", _("measuring which newsletters are opened and followed")

    class Channel(models.TextChoices):
        """Where it was given, or ended."""

        SIGN_UP = "sign_up", _("when the account was made")
        PROFILE = "profile", _("on the profile page")
        MAIL = "mail", _("by the link in a mail")
        REQUEST = "request", _("by a request about personal data")
        STAFF = "staff", _("through staff")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(
        "accounts.User", on_delete=models.CASCADE, related_name="consents",
        verbose_name=_("person"),
    )  # fmt: skip
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose)
    # The words that were shown (accounts/wordings.py): version, language, SHA-256 in hex.
    version = models.PositiveSmallIntegerField(_("version of the words"))
    language = models.CharField(_("language"), max_length=2)
    digest = models.CharField(_("digest of the words"), max_length=64)
    given_in = models.CharField(_("given"), max_length=10, choices=Channel)
    given_at = models.DateTimeField(_("given at"))
    confirmed_at = models.DateTimeField(_("confirmed"))
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    withdrawn_in = models.CharField(
        _("withdrawn through"), max_length=10, choices=Channel, blank=True
    )

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        ordering = ("-given_at",)
        constraints = [
            models.UniqueConstraint(
                name="consent_once_in_force",
                fields=["user", "purpose"],
                condition=models.Q(withdrawn_at=None),
            ),
            models.CheckConstraint(
                name="consent_withdrawn_somewhere",
                condition=models.Q(withdrawn_at=None, withdrawn_in="")
                | models.Q(withdrawn_at__isnull=False) & ~models.Q(withdrawn_in=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{_('Consent')} {str(self.id)[:8]}"
