# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that get no mail, figures of what became of mail, and pauses that a person looks at."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Suppression(TenantModel):
    """An address that gets no mail from an organisation, or from one of its domains.

    The address itself goes with the log; a hash that is keyed for the organisation stays, so that
    the wish is obeyed for as long as it lasts.
    """

    class Reason(models.TextChoices):
        HARD_BOUNCE = "hard_bounce", _("the address does not exist")
        COMPLAINT = "complaint", _("the recipient reported mail as unwanted")
        BY_PERSON = "by_person", _("added by you")
        IMPORTED = "imported", _("imported by you")
        OBJECTION = "objection", _("the recipient objected")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    address_hash = models.BinaryField()
    address = models.TextField(_("address"), null=True, blank=True)  # noqa: DJ001 - forgotten
    address_until = models.DateTimeField(null=True, blank=True)
    # Of the sender, as A-label; empty: whichever domain of the organisation's writes.
    domain = models.TextField(_("domain"), blank=True, db_collation="C")
    reason = models.CharField(_("reason"), max_length=15, choices=Reason)
    created_at = models.DateTimeField(_("added"))
    # None: until somebody removes it.
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)
    # How often mail came back for it.
    hits = models.PositiveIntegerField(_("mails that came back"), default=0, db_default=0)

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [
            models.UniqueConstraint(
                name="suppression_once", fields=["organisation", "address_hash", "domain"]
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "created_at", "id"], name="suppression_newest"),
            models.Index(
                fields=["address_until"],
                condition=models.Q(address__isnull=False),
                name="suppression_address_until",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False),
                name="suppression_expires",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Count(TenantModel):
    """How much mail of a domain came in and what became of it, in a span of time; no address.

    Written in the commits of the mail itself. Each process has a part of its own, so that none
    waits for another; the parts are put together later (relay/counting.py).
    """

    class Span(models.IntegerChoices):
        """In minutes."""

        FIVE_MINUTES = 5
        HOUR = 60
        DAY = 1440

    pk = models.CompositePrimaryKey("organisation_id", "span", "starts_at", "domain", "part")
    # Checked for each mail, the constraint would cost more than the figures.
    organisation = models.ForeignKey(
        "accounts.Organisation",
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    span = models.PositiveSmallIntegerField(choices=Span)
    starts_at = models.DateTimeField(_("from"))
    # Of the sender, as QueuedDelivery.domain has it; empty for the sandbox.
    domain = models.TextField(_("domain"), blank=True, db_collation="C")
    part = models.PositiveSmallIntegerField()
    messages = models.PositiveBigIntegerField(_("mails"), default=0, db_default=0)
    octets = models.PositiveBigIntegerField(_("octets"), default=0, db_default=0)
    # The others count deliveries, one for each recipient. `deferred` counts tries that were put
    # off; `returned` and `complained` are told later, of mail that counts as delivered, and
    # `returned_hard` counts those of the former whose address does not exist.
    accepted = models.PositiveBigIntegerField(_("accepted"), default=0, db_default=0)
    delivered = models.PositiveBigIntegerField(_("delivered"), default=0, db_default=0)
    deferred = models.PositiveBigIntegerField(_("put off"), default=0, db_default=0)
    bounced_hard = models.PositiveBigIntegerField(_("no such address"), default=0, db_default=0)
    bounced_soft = models.PositiveBigIntegerField(_("refused"), default=0, db_default=0)
    blocked = models.PositiveBigIntegerField(_("refused by policy"), default=0, db_default=0)
    expired = models.PositiveBigIntegerField(_("given up"), default=0, db_default=0)
    cancelled = models.PositiveBigIntegerField(_("cancelled"), default=0, db_default=0)
    sandboxed = models.PositiveBigIntegerField(_("sandbox"), default=0, db_default=0)
    returned = models.PositiveBigIntegerField(_("came back later"), default=0, db_default=0)
    returned_hard = models.PositiveBigIntegerField(_("no such address"), default=0, db_default=0)
    complained = models.PositiveBigIntegerField(_("reported"), default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} {self.domain}"


class Review(TenantModel):
    """A domain whose mail was stopped because too much of it came back, until a person decides."""

    class Decision(models.TextChoices):
        NONE = "", _("not decided")
        RESUMED = "resumed", _("sending goes on")
        KEPT = "kept", _("sending stays stopped")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    domain = models.TextField(_("domain"), db_collation="C")
    opened_at = models.DateTimeField(_("stopped"))
    # What it was decided on: deliveries that ended, and those of them to no such address.
    done = models.PositiveIntegerField(_("deliveries that ended"))
    hard = models.PositiveIntegerField(_("no such address"))
    asked_at = models.DateTimeField(_("a person was asked for"), null=True, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decision = models.CharField(
        _("decision"), max_length=10, choices=Decision, default=Decision.NONE, blank=True
    )

    class Meta:
        verbose_name = _("pause to be looked at")
        verbose_name_plural = _("pauses to be looked at")
        constraints = [
            models.UniqueConstraint(
                name="review_one_open",
                fields=["organisation", "domain"],
                condition=models.Q(decided_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.domain
