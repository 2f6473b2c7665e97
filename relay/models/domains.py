# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from uuid import uuid4

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Reverse
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class SendingDomain(TenantModel):
    """A domain an organisation may send from once a TXT record proves that it is theirs.

    `name` is the lower-case A-label. One organisation at a time holds the proof of a name.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("waiting for the record")
        VERIFIED = "verified", _("verified")
        FAILING = "failing", _("record missing")

    class Reason(models.TextChoices):
        NONE = "", _("none")
        NOT_FOUND = "not_found", _("no such record")
        WRONG_VALUE = "wrong_value", _("the record holds another value")
        UNREACHABLE = "unreachable", _("the name servers did not answer")
        TAKEN = "taken", _("another organisation holds the proof of this name")
        DEVELOPMENT = "development", _("development name, not checked")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("domain"), max_length=253)
    token = models.CharField(max_length=64)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    reason = models.CharField(
        _("reason"), max_length=20, choices=Reason, default=Reason.NONE, blank=True
    )
    created_at = models.DateTimeField(_("added"))
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    verified_at = models.DateTimeField(_("verified"), null=True, blank=True)

    class Meta:
        verbose_name = _("sending domain")
        verbose_name_plural = _("sending domains")
        constraints = [
            models.UniqueConstraint(
                name="sendingdomain_once_per_organisation", fields=["organisation", "name"]
            ),
            # Held by who proved it: a name alone tells another tenant nothing.
            models.UniqueConstraint(
                name="sendingdomain_one_owner",
                fields=["name"],
                condition=models.Q(state__in=["verified", "failing"]),
            ),
        ]

        indexes = [
            # From the right, so that the names below a name lie together.
            models.Index(
                OpClass(Reverse("name"), name="text_pattern_ops"), name="sendingdomain_reversed"
            ),
        ]

    def __str__(self) -> str:
        return self.name
