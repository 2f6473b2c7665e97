# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit trail: hash chains that only the SQL function `accounts_audit_append` extends."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantQuerySet


class AuditChain(models.Model):
    """The head of one organisation's chain, or of the installation's (no organisation)."""

    organisation = models.OneToOneField(
        "accounts.Organisation", null=True, on_delete=models.CASCADE, related_name="+"
    )
    head_sequence = models.BigIntegerField(default=0)
    head_digest = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="auditchain_one_installation",
                fields=["organisation"],
                condition=models.Q(organisation=None),
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{_('Audit chain')} {self.pk}"


class AuditActor(models.Model):
    """Maps the random actor id in the chain to a person; erasing this row anonymises the chain."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organisation = models.ForeignKey(
        "accounts.Organisation", null=True, on_delete=models.CASCADE, related_name="+"
    )
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="auditactor_one_per_person",
                fields=["organisation", "user"],
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{_('Actor')} {str(self.id)[:8]}"


class AuditEvent(models.Model):
    """Who did what to which row: ids and field names, never values, addresses or free text."""

    organisation = models.ForeignKey(
        "accounts.Organisation", null=True, on_delete=models.CASCADE, related_name="+"
    )
    sequence = models.BigIntegerField()
    at = models.DateTimeField(_("time"))
    actor_id = models.UUIDField(_("actor"), null=True)
    action = models.CharField(_("action"), max_length=60)
    target_type = models.CharField(_("kind"), max_length=60)
    target_id = models.CharField(_("target"), max_length=60)
    fields = ArrayField(models.CharField(max_length=60), verbose_name=_("fields"))
    previous_digest = models.BinaryField()
    digest = models.BinaryField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        constraints = [
            models.UniqueConstraint(
                name="auditevent_sequence",
                fields=["organisation", "sequence"],
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(fields=["organisation", "-at"], name="auditevent_newest"),
            # What a person did, and what was done to them, in every chain (GDPR article 15).
            models.Index(fields=["actor_id"], name="auditevent_by_actor"),
            models.Index(fields=["target_type", "target_id"], name="auditevent_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.sequence}"


class AuditCheckpoint(models.Model):
    """Stands for events that have expired: where the chain went on, signed."""

    organisation = models.ForeignKey(
        "accounts.Organisation", null=True, on_delete=models.CASCADE, related_name="+"
    )
    sequence = models.BigIntegerField()
    digest = models.BinaryField()
    signature = models.BinaryField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{_('Checkpoint')} {self.sequence}"
