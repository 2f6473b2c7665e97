# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the log has beside who wrote to whom: late reports, ends, headers, and how much is kept."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from relay.models.messages import LOG_DAYS, Delivery, LogRow


class Report(LogRow):
    """What was told of a delivery after its mail had left: by a returned mail, or a provider."""

    class Source(models.TextChoices):
        BOUNCE = "bounce", _("a returned mail")
        ESP = "esp", _("the mail provider")

    class Kind(models.TextChoices):
        FAILED = "failed", _("not delivered")
        DELAYED = "delayed", _("delayed")
        DELIVERED = "delivered", _("delivered")
        COMPLAINED = "complained", _("reported as unwanted")

    pk = models.CompositePrimaryKey("accepted_at", "message_id", "position", "number")
    message_id = models.UUIDField()
    position = models.PositiveSmallIntegerField()
    number = models.PositiveSmallIntegerField()
    received_at = models.DateTimeField(_("received"))
    source = models.CharField(max_length=10, choices=Source)
    kind = models.CharField(max_length=12, choices=Kind)
    # Words of relay.smtp.replies.
    scope = models.CharField(max_length=15, blank=True)
    is_hard = models.BooleanField(default=False)
    code = models.PositiveSmallIntegerField(default=0)
    enhanced = models.CharField(max_length=12, blank=True)
    # The far end's words with every address masked.
    reply = models.TextField(blank=True)

    class Meta:
        verbose_name = _("late report")
        verbose_name_plural = _("late reports")

    def __str__(self) -> str:
        return f"{self.message_id} {self.position} {self.number}"


class Ending(LogRow):
    """A delivery that ended otherwise than delivered, once more: few, and so found at once."""

    pk = models.CompositePrimaryKey("accepted_at", "message_id", "position")
    message_id = models.UUIDField()
    position = models.PositiveSmallIntegerField()
    state = models.CharField(_("state"), max_length=10, choices=Delivery.State)

    class Meta:
        indexes = [
            models.Index(
                fields=["organisation", "state", "accepted_at", "message_id"], name="ending_state"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} {self.position}"


class MessageHeader(LogRow):
    """A mail's header as it came, without hidden recipients, where its profile keeps it."""

    pk = models.CompositePrimaryKey("accepted_at", "message_id")
    message_id = models.UUIDField()
    header = models.TextField()

    def __str__(self) -> str:
        return str(self.message_id)


class LogChoice(TenantModel):
    """How much of its mail an organisation has logged, and how long; without a row the least."""

    class Profile(models.TextChoices):
        """Each holds what the ones before it hold."""

        MINIMAL = "minimal", _("sender, recipients, times and results")
        SUBJECT = "subject", _("subject and recipients' names as well")
        HEADERS = "headers", _("the whole header as well")

    organisation = models.OneToOneField(
        "accounts.Organisation", primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    profile = models.CharField(_("kept"), max_length=10, choices=Profile, default=Profile.MINIMAL)
    days = models.PositiveSmallIntegerField(_("days"), default=LOG_DAYS)
    changed_at = models.DateTimeField(_("changed"))

    class Meta:
        verbose_name = _("choice of what is logged")
        verbose_name_plural = _("choices of what is logged")
        constraints = [
            models.CheckConstraint(
                name="logchoice_within_the_period",
                condition=models.Q(days__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return self.profile
