# SPDX-License-Identifier: AGPL-3.0-or-later
"""What two people decide: one asks, another one approves."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class Approval(models.Model):
    """One act on one row that waits for a second person. It says what was decided, not why."""

    class What(models.TextChoices):
        ERASURE = "erasure", _("erasure of an account that was not asked for in the portal")

    class Decision(models.TextChoices):
        NONE = "", _("not decided")
        APPROVED = "approved", _("approved")
        DECLINED = "declined", _("not approved")
        VOID = "void", _("no longer needed")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    what = models.CharField(_("what"), max_length=20, choices=What)
    # The row that the act is about: of an erasure, the requested right.
    subject_id = models.UUIDField(_("about"))
    asked_at = models.DateTimeField(_("asked for"))
    # Empty where the service asked by itself.
    asked_by = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+",
        verbose_name=_("asked by"),
    )  # fmt: skip
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_by = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+",
        verbose_name=_("decided by"),
    )  # fmt: skip
    decision = models.CharField(
        _("decision"), max_length=10, choices=Decision, default=Decision.NONE, blank=True
    )

    class Meta:
        verbose_name = _("approval by a second person")
        verbose_name_plural = _("approvals by a second person")
        constraints = [
            models.UniqueConstraint(
                name="approval_one_open",
                fields=["what", "subject_id"],
                condition=models.Q(decided_at=None),
            ),
            models.CheckConstraint(
                name="approval_by_another_person",
                condition=~models.Q(decision="approved", asked_by=models.F("decided_by")),
            ),
            models.CheckConstraint(
                name="approval_decided_when_it_says_so",
                condition=models.Q(decision="", decided_at=None)
                | (~models.Q(decision="") & models.Q(decided_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_what_display()} {str(self.subject_id)[:8]}"
