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
from accounts.limits import HOUR, Limit
from accounts.models import Membership, Organisation, User
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

# A version costs twenty seconds of a processor at the most, and a row and a file for a month.
ISSUES = Limit("agreement-issues", ((10, HOUR),))

State = Agreement.State
Act = AgreementEvent.Act


class Incomplete(Refused):
    text: Promise = _("The organisation's address is missing. Fill it in, then come back.")


class Ending(Refused):
    text: Promise = _("The organisation is closing: there is nothing more to agree on.")


class Overtaken(Refused):
    text: Promise = _("Somebody else did the same at this moment. Look at it again.")


class SealAwaited(Refused):
    text: Promise = _("A signed version awaits our seal. Take it back before you make another.")


class TextChanged(Exception):
    """The text on disk is not the one that was offered under its version: make a new version."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a version would say now, not yet issued."""

    id: UUID
    number: int
    text: Text
    facts: Facts
    contact: User


def draft(membership: Membership, now: datetime) -> Draft:
    """Return the agreement as this person would sign it now. Runs in the tenant's context.

    Raises Ending: an organisation that is leaving need not have an owner any more.
    """
    if membership.organisation.standing in Organisation.ENDING:
        raise Ending
    text, identifier = load(LANGUAGE), uuid4()
    rows = Agreement.objects.for_organisation(membership.organisation_id)
    number = (rows.aggregate(last=Max("number"))["last"] or 0) + 1
    contact = facts_of.contact_of(membership.organisation)
    facts = facts_of.gather(
        membership.organisation,
        membership.user,
        text,
        contact=contact,
        number=number,
        identifier=identifier,
        now=now,
    )
    return Draft(identifier, number, text, facts, contact)


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


def changes(row: Agreement, organisation: Organisation, now: datetime) -> list[str]:
    """Return the names of the terms that are not so any more; needs no owner and no signatory."""
    return facts_of.differences(row.facts, facts_of.terms_now(organisation, load(LANGUAGE), now))


def lock(by: Membership) -> Membership:
    """Lock the organisation and return the member's place as it is now. Raises NotAllowed.

    Whatever changes an agreement locks the organisation first and the version after it: in any
    other order two acts could each wait for what the other holds.
    """
    organisation = Organisation.objects.select_for_update().get(pk=by.organisation_id)
    rows = Membership.objects.for_organisation(by.organisation_id).select_related("user")
    now = rows.filter(pk=by.pk, approved_at__isnull=False).first()
    if now is None:
        raise NotAllowed
    now.organisation = organisation
    return now


def locked(agreement_id: UUID) -> Agreement | None:
    """Return a version, locked after its organisation; None when it is gone."""
    found = Agreement.objects.filter(pk=agreement_id).values_list("organisation_id", flat=True)
    organisation = Organisation.objects.select_for_update().filter(pk__in=list(found)).first()
    if organisation is None:
        return None
    row = Agreement.objects.select_for_update().filter(pk=agreement_id).first()
    if row is not None:
        row.organisation = organisation
    return row


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

    Raises Overtaken when another version came first, SealAwaited, TextChanged, and what
    `demand_possible` raises.
    """
    with transaction.atomic():
        by = lock(by)
        demand_possible(by)
        _demand_same_text(made.text, now)
        _withdraw_open(by, now)
        rows = Agreement.objects.for_organisation(by.organisation_id)
        if rows.filter(number__gte=made.number).exists():
            raise Overtaken
        row = _store(made, by, now)
        store_document(row, Document.Kind.OFFERED, content, now)
        words = (
            f"document:{sha256(content).hexdigest()}",
            f"text:{made.text.digest}",
            f"facts:{facts_of.digest(made.facts)}",
        )
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
        signatory_name=made.facts["signatory"]["name"],
        signatory_title=made.facts["signatory"]["title"],
        contact=None if made.contact == by.user else made.contact,
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
    rows = Agreement.objects.for_organisation(by.organisation_id).select_for_update()
    row = rows.filter(state__in=Agreement.OPEN).first()
    if row is None:
        return
    if row.state == State.SIGNED:
        raise SealAwaited
    close(row, State.WITHDRAWN, Act.WITHDRAWN, now)


def close(
    row: Agreement, state: Agreement.State, act: AgreementEvent.Act, now: datetime, *words: str
) -> None:
    """End a version; the caller holds it locked."""
    row.state, row.closed_at = state, now
    row.save(update_fields=["state", "closed_at"])
    lineage.note(row, act, now, words)
