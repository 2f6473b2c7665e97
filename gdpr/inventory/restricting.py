# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of restricted accounts, and of who was told of what became of data."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.inventory.gdpr import AUDIENCES
from gdpr.registry import (
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

PERSON_RESTRICTION = Entry(
    model="gdpr.PersonRestriction",
    title=_("Accounts whose data are kept and not used"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=Keep(
        event=_("as long as it lasts, and after that as long as the account"),
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="lifted_at",
        starts=_("after it was lifted"),
    ),
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.ROW),),
    not_leading=("right",),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the restriction")),
        Personal(name="person", what=_("whose account is restricted")),
        Personal(name="right", what=_("the request that it hangs on")),
        Personal(name="ground", what=_("why it is restricted")),
        Personal(name="restricted_at", what=_("since when")),
        Personal(name="ends_at", what=_("when it ends, as the person was told")),
        Personal(name="lifted_at", what=_("when it was lifted")),
    ),
)

NOTICE = Entry(
    model="gdpr.Notice",
    title=_("Who was told of a correction, restriction or erasure"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="closed_at",
        starts=_("after the recipient was told"),
    ),
    # The evidence stays; with the account goes what says whose it is.
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.UNLINK),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the notice")),
        Personal(name="person", what=_("whose data it is about")),
        Personal(name="recipient", what=_("the recipient that was told")),
        Personal(name="change", what=_("what happened to the data")),
        Personal(name="state", what=_("whether the recipient was told")),
        Personal(name="by", what=_("how the recipient was told")),
        Personal(name="opened_at", what=_("when it was to be told")),
        Personal(name="closed_at", what=_("when it was told")),
        NotPersonal(("cause_id",), "the random number of what it follows from"),
    ),
)

ENTRIES = (PERSON_RESTRICTION, NOTICE)
