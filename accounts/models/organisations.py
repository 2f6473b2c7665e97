# SPDX-License-Identifier: AGPL-3.0-or-later
"""Organisations (the tenant), who belongs to them, and whether they may send."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel

# RFC 5321, section 4.5.4.1 suggests 4-5 days; 72 hours is the service's documented choice, and a
# customer may choose from hours to five days (relay/smtp/schedule.py holds to the same bounds).
QUEUE_HOURS = 72
QUEUE_HOURS_MIN = 4
QUEUE_HOURS_MAX = 120


class Organisation(models.Model):
    """A customer: the data controller whose mail is carried."""

    class Standing(models.TextChoices):
        GOOD = "good", _("good")
        UNPAID = "unpaid", _("unpaid")
        SUSPENDED = "suspended", _("suspended")
        CLOSING = "closing", _("closing")
        CLOSED = "closed", _("closed")

    # New mail is accepted in good standing alone. Where the agreement ends the refusal is final,
    # elsewhere temporary; and what was accepted before goes on where nothing forbids it.
    ENDING = frozenset({Standing.CLOSING, Standing.CLOSED})
    CARRIED = frozenset({Standing.GOOD, Standing.UNPAID, Standing.CLOSING})

    class SendingReason(models.TextChoices):
        """Why sending is allowed or not; the newest fact wins."""

        NO_AGREEMENT = "no_agreement", _("no agreement in force")
        AGREEMENT = "agreement", _("agreement in force")
        STAFF = "staff", _("decided by staff")
        DEMONSTRATION = "demonstration", _("demonstration")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("company"), max_length=200)
    address = models.CharField(_("address"), max_length=200, blank=True)
    postcode = models.CharField(_("postcode"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=2, default="DK")
    vat_number = models.CharField(_("CVR or VAT number"), max_length=20, blank=True)
    standing = models.CharField(
        _("standing"), max_length=10, choices=Standing, default=Standing.GOOD
    )
    sending_allowed = models.BooleanField(_("may send"), default=False)
    sending_reason = models.CharField(
        _("reason"), max_length=20, choices=SendingReason, default=SendingReason.NO_AGREEMENT
    )
    sending_changed_at = models.DateTimeField(null=True, blank=True)
    second_factor_required = models.BooleanField(_("second factor required"), default=False)
    queue_lifetime_hours = models.PositiveSmallIntegerField(
        _("hours to keep trying"), default=QUEUE_HOURS
    )
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")
        constraints = [
            models.CheckConstraint(
                name="organisation_queue_lifetime",
                condition=models.Q(queue_lifetime_hours__range=(QUEUE_HOURS_MIN, QUEUE_HOURS_MAX)),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def allow_sending(self, reason: SendingReason, now: datetime) -> None:
        """Record that mail may be accepted. The fact is written here; the relay only reads it."""
        self._set_sending(allowed=True, reason=reason, now=now)

    def stop_sending(self, reason: SendingReason, now: datetime) -> None:
        """Record that no more mail is accepted; what was accepted stays in the queue."""
        self._set_sending(allowed=False, reason=reason, now=now)

    def _set_sending(self, *, allowed: bool, reason: SendingReason, now: datetime) -> None:
        self.sending_allowed = allowed
        self.sending_reason = reason
        self.sending_changed_at = now
        self.save(update_fields=["sending_allowed", "sending_reason", "sending_changed_at"])


class OrganisationKey(models.Model):
    """The organisation's key, sealed by an installation key that lives outside the database."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    sealed = models.BinaryField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{_('Key of')} {self.pk}"


class Role(models.TextChoices):
    OWNER = "owner", _("owner")
    ADMIN = "admin", _("administrator")
    DEVELOPER = "developer", _("developer")
    VIEWER = "viewer", _("viewer")
    PRIVACY = "privacy", _("privacy")


# Who looks after the organisation, who may change how its mail is sent, and who may look at it.
KEEPERS = frozenset({Role.OWNER, Role.ADMIN})
BUILDERS = KEEPERS | {Role.DEVELOPER}
READERS = BUILDERS | {Role.VIEWER}


class Membership(TenantModel):
    """A person in an organisation; `approved_at` is empty until an owner has let them in."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role)
    created_at = models.DateTimeField(_("joined"))
    approved_at = models.DateTimeField(_("approved"), null=True, blank=True)
    approved_by = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(
                name="membership_one_per_person", fields=["organisation", "user"]
            )
        ]

    def __str__(self) -> str:
        return f"{_('Membership')} {str(self.id)[:8]}"


class Invitation(TenantModel):
    """An invitation by mail; the token itself is only in the mail."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=10, choices=Role)
    token_hash = models.BinaryField(unique=True)
    invited_by = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(_("sent"))
    expires_at = models.DateTimeField(_("expires"))
    accepted_at = models.DateTimeField(_("accepted"), null=True)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")

    def __str__(self) -> str:
        return f"{_('Invitation')} {str(self.id)[:8]}"
