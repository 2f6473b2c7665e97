# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who else was told that data were corrected, restricted or erased (GDPR article 19)."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _


class Notice(models.Model):
    """One recipient to be told of one change of one person's data; the row is the evidence.

    A row knows the person as long as the account lasts, so that they can be told who was told.
    """

    class Change(models.TextChoices):
        RECTIFIED = "rectified", _("corrected")
        RESTRICTED = "restricted", _("restricted")
        RELEASED = "released", _("restricted no more")
        ERASED = "erased", _("erased")

    class State(models.TextChoices):
        OPEN = "open", _("to be told")
        TOLD = "told", _("told")
        # The one exception of article 19: impossible, or an effort beyond all proportion.
        IMPOSSIBLE = "impossible", _("cannot be told")

    class By(models.TextChoices):
        MAIL = "mail", _("mail")
        STAFF = "staff", _("staff")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    person = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    recipient = models.ForeignKey("gdpr.Recipient", on_delete=models.PROTECT, related_name="+")
    change = models.CharField(_("what happened"), max_length=10, choices=Change)
    # The request, restriction or erasure that it follows from: each is told once.
    cause_id = models.UUIDField()
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    by = models.CharField(_("told by"), max_length=5, choices=By, blank=True)
    opened_at = models.DateTimeField(_("since"))
    closed_at = models.DateTimeField(_("told"), null=True, blank=True)

    class Meta:
        verbose_name = _("notice to a recipient")
        verbose_name_plural = _("notices to recipients")
        constraints = [
            models.UniqueConstraint(name="notice_once", fields=["change", "cause_id", "recipient"]),
            models.CheckConstraint(
                name="notice_closed_when_final",
                condition=models.Q(state="open", closed_at=None)
                | models.Q(state__in=["told", "impossible"], closed_at__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["person", "-opened_at"], name="notice_of_person")]

    def __str__(self) -> str:
        return f"{_('Notice')} {self.reference}"

    @property
    def reference(self) -> str:
        """What the recipient and staff call the notice by."""
        return str(self.id)[:8]
