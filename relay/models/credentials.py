# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Credential(TenantModel):
    """A user name and secret for the submission server; the secret is kept as a keyed hash."""

    class Mode(models.TextChoices):
        """What becomes of the mail; never changed, so a program cannot go live unnoticed."""

        LIVE = "live", _("live")
        SANDBOX = "sandbox", _("sandbox")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    username = models.CharField(_("user name"), max_length=40, unique=True)
    secret_hash = models.BinaryField()
    mode = models.CharField(_("mode"), max_length=10, choices=Mode, default=Mode.LIVE)
    rate_per_minute = models.PositiveIntegerField(_("messages a minute"), default=600)
    daily_cap = models.PositiveIntegerField(_("messages a day"), default=50_000)
    created_at = models.DateTimeField(_("created"))
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        constraints = [
            # A revoked one keeps its name in the log, and the name is free again.
            models.UniqueConstraint(
                name="credential_one_in_use_per_name",
                fields=["organisation", "name"],
                condition=models.Q(revoked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.name
