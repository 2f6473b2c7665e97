# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Credential(TenantModel):
    """A user name and secret for the submission server; the secret is kept as a keyed hash."""

    class Mode(models.TextChoices):
        """What becomes of the mail; never changed, so a program cannot go live unnoticed."""

        LIVE = "live", _("live")
        SANDBOX = "sandbox", _("sandbox")

    class BlockReason(models.TextChoices):
        NONE = "", _("not blocked")
        BY_PERSON = "by_person", _("blocked by you")
        BY_STAFF = "by_staff", _("blocked by the service")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    username = models.CharField(_("user name"), max_length=40, unique=True)
    secret_hash = models.BinaryField()
    mode = models.CharField(_("mode"), max_length=10, choices=Mode, default=Mode.LIVE)
    rate_per_minute = models.PositiveIntegerField(_("messages a minute"), default=600)
    daily_cap = models.PositiveIntegerField(_("messages a day"), default=50_000)
    # None: no cap of its own beside the one on messages.
    recipients_a_day = models.PositiveIntegerField(_("recipients a day"), null=True, blank=True)
    # In CIDR notation, which the database checks; empty: from anywhere.
    networks = ArrayField(
        models.CharField(max_length=43), verbose_name=_("networks"), default=list, blank=True
    )
    # Whether mail from these networks needs no user name and secret.
    by_network = models.BooleanField(_("sign-in by network"), default=False)
    # A-labels in lower case; empty: every domain the organisation has proven.
    domains = ArrayField(
        models.CharField(max_length=253), verbose_name=_("domains"), default=list, blank=True
    )
    created_at = models.DateTimeField(_("created"))
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    # Apart from the mode, which comes back unchanged when the block ends.
    blocked_at = models.DateTimeField(_("blocked"), null=True, blank=True)
    block_reason = models.CharField(
        _("block reason"), max_length=20, choices=BlockReason, default=BlockReason.NONE, blank=True
    )

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(by_network=True, revoked_at=None),
                name="credential_by_network",
            ),
        ]
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
