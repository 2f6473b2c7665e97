# SPDX-License-Identifier: AGPL-3.0-or-later
"""Agreements: what was offered, by whom it was signed, the very bytes, and what happened to them.

Bytes and events are only ever added: no runtime role may change a row of theirs.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class OfferedText(models.Model):
    """A version of the text that somebody has been offered: from then on it must not change."""

    language = models.CharField(max_length=2)
    version = models.CharField(max_length=10)
    digest = models.CharField(max_length=64)
    offered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="offeredtext_once", fields=["language", "version"])
        ]

    def __str__(self) -> str:
        return f"{self.language} {self.version}"


class Agreement(TenantModel):
    """One version of an organisation's agreement, filled with what was true when it was issued.

    At most one is in force and at most one awaits a signature; a version is never overwritten.
    """

    class State(models.TextChoices):
        OFFERED = "offered", _("ready to be signed")
        SIGNED = "signed", _("signed by the customer")
        IN_FORCE = "in_force", _("in force")
        SUPERSEDED = "superseded", _("replaced by a later version")
        WITHDRAWN = "withdrawn", _("withdrawn")
        ENDED = "ended", _("ended")

    OPEN = (State.OFFERED, State.SIGNED)

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    number = models.PositiveIntegerField(_("number"))
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.OFFERED)
    text_language = models.CharField(max_length=2)
    text_version = models.CharField(_("version of the text"), max_length=10)
    # What the PDF carries as embedded JSON (dpa/schema/agreement-1.json).
    facts = models.JSONField()
    # Person and position as the document names them; the person may go, the document stays.
    signatory = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    signatory_name = models.CharField(_("signatory"), max_length=201)
    signatory_title = models.CharField(_("position"), max_length=100, blank=True)
    # The owner whom the document says to write to, where that is not who signs.
    contact = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    offered_at = models.DateTimeField(_("issued"))
    signed_at = models.DateTimeField(_("signed by the customer"), null=True)
    # Set by staff where AGREEMENT_COUNTERSIGNING leaves the seal to them.
    released_at = models.DateTimeField(_("let through by staff"), null=True)
    # Set by staff; the worker then closes the version.
    refused_at = models.DateTimeField(_("refused by staff"), null=True)
    in_force_at = models.DateTimeField(_("in force since"), null=True)
    # When it was replaced, withdrawn or ended; how long it is kept counts from here.
    closed_at = models.DateTimeField(_("closed"), null=True)

    class Meta:
        verbose_name = _("agreement")
        verbose_name_plural = _("agreements")
        constraints = [
            models.UniqueConstraint(name="agreement_number", fields=["organisation", "number"]),
            models.UniqueConstraint(
                name="agreement_one_in_force",
                fields=["organisation"],
                condition=models.Q(state="in_force"),
            ),
            models.UniqueConstraint(
                name="agreement_one_open",
                fields=["organisation"],
                condition=models.Q(state__in=["offered", "signed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{_('Agreement')} {self.number}"

    def latest_document(self) -> Document:
        """Return the bytes after the last signature; an agreement is stored together with some."""
        return self.documents.latest("id")


class Document(TenantModel):
    """The bytes of an agreement as they left the press, and after each signature."""

    class Kind(models.TextChoices):
        OFFERED = "offered", _("as offered")
        SIGNED = "signed", _("signed by the customer")
        COMPLETE = "complete", _("signed by both parties")

    agreement = models.ForeignKey(Agreement, on_delete=models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=10, choices=Kind)
    content = models.BinaryField()
    sha256 = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="document_once", fields=["agreement", "kind"]),
            models.UniqueConstraint(name="document_sha256", fields=["sha256"]),
        ]

    def __str__(self) -> str:
        return f"{self.agreement_id} {self.kind}"


class AgreementEvent(TenantModel):
    """What happened to an agreement and on what evidence: hashes and names of things, no values.

    `digest` covers `previous_digest` and every other column (dpa/lineage.py).
    """

    class Act(models.TextChoices):
        OFFERED = "offered", _("issued")
        SIGNED = "signed", _("signed by the customer")
        SEALED = "sealed", _("sealed by the service")
        SUPERSEDED = "superseded", _("replaced by a later version")
        WITHDRAWN = "withdrawn", _("withdrawn before both had signed")
        REFUSED = "refused", _("not sealed by the service")
        ENDED = "ended", _("ended with the organisation's account")

    agreement = models.ForeignKey(Agreement, on_delete=models.CASCADE, related_name="events")
    sequence = models.PositiveIntegerField()
    at = models.DateTimeField()
    act = models.CharField(max_length=12, choices=Act)
    evidence = ArrayField(models.CharField(max_length=200))
    previous_digest = models.BinaryField()
    digest = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="agreementevent_sequence", fields=["agreement", "sequence"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.agreement_id} {self.sequence}"


class Signatory(TenantModel):
    """A member who may sign for the organisation because an owner has said so."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    membership = models.OneToOneField(
        "accounts.Membership", on_delete=models.CASCADE, related_name="+"
    )
    named_at = models.DateTimeField(_("named"))

    class Meta:
        verbose_name = _("signatory")
        verbose_name_plural = _("signatories")

    def __str__(self) -> str:
        return f"{_('Signatory')} {str(self.id)[:8]}"
