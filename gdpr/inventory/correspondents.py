# SPDX-License-Identifier: AGPL-3.0-or-later
"""What customers do about one address in their mail: packages of it, and its erasure."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Access,
    Audience,
    Cadence,
    Entry,
    Eraser,
    Forgetting,
    Keep,
    Key,
    LegalBasis,
    NotPersonal,
    Personal,
    Purpose,
    Role,
    Source,
    SubjectPath,
    Whose,
    days,
)

AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.ORGANISATION)


def _found_by(finder: str, eraser: Eraser) -> tuple[SubjectPath, ...]:
    return (
        SubjectPath(
            whose=Whose.CORRESPONDENT, key=Key.ADDRESS, lookup="id", eraser=eraser, finder=finder
        ),
    )


ADDRESS_ERASURE = Entry(
    model="gdpr.AddressErasure",
    title=_("Erasures of addresses from a customer's log, and their certificates"),
    role=Role.PROCESSOR,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.ORGANISATION,
    keep=Keep(
        event=_("the address until the erasure is done; the certificate"),
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="ended_at",
        starts=_("after the end of the erasure"),
    ),
    paths=_found_by("gdpr.correspondents.subject:erasures_of", Eraser.EXPIRY),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="sealed_address",
            what=_("the address that is being erased, encrypted"),
            access=Access.NAMED,
        ),
        NotPersonal(("id", "organisation", "language"), "a random number, and the customer"),
        NotPersonal(("waiting",), "what becomes of mail that waits"),
        NotPersonal(("is_repeat",), "done again after a restore"),
        NotPersonal(("state", "fault", "step"), "how far it has come"),
        NotPersonal(("asked_at", "due_at", "ended_at"), "when"),
        NotPersonal(("report",), "names of tables, counts, dates"),
        NotPersonal(("certificate", "certificate_digest"), "the same as a document, for nobody"),
    ),
)

ADDRESS_PACKAGE = Entry(
    model="gdpr.AddressPackage",
    title=_("Packages about an address, to be fetched by a customer"),
    role=Role.PROCESSOR,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.ORGANISATION,
    keep=Keep(
        period=days("gdpr.models.packages:PACKAGE_DAYS"),
        clock="made_at",
        starts=_("after the package was made"),
        cadence=Cadence.HOURLY,
        # File and row go together, by the task that knows the file.
        forgetting=Forgetting.ELSEWHERE,
    ),
    paths=_found_by("gdpr.correspondents.subject:packages_of", Eraser.ROW),
    audiences=(Audience.HOSTING, Audience.ORGANISATION),
    fields=(
        Personal(
            name="sealed_address",
            what=_("the address that it is about, encrypted"),
            access=Access.NAMED,
        ),
        Personal(name="sealed_key", what=_("the package's key, encrypted"), access=Access.NAMED),
        NotPersonal(("id", "organisation", "language"), "a random number, and the customer"),
        NotPersonal(("state", "attempts", "due_at"), "how the work on it goes"),
        NotPersonal(("rows", "size", "sha256"), "how large it is, and its digest"),
        NotPersonal(("created_at", "made_at", "expires_at"), "when"),
    ),
)

ENTRIES = (ADDRESS_ERASURE, ADDRESS_PACKAGE)
