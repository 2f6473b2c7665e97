# SPDX-License-Identifier: AGPL-3.0-or-later
"""What somebody asks by the public form, and what is passed on of it to each customer concerned."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from gdpr.models.requests import STAGES, Right

# What nobody proves goes after so long.
ENQUIRY_KEPT_DAYS = 7
# The customer's evidence of what it was asked and when it answered: as long as its audit trail.
FORWARDED_KEPT_DAYS = 396


class Enquiry(models.Model):
    """A request of somebody who is not known: sealed, until the address is proven and it is
    passed on. The portal adds rows and reads none.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Of gdpr.enquiries.asking.Asked; NULL once it has been passed on.
    sealed = models.BinaryField(null=True)
    # By what the mails to an address are counted; from the first of them on.
    address_hash = models.BinaryField(null=True)
    received_at = models.DateTimeField(_("received"))
    mailed_at = models.DateTimeField(null=True)
    proven_at = models.DateTimeField(null=True)
    # When the worker takes the next step: the mail with the link, or the answer.
    due_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    forwarded_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("enquiry")
        verbose_name_plural = _("enquiries")
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(forwarded_at=None),
                name="enquiry_due",
            ),
            models.Index(fields=["address_hash", "mailed_at"], name="enquiry_mailed"),
        ]

    def __str__(self) -> str:
        return f"{_('Enquiry')} {str(self.id)[:8]}"


class ForwardedRequest(TenantModel):
    """A person's request to an organisation, which answers it: here stands what it says of that."""

    class State(models.TextChoices):
        NEW = "new", _("new")
        TAKEN = "taken", _("taken up")
        ANSWERED = "answered", _("answered")
        REFUSED = "refused", _("refused")
        NOT_OURS = "not_ours", _("not about us")

    FINAL = frozenset({State.ANSWERED, State.REFUSED, State.NOT_OURS})

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # What the person calls it by; the enquiry itself is soon gone.
    enquiry_id = models.UUIDField()
    rights = ArrayField(models.CharField(max_length=20, choices=Right), verbose_name=_("rights"))
    language = models.CharField(_("language"), max_length=2)
    # Address and words, sealed for the organisation; by the hash the address is found again.
    sealed = models.BinaryField()
    address_hash = models.BinaryField()
    received_at = models.DateTimeField(_("received"))
    forwarded_at = models.DateTimeField(_("passed on"))
    promised_on = models.DateField(_("promised"))
    due_on = models.DateField(_("limit of the law"))
    extended_at = models.DateTimeField(_("extended"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.NEW)
    reason = models.TextField(_("reasons"), blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    # The last stage of the clock that the organisation has been told of.
    escalated = models.CharField(_("escalated"), max_length=10, choices=STAGES, blank=True)

    class Meta:
        verbose_name = _("request passed on")
        verbose_name_plural = _("requests passed on")
        constraints = [
            models.UniqueConstraint(
                name="forwardedrequest_once", fields=["organisation", "enquiry_id"]
            ),
            models.CheckConstraint(
                name="forwardedrequest_closed_when_final",
                condition=models.Q(
                    state__in=["answered", "refused", "not_ours"], closed_at__isnull=False
                )
                | models.Q(state__in=["new", "taken"], closed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="forwardedrequest_no_without_reasons",
                condition=~models.Q(state="refused", reason=""),
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-received_at"], name="forwardedrequest_newest"),
            models.Index(fields=["organisation", "address_hash"], name="forwardedrequest_address"),
            models.Index(
                fields=["promised_on"],
                condition=models.Q(closed_at=None),
                name="forwardedrequest_open",
            ),
            models.Index(fields=["received_at"], name="forwardedrequest_received"),
        ]

    def __str__(self) -> str:
        return f"{_('Request passed on')} {self.reference}"

    @property
    def reference(self) -> str:
        """What the person and the organisation call it by."""
        return str(self.enquiry_id)[:8]

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def right_labels(self) -> list[str]:
        return [str(Right(right).label) for right in self.rights]
