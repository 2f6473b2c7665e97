# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of the public form: what was asked by it, and what customers got of that."""

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

AUDIENCES = (Audience.HOSTING, Audience.BACKUP)


def _found_by(finder: str, lookup: str, eraser: Eraser) -> tuple[SubjectPath, ...]:
    return (
        SubjectPath(
            whose=Whose.CORRESPONDENT,
            key=Key.ADDRESS,
            lookup=lookup,
            eraser=eraser,
            finder=finder,
        ),
    )


ENQUIRY = Entry(
    model="gdpr.Enquiry",
    title=_("Requests by the public form, until they are proven and passed on"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=Keep(
        event=_("what was written until it is passed on"),
        period=days("gdpr.models.enquiries:ENQUIRY_KEPT_DAYS"),
        clock="received_at",
        starts=_("after it was received"),
        cadence=Cadence.HOURLY,
        forgetting=Forgetting.ACT,
        act="gdpr.enquiries.expiry:forget",
        due="gdpr.enquiries.expiry:count_due",
        oldest="gdpr.enquiries.expiry:oldest",
    ),
    paths=_found_by("gdpr.enquiries.asking:rows_about", "sealed", Eraser.EXPIRY),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="sealed",
            what=_("address, rights, sender and words, encrypted"),
            access=Access.NAMED,
        ),
        Personal(name="address_hash", what=_("a keyed hash of the address"), access=Access.NAMED),
        Personal(name="received_at", what=_("when it was received")),
        Personal(name="proven_at", what=_("when the address was proven")),
        Personal(name="answered_at", what=_("when it was answered")),
        Personal(name="forwarded_at", what=_("when it was passed on")),
        NotPersonal(("id",), "a random number"),
        NotPersonal(("mailed_at", "due_at"), "how the work on it goes"),
    ),
)

FORWARDED_REQUEST = Entry(
    model="gdpr.ForwardedRequest",
    title=_("Requests about personal data that were passed on to customers"),
    role=Role.PROCESSOR,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SUBJECT,
    keep=Keep(
        period=days("gdpr.models.enquiries:FORWARDED_KEPT_DAYS"),
        clock="received_at",
        starts=_("after it was received"),
    ),
    # The customer shows by it that it has answered (article 5(2)), also after an erasure.
    paths=_found_by("gdpr.enquiries.forwarding:rows_of", "address_hash", Eraser.HOLD),
    audiences=(*AUDIENCES, Audience.ORGANISATION),
    fields=(
        Personal(name="enquiry_id", what=_("a random number of the request")),
        Personal(name="rights", what=_("the rights that were asked for")),
        Personal(name="language", what=_("language of the answer")),
        Personal(name="sealed", what=_("address and words, encrypted"), access=Access.NAMED),
        Personal(
            name="address_hash",
            what=_("a keyed fingerprint of it, another one for each customer"),
            access=Access.NAMED,
        ),
        Personal(name="organisation", what=_("the customer that it was passed on to")),
        Personal(name="received_at", what=_("when it was received")),
        Personal(name="forwarded_at", what=_("when it was passed on")),
        Personal(name="promised_on", what=_("when an answer is promised")),
        Personal(name="due_on", what=_("the limit of the law")),
        Personal(name="extended_at", what=_("when the time was extended")),
        Personal(name="state", what=_("how far it has come")),
        Personal(name="reason", what=_("the reasons that were given"), customers_words=True),
        Personal(name="closed_at", what=_("when it was answered")),
        NotPersonal(("id",), "a random number"),
        NotPersonal(("escalated",), "how loudly the customer was reminded"),
    ),
)

ENTRIES: tuple[Entry, ...] = (ENQUIRY, FORWARDED_REQUEST)
