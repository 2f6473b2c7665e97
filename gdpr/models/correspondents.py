# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation does about one address in its own mail: a package of it, and its erasure."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class AddressErasure(TenantModel):
    """An address that an organisation erases from its log. It names nobody once it is done."""

    class Waiting(models.TextChoices):
        """What becomes of mail to the address that has not been delivered."""

        CANCEL = "cancel", _("it is cancelled, and nobody is told")
        RETURN = "return", _("it is given up, and its sender is told that it was not delivered")

    class State(models.TextChoices):
        RUNNING = "running", _("being carried out")
        DONE = "done", _("done")

    class Fault(models.TextChoices):
        """Why a running erasure does not get on; staff are alerted."""

        NONE = "", _("none")
        LEFTOVER = "leftover", _("the scan found something left")
        UNSEARCHED = "unsearched", _("a place could not be searched")
        ERROR = "error", _("a step ended in an error")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    language = models.CharField(_("language"), max_length=2)
    waiting = models.CharField(_("waiting mail"), max_length=10, choices=Waiting)
    # Done again after a restore.
    is_repeat = models.BooleanField(default=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    fault = models.CharField(
        _("fault"), max_length=20, choices=Fault, default=Fault.NONE, blank=True
    )
    # Mail accepted until then is erased; what comes later is new.
    asked_at = models.DateTimeField(_("asked for"))
    due_at = models.DateTimeField(_("due"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    # The step to be taken next, of gdpr.correspondents.steps.
    step = models.CharField(_("step"), max_length=20)
    # Models with counts, and what the scan searched.
    report = models.JSONField(default=dict)
    # Emptied with the last step.
    sealed_address = models.BinaryField(null=True)
    certificate = models.BinaryField(null=True)
    certificate_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("erasure of an address")
        verbose_name_plural = _("erasures of addresses")
        constraints = [
            models.CheckConstraint(
                name="addresserasure_names_nobody_when_done",
                condition=models.Q(
                    state="done", ended_at__isnull=False, sealed_address__isnull=True
                )
                | models.Q(state="running", ended_at__isnull=True, sealed_address__isnull=False),
            )
        ]
        indexes = [
            models.Index(fields=["organisation", "-asked_at"], name="addresserasure_newest"),
            models.Index(
                fields=["due_at"],
                condition=models.Q(ended_at__isnull=True),
                name="addresserasure_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{_('Erasure of an address')} {self.reference}"

    @property
    def reference(self) -> str:
        """What the certificate and people call the erasure by."""
        return str(self.id)[:8]


class AddressPackage(TenantModel):
    """What an organisation has of an address, to be fetched. The row goes with file and key."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    language = models.CharField(_("language"), max_length=2)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    # Whom it is about: an erasure destroys it too.
    sealed_address = models.BinaryField()
    sealed_key = models.BinaryField()
    rows = models.PositiveIntegerField(_("rows"), default=0)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    created_at = models.DateTimeField(_("asked for"))
    # When it is put together, or the next try is.
    due_at = models.DateTimeField(_("due"))
    made_at = models.DateTimeField(_("made"), null=True)
    expires_at = models.DateTimeField(_("destroyed at the latest"), null=True)
    size = models.PositiveBigIntegerField(_("size"), default=0)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("package about an address")
        verbose_name_plural = _("packages about addresses")
        constraints = [
            models.CheckConstraint(
                name="addresspackage_ready_has_an_end",
                condition=~models.Q(state="ready")
                | models.Q(made_at__isnull=False, expires_at__isnull=False),
            )
        ]
        indexes = [
            models.Index(fields=["organisation", "-created_at"], name="addresspackage_newest")
        ]

    def __str__(self) -> str:
        return f"{_('Package about an address')} {self.reference}"

    @property
    def reference(self) -> str:
        return str(self.id)[:8]
