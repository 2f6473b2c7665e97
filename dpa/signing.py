# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing: the customer's person first, with a key for this one act, then the operator's seal.

Setting a signature takes a second or two, so it happens between two transactions: what was read in
the first is looked at again in the second, under a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit, standing
from accounts.models import Membership, Organisation, Role
from accounts.refusals import Refused
from dpa import emails, lineage, offering, texts
from dpa.models import Agreement, AgreementEvent, Document
from dpa.press import CONTROLLER, PROCESSOR
from gdpr import seals
from gdpr.documents import BoundedError
from gdpr.seals import SealKeysError, Subject

logger = logging.getLogger(__name__)

AUTOMATIC = "automatic"
UNSEALED = "agreement-unsealed"  # the alert's kind; its subject is the agreement's id
# What the signatures say they are for, in the language of the text.
APPROVED = {"da": "Godkendelse af databehandleraftalen", "en": "Approval of the agreement"}
SEALED = {"da": "Databehandlerens underskrift", "en": "The processor's signature"}

State = Agreement.State
Act = AgreementEvent.Act
Kind = Document.Kind


class OtherDocument(Refused):
    text: Promise = _("This is not the document that you saw. Nothing is signed; read it again.")


class OtherSignatory(Refused):
    text: Promise = _("This version was made for somebody else to sign. Make one of your own.")


class NotNow(Refused):
    text: Promise = _("The document could not be made just now. Nothing has changed; try again.")


class AlreadySigned(Refused):
    text: Promise = _("This version is signed already.")


class OutOfDate(Refused):
    text: Promise = _("Something in the agreement has changed since it was issued. Issue it anew.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a person declares by signing: which document they saw, on which terms, how proven.

    `authenticated` is "second-factor" or "password": what the step-up asked for.
    """

    document: str  # sha256 in hex, as the page showed it and the person's browser posted it
    language: str  # of the signing terms that were accepted
    authenticated: str

    @property
    def evidence(self) -> tuple[str, ...]:
        digest = texts.signing_digest(self.language)
        return (
            f"seen:{self.document}",
            f"terms:{self.language}/{texts.SIGNING_TERMS}/{digest}",
            "authority:stated",
            f"authenticated:{self.authenticated}",
        )


def demand_signable(row: Agreement, *, by: Membership) -> None:
    """Raises refusals.NotAllowed, offering.Ending, offering.Incomplete, AlreadySigned,
    OtherSignatory.
    """
    offering.demand_possible(by)
    _demand_open(row)
    if row.signatory_id != by.user_id:
        raise OtherSignatory


def content_to_sign(
    row: Agreement, declaration: Declaration, *, by: Membership, now: datetime
) -> bytes:
    """Return the bytes that this person may sign. Runs in the tenant's context.

    Raises OtherDocument, OutOfDate, and what `demand_signable` raises.
    """
    demand_signable(row, by=by)
    document = row.documents.get(kind=Kind.OFFERED)
    digest = sha256(document.content).digest()
    seen = bytes.fromhex(declaration.document)
    if not (compare_digest(digest, seen) and compare_digest(digest, bytes(document.sha256))):
        raise OtherDocument
    if offering.reusable(by, offering.draft(by, now)) is None:
        raise OutOfDate
    return bytes(document.content)


def set_signature(row: Agreement, content: bytes, now: datetime) -> bytes:
    """Return the document with the person's signature; needs no database. Raises NotNow."""
    subject = Subject(row.signatory_name, row.facts["controller"]["name"], row.signatory_title)
    with unless_the_press_stands():
        return seals.sign_as_person(
            content,
            field=CONTROLLER,
            subject=subject,
            reason=APPROVED[row.text_language],
            language=row.text_language,
            now=now,
        )


@contextmanager
def unless_the_press_stands() -> Iterator[None]:
    """Turn what can go wrong while a document is set or signed into NotNow, and log it."""
    try:
        yield
    except (SealKeysError, BoundedError) as problem:
        logger.error("an agreement could not be made: %s", problem)
        raise NotNow from problem


def record_signature(
    agreement_id: UUID,
    signed: bytes,
    declaration: Declaration,
    *,
    by: Membership,
    now: datetime,
) -> Agreement:
    """Store the signed bytes with their evidence. Runs in the tenant's context.

    Raises AlreadySigned when the version was signed or withdrawn meanwhile.
    """
    with transaction.atomic():
        row = Agreement.objects.select_for_update().get(pk=agreement_id)
        _demand_open(row)
        offering.store_document(row, Kind.SIGNED, signed, now)
        row.state, row.signed_at = State.SIGNED, now
        row.save(update_fields=["state", "signed_at"])
        lineage.note(row, Act.SIGNED, now, (*declaration.evidence, _document(signed)))
        audit.record(by.user, "agreement.signed", row, ["state"])
    return row


def countersign(now: datetime) -> int:
    """Seal every agreement that a customer has signed; return how many. Role `duty`.

    One that cannot be sealed raises an alert and does not keep the others waiting.
    """
    return sum(_countersign_one(pk, now) for pk in _due().values_list("pk", flat=True))


def release(row: Agreement, now: datetime) -> None:
    """Let the seal be set where settings leave that to staff. Role `staff`."""
    row.released_at = now
    row.save(update_fields=["released_at"])


def awaits_release(row: Agreement) -> bool:
    held = settings.AGREEMENT_COUNTERSIGNING != AUTOMATIC
    return held and row.state == State.SIGNED and row.released_at is None


def _due() -> QuerySet[Agreement]:
    waiting = Agreement.objects.filter(state=State.SIGNED)
    automatic = settings.AGREEMENT_COUNTERSIGNING == AUTOMATIC
    return waiting if automatic else waiting.filter(released_at__isnull=False)


def _countersign_one(pk: UUID, now: datetime) -> bool:
    row = Agreement.objects.get(pk=pk)
    content = bytes(row.documents.get(kind=Kind.SIGNED).content)
    try:
        sealed = seals.seal(
            content,
            field=PROCESSOR,
            reason=SEALED[row.text_language],
            language=row.text_language,
            now=now,
        )
    except (SealKeysError, BoundedError) as problem:
        logger.error("agreement %s is not sealed: %s", pk, problem)
        alerts.raise_alert(UNSEALED, str(pk))
        return False
    alerts.resolve_alert(UNSEALED, str(pk))
    return _bring_into_force(pk, sealed, now)


def _bring_into_force(pk: UUID, sealed: bytes, now: datetime) -> bool:
    with transaction.atomic():
        row = Agreement.objects.select_for_update().get(pk=pk)
        if row.state != State.SIGNED:
            return False  # another worker was faster
        _supersede(row, now)
        offering.store_document(row, Kind.COMPLETE, sealed, now)
        row.state, row.in_force_at = State.IN_FORCE, now
        row.save(update_fields=["state", "in_force_at"])
        lineage.note(row, Act.SEALED, now, (_document(sealed),))
        _send(row, sealed)
        _allow_sending(row.organisation)
        audit.record(None, "agreement.in-force", row, ["state"])
    return True


def _supersede(row: Agreement, now: datetime) -> None:
    earlier = offering.in_force(row.organisation_id)
    if earlier is not None:
        earlier.state, earlier.closed_at = State.SUPERSEDED, now
        earlier.save(update_fields=["state", "closed_at"])
        lineage.note(earlier, Act.SUPERSEDED, now, (f"by:{row.pk}",))


def _send(row: Agreement, sealed: bytes) -> None:
    """Both parties get the document: who signed, every owner, and the operator's desk."""
    owners = Membership.objects.for_organisation(row.organisation_id).filter(
        Q(role=Role.OWNER) | Q(user_id=row.signatory_id), approved_at__isnull=False
    )
    for membership in owners.select_related("user"):
        emails.complete(row, membership.user, sealed)
    emails.complete_for_operator(row, sealed)


def _allow_sending(organisation: Organisation) -> None:
    # What staff have stopped, a signature does not set going again.
    Reason = Organisation.SendingReason
    stopped = organisation.sending_reason == Reason.STAFF and not organisation.sending_allowed
    if not stopped:
        standing.allow_sending(organisation, Reason.AGREEMENT, by=None)


def _demand_open(row: Agreement) -> None:
    if row.state != State.OFFERED:
        raise AlreadySigned


def _document(content: bytes) -> str:
    return f"document:{sha256(content).hexdigest()}"
