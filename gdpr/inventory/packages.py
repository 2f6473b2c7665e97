# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of packages: whom they show beside their person, and what came of one elsewhere."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.inventory.accounts import AUDIENCES
from gdpr.registry import (
    Cadence,
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
    hours,
)

RELEASE = Entry(
    model="gdpr.Release",
    title=_("Who else a person's packages name"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(event=_("until one of the two accounts is erased, or staff take it back")),
    paths=(
        SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.ROW),
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ADDRESS,
            lookup="address",
            eraser=Eraser.ROW,
            fields=("address", "reason", "decided_at"),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="person", what=_("the person whose packages they are")),
        Personal(name="address", what=_("e-mail address of the person who is shown in them")),
        Personal(name="reason", what=_("the reasons")),
        Personal(name="decided_at", what=_("when it was decided")),
        NotPersonal(("id",), "numbers the row"),
    ),
)

IMPORT = Entry(
    model="gdpr.Import",
    title=_("What a person brought along from another installation"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.CONTRACT,
    source=Source.SUBJECT,
    keep=Keep(
        event=_("until the account is erased; what waits for the person's yes"),
        period=hours("gdpr.models.imports:PROPOSAL_HOURS"),
        clock="proposed_at",
        starts=_("after it was uploaded"),
        cadence=Cadence.HOURLY,
    ),
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.ROW),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="person", what=_("the person")),
        Personal(name="records", what=_("the records, as the package has them"), portable=True),
        Personal(name="made_at", what=_("when the package was made"), portable=True),
        Personal(name="proposed_at", what=_("when it was uploaded, until it is taken over")),
        Personal(name="taken_at", what=_("when it was taken over"), portable=True),
        NotPersonal(("id",), "numbers the row"),
    ),
)

ENTRIES = (RELEASE, IMPORT)
