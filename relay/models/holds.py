# SPDX-License-Identifier: AGPL-3.0-or-later
"""What keeps waiting mail back as a set: one row, however much mail it is about."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from relay.models.messages import QueuedDelivery


class Hold(TenantModel):
    """Mail that no claim takes: one message, to or from a domain, or all of an organisation's.

    It expires all the same.
    """

    class Reason(models.TextChoices):
        """Words as those of waiting mail."""

        HELD = "held", QueuedDelivery.Reason.HELD.label
        OVER_QUOTA = "over_quota", QueuedDelivery.Reason.OVER_QUOTA.label
        PACED = "paced", QueuedDelivery.Reason.PACED.label
        BOUNCES = "bounces", QueuedDelivery.Reason.BOUNCES.label
        RESTING = "resting", QueuedDelivery.Reason.RESTING.label

    id = models.BigAutoField(primary_key=True)
    # One of the two, or neither for all mail. The domain is that of QueuedDelivery; what follows
    # an at-sign is where mail goes, as RecipientDomain (relay/scopes.py) has it: all mail, or
    # that of the domain in front of it (`from.example @to.example`; no address has a space).
    message_id = models.UUIDField(null=True, blank=True)
    domain = models.TextField(_("domain"), null=True, blank=True)  # noqa: DJ001 - empty is one
    reason = models.CharField(_("reason"), max_length=20, choices=Reason, default=Reason.HELD)
    held_at = models.DateTimeField(_("held"))
    # None: until somebody releases it.
    ends_at = models.DateTimeField(_("released by itself"), null=True, blank=True)

    class Meta:
        verbose_name = _("mail held back")
        verbose_name_plural = _("mail held back")
        constraints = [
            models.UniqueConstraint(
                name="hold_once",
                fields=["organisation", "domain", "message_id", "reason"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="hold_of_one_scope",
                condition=models.Q(message_id=None) | models.Q(domain=None),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Quota(TenantModel):
    """How much of an organisation's mail leaves; what is above it waits in the queue."""

    organisation = models.OneToOneField(
        "accounts.Organisation", primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    # None: as much as comes.
    messages_an_hour = models.PositiveIntegerField(_("messages an hour"), null=True, blank=True)
    messages_a_day = models.PositiveIntegerField(_("messages a day"), null=True, blank=True)

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")

    def __str__(self) -> str:
        return str(self.organisation_id)
