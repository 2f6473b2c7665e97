# SPDX-License-Identifier: AGPL-3.0-or-later
"""Issuing a version of the agreement: filled, set as a PDF, and from then on never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Max
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import Membership, Organisation
from accounts.refusals import NotAllowed, Refused
from dpa import facts as facts_of
from dpa import lineage, signatories
from dpa.facts import Facts
from dpa.models import Agreement, AgreementEvent, Document, OfferedText
from dpa.texts import Text, load

# The one language that there is a text in, and the one that decides.
LANGUAGE = "da"
# Without these a party is not named well enough to be bound.
NEEDED = ("name", "address", "postcode", "city")

State = Agreement.State
Act = AgreementEvent.Act


class Incomplete(Refused):
    text: Promise = _("The organisation's address is missing. Fill it in, then come back.")


class Ending(Refused):
    text: Promise = _("The organisation is closing: there is nothing more to agree on.")


class Overtaken(Refused):
    text: Promise = _("Somebody else did the same at this moment. Look at it again.")


class TextChanged(Exception):
    """The text on disk is not the one that was offered under its version: make a new version."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a version would say now, not yet issued."""

    id: UUID
    number: int
    text: Text
    facts: Facts


def draft(membership: Membership, now: datetime) -> Draft:
    """Return the agreement as this person would sign it now. Runs in the tenant's context."""
    text, identifier = load(LANGUAGE), uuid4()
    rows = Agreement.objects.for_organisation(membership.organisation_id)
    number = (rows.aggregate(last=Max("number"))["last"] or 0) + 1
    facts = facts_of.gather(
        membership.organisation,
        membership.user,
        text,
        number=number,
        identifier=identifier,
        now=now,
    )
    return Draft(identifier, number, text, facts)


def missing(organisation: Organisation) -> list[str]:
    """Return the names of the fields without which no agreement can be made."""
    return [name for name in NEEDED if not getattr(organisation, name)]


def demand_possible(membership: Membership) -> None:
    """Raises NotAllowed, Incomplete, Ending."""
    if not signatories.may_sign(membership):
        raise NotAllowed
    if membership.organisation.standing in Organisation.ENDING:
        raise Ending
    if missing(membership.organisation):
        raise Incomplete


def reusable(membership: Membership, made: Draft) -> Agreement | None:
    """Return the open version when it says to the same person what the draft says."""
    row = open_version(membership.organisation_id)
    if row is None or row.state != State.OFFERED or row.signatory_id != membership.user_id:
        return None
    new = {"id", "number", "issued_at"}
    same = all(row.facts.get(name) == made.facts[name] for name in made.facts if name not in new)
    return row if same else None


def issue(made: Draft, content: bytes, *, by: Membership, now: datetime) -> Agreement:
    """Store a version and its bytes, in place of one that nobody has signed.

    Raises Overtaken when another version came first, TextChanged.
    """
    with transaction.atomic():
        Organisation.objects.select_for_update().get(pk=by.organisation_id)
        _demand_same_text(made.text, now)
        _withdraw_open(by, now)
        if Agreement.objects.for_organisation(by.organisation_id).filter(number__gte=made.number):
            raise Overtaken
        row = _store(made, by, now)
        store_document(row, Document.Kind.OFFERED, content, now)
        words = (f"document:{sha256(content).hexdigest()}", f"text:{made.text.digest}")
        lineage.note(row, Act.OFFERED, now, words)
        audit.record(by.user, "agreement.offered", row)
    return row


def open_version(organisation_id: UUID) -> Agreement | None:
    """Return the version that awaits a signature, the customer's or ours."""
    rows = Agreement.objects.for_organisation(organisation_id)
    return rows.filter(state__in=Agreement.OPEN).first()


def in_force(organisation_id: UUID) -> Agreement | None:
    rows = Agreement.objects.for_organisation(organisation_id)
    return rows.filter(state=State.IN_FORCE).first()


def store_document(row: Agreement, kind: Document.Kind, content: bytes, now: datetime) -> Document:
    return Document.objects.create(
        organisation_id=row.organisation_id,
        agreement=row,
        kind=kind,
        content=content,
        sha256=sha256(content).digest(),
        created_at=now,
    )


def _store(made: Draft, by: Membership, now: datetime) -> Agreement:
    return Agreement.objects.create(
        id=made.id,
        organisation_id=by.organisation_id,
        number=made.number,
        text_language=made.text.language,
        text_version=made.text.version,
        facts=made.facts,
        signatory=by.user,
        signatory_name=by.user.get_full_name(),
        signatory_title=by.user.title,
        offered_at=now,
    )


def _demand_same_text(text: Text, now: datetime) -> None:
    known, _ = OfferedText.objects.get_or_create(
        language=text.language,
        version=text.version,
        defaults={"digest": text.digest, "offered_at": now},
    )
    if known.digest != text.digest:
        raise TextChanged(f"{text.language}/{text.version} was offered with other words")


def _withdraw_open(by: Membership, now: datetime) -> None:
    row = open_version(by.organisation_id)
    if row is None:
        return
    if row.state == State.SIGNED:
        raise Overtaken
    row.state, row.closed_at = State.WITHDRAWN, now
    row.save(update_fields=["state", "closed_at"])
    lineage.note(row, Act.WITHDRAWN, now)
