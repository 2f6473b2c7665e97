# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of who asks and who approves, beside those of the requests."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Access,
    Audience,
    Entry,
    Eraser,
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

AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT)

CLAIM = Entry(
    model="gdpr.Claim",
    title=_("Requests about personal data: whom one says that it is from"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=Keep(event=_("until it is proven who asks, at the latest until the answer")),
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="claimant", eraser=Eraser.ROW),),
    # What somebody wrote in a person's name is not the person's, and may be another's.
    not_leading=("request",),
    audiences=AUDIENCES,
    fields=(
        Personal(name="claimant", what=_("the account with the address that was given")),
        Personal(
            name="sealed",
            what=_("how whoever wrote can be reached, encrypted"),
            access=Access.NAMED,
        ),
        Personal(name="asked_at", what=_("when the link was mailed to the address")),
        Personal(name="confirmed_at", what=_("when it was followed")),
        NotPersonal(("request",), "a random number of the request"),
    ),
)

APPROVAL = Entry(
    model="gdpr.Approval",
    title=_("Acts that two people decide"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.USE,
    keep=Keep(
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="decided_at",
        starts=_("after the decision"),
    ),
    # Staff, by what they asked for and decided. The record stays and names nobody.
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="asked_by",
            eraser=Eraser.UNLINK,
            fields=("what", "asked_at", "asked_by"),
        ),
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="decided_by",
            eraser=Eraser.UNLINK,
            fields=("what", "decided_at", "decided_by", "decision"),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="what", what=_("what was to be done")),
        Personal(name="asked_at", what=_("when it was asked for")),
        Personal(name="asked_by", what=_("who of the staff asked")),
        Personal(name="decided_at", what=_("when it was decided")),
        Personal(name="decided_by", what=_("who of the staff decided")),
        Personal(name="decision", what=_("what was decided")),
        NotPersonal(("id", "subject_id"), "random numbers of rows"),
    ),
)

ENTRIES: tuple[Entry, ...] = (CLAIM, APPROVAL)
