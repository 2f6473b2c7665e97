# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing: the customer's person, with a key for this one act; the operator's seal comes after.

Setting a signature takes a second or two, so it happens between two transactions: all that was
looked at in the first is looked at again in the second, under a lock.
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

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import Membership
from accounts.refusals import NotAllowed, Refused
from accounts.vault import VaultError
from dpa import lineage, offering, signatories, texts
from dpa.models import Agreement, AgreementEvent, Document
from dpa.press import CONTROLLER
from gdpr import seals
from gdpr.documents import BoundedError
from gdpr.seals import FieldError, SealKeysError, Subject

logger = logging.getLogger(__name__)

# What the signature says it is for, in the language of the text.
APPROVED = {"da": "Godkendelse af databehandleraftalen"}

State = Agreement.State
Act = AgreementEvent.Act
Kind = Document.Kind


class OtherDocument(Refused):
    text: Promise = _("This is not the document that you saw. Nothing is signed; read it again.")


class OtherTerms(Refused):
    text: Promise = _("The declarations are not the ones that you saw. Nothing is signed.")


class OtherSignatory(Refused):
    text: Promise = _("This version was made for somebody else to sign. Make one of your own.")


class NotNow(Refused):
    text: Promise = _("The document could not be made just now. Nothing has changed; try again.")


class AlreadySigned(Refused):
    text: Promise = _("This version is signed already.")


class Withdrawn(Refused):
    text: Promise = _("This version was withdrawn and cannot be signed any more.")


class TooLate(Refused):
    text: Promise = _("This version waits for nobody any more, so it cannot be taken back.")


class OutOfDate(Refused):
    text: Promise = _("Something in the agreement has changed since it was issued. Issue it anew.")


# What a version that is issued anew makes good.
ANEW = (OtherSignatory, OutOfDate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a person declares by signing: which document they saw, on which terms, how proven.

    `means` is what the step-up asked for (accounts.stepup), `proved_at` when it was given.
    """

    document: str  # sha256 in hex, as the page showed it and the person's browser posted it
    terms: str  # as `texts.signing_reference` writes it, shown and posted in the same way
    means: str
    proved_at: datetime

    @property
    def evidence(self) -> tuple[str, ...]:
        return (
            f"seen:{self.document}",
            f"terms:{self.terms}",
            "authority:stated",
            f"authenticated:{self.means}",
            f"proved:{self.proved_at.isoformat(timespec='seconds')}",
        )


def demand_signable(row: Agreement, *, by: Membership, now: datetime) -> None:
    """Raises refusals.NotAllowed, offering.Ending, offering.Incomplete, AlreadySigned, Withdrawn,
    OtherSignatory, OutOfDate.
    """
    offering.demand_possible(by)
    _demand_open(row)
    if row.signatory_id != by.user_id:
        raise OtherSignatory
    if offering.reusable(by, offering.draft(by, now)) is None:
        raise OutOfDate


def content_to_sign(
    row: Agreement, declaration: Declaration, *, language: str, by: Membership, now: datetime
) -> bytes:
    """Return the bytes that this person may sign. Runs in the tenant's context.

    `language` is that of the page. Raises OtherDocument, OtherTerms, and what `demand_signable`
    raises.
    """
    demand_signable(row, by=by, now=now)
    document = row.documents.get(kind=Kind.OFFERED)
    digest = sha256(document.content).digest()
    seen = bytes.fromhex(declaration.document)
    if not (compare_digest(digest, seen) and compare_digest(digest, bytes(document.sha256))):
        raise OtherDocument
    shown = texts.signing_reference(language)
    if not compare_digest(declaration.terms.encode(), shown.encode()):
        raise OtherTerms
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
    except (SealKeysError, FieldError, VaultError, BoundedError) as problem:
        # The words of a fault may quote the page, which is full of names.
        spent = isinstance(problem, BoundedError) and problem.spent
        kind = type(problem).__name__
        logger.error("an agreement could not be made: %s, spent %s", kind, spent)
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

    Raises what `demand_signable` raises, when something changed meanwhile.
    """
    with transaction.atomic():
        by = offering.lock(by)
        row = _locked(agreement_id)
        demand_signable(row, by=by, now=now)
        offering.store_document(row, Kind.SIGNED, signed, now)
        row.state, row.signed_at = State.SIGNED, now
        row.save(update_fields=["state", "signed_at"])
        lineage.note(row, Act.SIGNED, now, (*declaration.evidence, lineage.document(signed)))
        audit.record(by.user, "agreement.signed", row, ["state"])
    return row


def withdraw(agreement_id: UUID, *, by: Membership, now: datetime) -> Agreement:
    """Take back a version that not both have signed; who may sign, may. Raises NotAllowed, TooLate.

    Runs in the tenant's context.
    """
    with transaction.atomic():
        by = offering.lock(by)
        if not signatories.may_sign(by):
            raise NotAllowed
        row = _locked(agreement_id)
        if row.state not in Agreement.OPEN:
            raise TooLate
        offering.close(row, State.WITHDRAWN, Act.WITHDRAWN, now, "by:customer")
        audit.record(by.user, "agreement.withdrawn", row, ["state"])
    return row


def _locked(agreement_id: UUID) -> Agreement:
    """Return a version of the organisation that the caller holds. Raises Withdrawn: it is gone."""
    row = Agreement.objects.select_for_update().filter(pk=agreement_id).first()
    if row is None:
        raise Withdrawn
    return row


def _demand_open(row: Agreement) -> None:
    if row.state == State.WITHDRAWN:
        raise Withdrawn
    if row.state != State.OFFERED:
        raise AlreadySigned
