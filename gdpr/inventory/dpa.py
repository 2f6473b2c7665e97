# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of agreements."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Access,
    Audience,
    Cadence,
    Entry,
    Eraser,
    Forgetting,
    Held,
    Keep,
    Key,
    Law,
    LegalBasis,
    NotPersonal,
    Personal,
    Purpose,
    Role,
    Source,
    SubjectPath,
    Through,
    Whose,
    days,
)

AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.ORGANISATION)
WITH_AGREEMENT = Keep(event=_("as long as the agreement that it belongs to"))
KEPT = days("dpa.terms:KEPT_DAYS")


# Who signs, and whom the document names as the one to write to.
NAMED = ("signatory", "contact")


def _held(clock: str) -> Held:
    """Return the hold of rows that are evidence as long as claims can be made."""
    return Held(law=Law.LIMITATION, clock=clock, period=KEPT)


def _named(own: str) -> tuple[SubjectPath, ...]:
    """Return the paths from rows to who is named in their agreement; `own` leads to its id.

    One that was in force is evidence; one that not both have signed binds nobody and goes.
    """
    return tuple(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup=lookup,
            eraser=eraser,
            through=Through(
                model="dpa.Agreement",
                on=((own, "id"),),
                where={"in_force_at__isnull": eraser is Eraser.ROW},
            ),
        )
        for lookup in NAMED
        for eraser in (Eraser.HOLD, Eraser.ROW)
    )


AGREEMENT = Entry(
    model="dpa.Agreement",
    title=_("Agreements and who signed them"),
    role=Role.CONTROLLER,
    purposes=(Purpose.AGREEMENT,),
    basis=LegalBasis.INTEREST,
    interest=_(
        "Both parties must be able to prove what was agreed, and by whom, while claims can be"
        " made. Only name, position and business contact stand in an agreement, and those who sign"
        " expect it to be kept."
    ),
    source=Source.ORGANISATION,
    keep=Keep(
        period=KEPT,
        clock="closed_at",
        starts=_("after it was replaced or ended; unsigned ones much shorter"),
        cadence=Cadence.NIGHTLY,
        forgetting=Forgetting.ACT,
        act="dpa.expiry:forget",
        due="dpa.expiry:count_due",
    ),
    held=_held("closed_at"),
    paths=_named("id"),
    audiences=AUDIENCES,
    fields=(
        Personal(name="signatory", what=_("the person who signs for the organisation")),
        Personal(name="signatory_name", what=_("name of the signatory"), of=(("", "signatory"),)),
        Personal(
            name="signatory_title", what=_("position of the signatory"), of=(("", "signatory"),)
        ),
        Personal(name="contact", what=_("the owner whom the agreement says to write to")),
        Personal(
            name="facts",
            what=_("what the agreement is filled with, contacts included"),
            of=(("signatory", "signatory"), ("contacts.controller", "")),
        ),
        Personal(name="offered_at", what=_("when it was issued")),
        Personal(name="signed_at", what=_("when it was signed")),
        Personal(name="organisation", what=_("the organisation that signs")),
        NotPersonal(("id", "number", "text_language", "text_version"), "which version it is"),
        NotPersonal(("state", "released_at", "refused_at"), "how it stands"),
        NotPersonal(("in_force_at", "closed_at"), "from when to when it was in force"),
    ),
)

DOCUMENT = Entry(
    model="dpa.Document",
    title=_("Agreements: the PDF files"),
    role=Role.CONTROLLER,
    purposes=(Purpose.AGREEMENT,),
    basis=LegalBasis.INTEREST,
    interest=AGREEMENT.interest,
    source=Source.SERVICE,
    keep=WITH_AGREEMENT,
    held=_held("agreement__closed_at"),
    paths=_named("agreement_id"),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="content",
            what=_("the agreement as a PDF, which the portal hands out"),
            access=Access.ELSEWHERE,
        ),
        NotPersonal(("id", "organisation", "agreement", "kind"), "which document it is"),
        NotPersonal(("sha256", "created_at"), "its checksum, and when it was made"),
    ),
)

EVENT = Entry(
    model="dpa.AgreementEvent",
    title=_("Agreements: what happened to them"),
    role=Role.CONTROLLER,
    purposes=(Purpose.AGREEMENT,),
    basis=LegalBasis.INTEREST,
    interest=AGREEMENT.interest,
    source=Source.SERVICE,
    keep=WITH_AGREEMENT,
    held=_held("agreement__closed_at"),
    paths=_named("agreement_id"),
    audiences=AUDIENCES,
    fields=(
        Personal(name="act", what=_("what was done")),
        Personal(name="at", what=_("when")),
        Personal(name="evidence", what=_("checksums, and how the signatory proved who they are")),
        NotPersonal(("id", "organisation", "agreement", "sequence"), "which event it is"),
        NotPersonal(("previous_digest", "digest"), "checksums of the chain"),
    ),
)

SIGNATORY = Entry(
    model="dpa.Signatory",
    title=_("Members who may sign for an organisation"),
    role=Role.CONTROLLER,
    purposes=(Purpose.AGREEMENT,),
    basis=LegalBasis.CONTRACT,
    source=Source.ORGANISATION,
    keep=Keep(event=_("until an owner withdraws it or the membership ends")),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="user",
            eraser=Eraser.ROW,
            through=Through(model="accounts.Membership", on=(("membership_id", "id"),)),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="membership", what=_("the member who may sign")),
        Personal(name="named_at", what=_("when an owner said so")),
        NotPersonal(("id", "organisation"), "a random number, and the organisation"),
    ),
)

OFFERED_TEXT = Entry(
    model="dpa.OfferedText",
    title=_("Texts of agreements that were offered"),
    fields=(
        NotPersonal(("id", "language", "version", "digest", "offered_at"), "about a text of ours"),
    ),
)

ENTRIES: tuple[Entry, ...] = (AGREEMENT, DOCUMENT, EVENT, SIGNATORY, OFFERED_TEXT)
