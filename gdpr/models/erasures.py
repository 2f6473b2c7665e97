# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasures of people: how far each has come, what it keeps to the end, and the ledger."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr.registry import Law

# The names of steps that erase a table's rows begin so, and end with its model.
ROWS = "rows:"


class Erasure(models.Model):
    """One person's erasure. It names nobody once it is done: the certificate is for who has it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("can still be cancelled")
        CANCELLED = "cancelled", _("cancelled")
        RUNNING = "running", _("being carried out")
        DONE = "done", _("done")

    class Fault(models.TextChoices):
        """Why a running erasure does not get on; staff are alerted."""

        NONE = "", _("none")
        LAST_OWNER = "last_owner", _("an organisation would be left without an owner")
        LEFTOVER = "leftover", _("the scan found something left")
        UNSEARCHED = "unsearched", _("a place could not be searched")
        ERROR = "error", _("a step ended in an error")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Empty when a backup was restored that is older than the request, and when the request is
    # forgotten before the last row that the erasure has to hold is gone.
    right = models.OneToOneField(
        "gdpr.RequestedRight", null=True, on_delete=models.SET_NULL, related_name="erasure"
    )
    # Done again after a restore: the person has had their mail.
    is_repeat = models.BooleanField(default=False)
    language = models.CharField(_("language"), max_length=2)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    fault = models.CharField(
        _("fault"), max_length=20, choices=Fault, default=Fault.NONE, blank=True
    )
    asked_at = models.DateTimeField(_("asked for"))
    # When the cool-down ends; later, when the next try is.
    due_at = models.DateTimeField(_("due"), db_index=True)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    # When nothing of it was left: as it ended, or when the last row that it held went later.
    completed_at = models.DateTimeField(_("completed"), null=True)
    # What the plan kept and what the scan searched: models, counts, articles and dates.
    report = models.JSONField(default=dict)
    certificate = models.BinaryField(null=True)
    certificate_digest = models.CharField(max_length=64, blank=True)
    # The second certificate, once what the first one lists as kept is gone.
    completion = models.BinaryField(null=True)
    completion_digest = models.CharField(max_length=64, blank=True)
    # Of the link in the last mail, which is all that leads here from outside.
    token_hash = models.BinaryField(null=True)

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints = [
            models.CheckConstraint(
                name="erasure_ended_when_final",
                condition=models.Q(state__in=["cancelled", "done"], ended_at__isnull=False)
                | models.Q(state__in=["waiting", "running"], ended_at__isnull=True),
            ),
            models.CheckConstraint(
                name="erasure_completed_after_its_end",
                condition=models.Q(completed_at=None)
                | models.Q(completed_at__gte=models.F("ended_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{_('Erasure')} {self.reference}"

    @property
    def reference(self) -> str:
        """What the certificate and staff call the erasure by."""
        return str(self.id)[:8]


class ErasureSubject(models.Model):
    """Whom a running erasure is about, sealed; the row goes with the erasure's last step."""

    erasure = models.OneToOneField(
        Erasure, primary_key=True, on_delete=models.CASCADE, related_name="subject"
    )
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return f"{_('Subject')} {str(self.pk)[:8]}"


class ErasureStep(models.Model):
    """One step of an erasure; what it did and that it is done are one commit."""

    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(_("position"))
    name = models.CharField(_("step"), max_length=80)
    done_at = models.DateTimeField(_("done"), null=True)
    removed = models.PositiveIntegerField(_("rows deleted"), default=0)
    changed = models.PositiveIntegerField(_("rows anonymised"), default=0)

    class Meta:
        ordering = ("position",)
        constraints = [
            models.UniqueConstraint(name="erasurestep_once", fields=["erasure", "position"])
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.position}"


class HeldRow(models.Model):
    """A row that an erasure had to leave; it goes when the law that holds it no longer does."""

    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="held")
    model = models.CharField(_("table"), max_length=80)
    # The primary key as text.
    key = models.CharField(max_length=80)
    law = models.CharField(_("by which law"), max_length=20, choices=Law)
    # The last day on which it is kept; empty while the law's time has not begun.
    until_on = models.DateField(_("kept until"), null=True)
    done_at = models.DateTimeField(_("done"), null=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(name="heldrow_once", fields=["erasure", "model", "key"])
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.pk}"


class LedgerEntry(models.Model):
    """That somebody was erased, as a keyed hash; see gdpr/ledger.py. One of nobody has none."""

    erasure_id = models.UUIDField(primary_key=True)
    person_digest = models.BinaryField()
    # Of an address that this organisation erased from its log; no foreign key: it may be gone.
    of_organisation = models.UUIDField(null=True)
    address_digest = models.BinaryField(default=b"", db_default=b"")
    entered_at = models.DateTimeField()
    until_on = models.DateField()

    def __str__(self) -> str:
        return str(self.erasure_id)[:8]
