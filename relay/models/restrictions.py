# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses whose data are kept and not used (GDPR article 18)."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel

# How long it can be shown that a restriction was obeyed, and that the person was told of its end.
RESTRICTION_DAYS = 365


class Restriction(TenantModel):
    """An address at one organisation: no mail to it or from it, and nothing of it is read.

    The policies of migration 0012 keep its rows of the log from the portal, so that no query has
    to remember it. The address itself goes with the log, when nothing is left to keep back; a hash
    that is keyed for the organisation stays, by which its mail is refused.
    """

    class Ground(models.TextChoices):
        """Why a person may ask for it (article 18(1)(a) to (d))."""

        ACCURACY = "accuracy", _("the person says that the data are wrong")
        UNLAWFUL = "unlawful", _("the use is unlawful, and the person wants no erasure")
        CLAIMS = "claims", _("the person needs the data for a legal claim")
        OBJECTION = "objection", _("the person objected, and that is being looked at")

    class Origin(models.TextChoices):
        ORGANISATION = "organisation", _("somebody in the organisation")
        REQUEST = "request", _("a request that was forwarded to you")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    address_hash = models.BinaryField()
    address = models.TextField(_("address"), null=True, blank=True)  # noqa: DJ001 - forgotten
    # As the log may have it: the domain with and without its A-labels.
    spellings = ArrayField(models.TextField(), null=True, blank=True)
    address_until = models.DateTimeField(null=True, blank=True)
    ground = models.CharField(_("why"), max_length=10, choices=Ground)
    origin = models.CharField(_("by"), max_length=15, choices=Origin, default=Origin.ORGANISATION)
    restricted_at = models.DateTimeField(_("since"))
    # When the person was told that it ends, which comes before the end (article 18(3)).
    told_on = models.DateField(_("the person was told"), null=True, blank=True)
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)

    class Meta:
        verbose_name = _("restriction")
        verbose_name_plural = _("restrictions")
        constraints = [
            models.UniqueConstraint(
                name="restriction_one_in_force",
                fields=["organisation", "address_hash"],
                condition=models.Q(lifted_at=None),
            ),
            models.CheckConstraint(
                name="restriction_told_before_lifted",
                condition=models.Q(lifted_at=None) | models.Q(told_on__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["address_until"],
                condition=models.Q(address__isnull=False),
                name="restriction_address_until",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
