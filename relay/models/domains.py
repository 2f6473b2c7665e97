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
    # The label below the name that failures are returned to, and how often the records were asked
    # for while they were missing.
    return_path = models.CharField(max_length=63, default="bounce", db_default="bounce")
    checks = models.PositiveSmallIntegerField(default=0, db_default=0)

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


class DkimKey(TenantModel):
    """A key pair that signs for a domain (RFC 6376): what is published of it, and since when.

    Without a date it waits for its record; its selector is never used again.
    """

    class Algorithm(models.TextChoices):
        RSA = "rsa", "RSA-2048"
        ED25519 = "ed25519", "Ed25519"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    domain = models.ForeignKey(
        SendingDomain, on_delete=models.CASCADE, related_name="keys", verbose_name=_("domain")
    )
    selector = models.CharField(_("selector"), max_length=63)
    algorithm = models.CharField(_("algorithm"), max_length=10, choices=Algorithm)
    # Base64, as the record's p= has it.
    public = models.TextField(_("public key"))
    created_at = models.DateTimeField(_("made"))
    # When its record was seen first; two looks make it sign.
    seen_at = models.DateTimeField(_("seen first"), null=True, blank=True)
    signs_since = models.DateTimeField(_("signs since"), null=True, blank=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)

    class Meta:
        verbose_name = _("DKIM key")
        verbose_name_plural = _("DKIM keys")
        constraints = [
            models.UniqueConstraint(name="dkimkey_selector", fields=["domain", "selector"]),
            models.UniqueConstraint(
                name="dkimkey_one_signs",
                fields=["domain", "algorithm"],
                condition=models.Q(signs_since__isnull=False, retired_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.selector


class DkimSecret(TenantModel):
    """The private half, sealed: the portal writes it and cannot read it."""

    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.CASCADE, db_index=False, related_name="+"
    )
    # The database's own cascade: whoever removes a key may not read these rows.
    key = models.OneToOneField(
        DkimKey,
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return str(self.key_id)


class DomainRecord(TenantModel):
    """What DNS said about one record that a domain should have."""

    class Kind(models.TextChoices):
        RETURN_PATH = "return_path", _("return path")
        SPF = "spf", "SPF"
        DKIM = "dkim", "DKIM"
        DMARC = "dmarc", "DMARC"

    class State(models.TextChoices):
        UNCHECKED = "unchecked", _("not looked for yet")
        FOUND = "found", _("found")
        MISSING = "missing", _("no such record")
        WRONG = "wrong", _("the record holds another value")
        SEVERAL = "several", _("several records where one may be")
        UNREACHABLE = "unreachable", _("the name servers did not answer")
        WEAK = "weak", _("found, but it protects nothing")

    id = models.BigAutoField(primary_key=True)
    domain = models.ForeignKey(SendingDomain, on_delete=models.CASCADE, related_name="records")
    kind = models.CharField(_("record"), max_length=15, choices=Kind)
    # None but for DKIM.
    key = models.ForeignKey(
        DkimKey, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.UNCHECKED)
    # What stood there instead, cut.
    seen = models.CharField(_("seen"), max_length=300, blank=True)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    found_at = models.DateTimeField(_("found"), null=True, blank=True)

    class Meta:
        verbose_name = _("record of a domain")
        verbose_name_plural = _("records of domains")
        constraints = [
            models.UniqueConstraint(
                name="domainrecord_once", fields=["domain", "kind", "key"], nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return self.kind
