# SPDX-License-Identifier: AGPL-3.0-or-later
"""The register of who gets personal data from the operator: hosts and other sub-processors."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from gdpr import eea
from gdpr.registry import Audience

# What a supplier may be taken on for; the customer and the mail's way are in no register.
SERVICES = [
    (Audience.HOSTING.value, _("hosting of the service's machines")),
    (Audience.BACKUP.value, _("keeping of the service's backups")),
    (Audience.MAIL.value, _("carrying of the service's own mails")),
    (Audience.SUPPORT.value, _("maintenance of the service")),
]


class Recipient(models.Model):
    """A supplier that processes personal data for the operator (GDPR article 4(9), 28(2)).

    Rows are ended, never deleted: an agreement of last year still names who was there then.
    """

    class Transfer(models.TextChoices):
        """On what grounds data may go there (GDPR chapter V)."""

        NONE = "none", _("inside the EEA, no transfer")
        ADEQUACY = "adequacy", _("adequacy decision, GDPR article 45")
        CLAUSES = "clauses", _("standard contractual clauses, GDPR article 46(2)(c)")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=200)
    address = models.CharField(_("address"), max_length=300)
    country = models.CharField(_("country"), max_length=2)
    company_number = models.CharField(_("company number"), max_length=40)
    # A desk of the supplier's, never a named person: it is printed in every agreement.
    contact = models.CharField(_("contact for data protection"), max_length=254)
    services = ArrayField(
        models.CharField(max_length=20, choices=SERVICES), verbose_name=_("services")
    )
    transfer = models.CharField(
        _("grounds of transfer"), max_length=10, choices=Transfer, default=Transfer.NONE
    )
    # Whose sub-processor it is, empty for the operator's own: the whole chain is known (EDPB
    # opinion 22/2024).
    engaged_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        verbose_name=_("engaged by"),
    )  # fmt: skip
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("until"), null=True, blank=True)
    contract_on = models.DateField(_("data processing agreement of"))
    # When somebody last looked whether the contract is kept; at first, when it was made.
    reviewed_on = models.DateField(_("last reviewed"))

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients and sub-processors")
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                name="recipient_ends_after_start",
                condition=models.Q(ends_on=None) | models.Q(ends_on__gte=models.F("starts_on")),
            ),
            models.CheckConstraint(
                name="recipient_does_something", condition=~models.Q(services=[])
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self._engages_itself():
            refusal = _("A supplier cannot be engaged by itself, nor by one that it engages.")
            raise ValidationError({"engaged_by": refusal})
        if self.country in eea.COUNTRIES:
            return
        if settings.EEA_ONLY:
            refusal = _("This service keeps personal data inside the EEA (EEA_ONLY).")
            raise ValidationError({"country": refusal})
        if self.transfer == self.Transfer.NONE:
            refusal = _("Outside the EEA, data may only go on stated grounds (GDPR chapter V).")
            raise ValidationError({"transfer": refusal})

    def _engages_itself(self) -> bool:
        above = self.engaged_by
        while above is not None and above.pk != self.pk:
            above = above.engaged_by
        return above is not None

    @property
    def service_labels(self) -> list[str]:
        labels = dict(SERVICES)
        return [str(labels[service]) for service in self.services]

    @property
    def level(self) -> int:
        """Return how far down the chain: 1 for the operator's own."""
        return 1 if self.engaged_by is None else self.engaged_by.level + 1
