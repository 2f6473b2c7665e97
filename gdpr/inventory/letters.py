# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is kept of answers: sealed letters as they left."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.inventory.gdpr import AUDIENCES, WITH_REQUEST
from gdpr.registry import (
    Access,
    Entry,
    Eraser,
    Key,
    LegalBasis,
    NotPersonal,
    Personal,
    Purpose,
    Role,
    Source,
    SubjectPath,
    Whose,
)

LETTER = Entry(
    model="gdpr.Letter",
    title=_("Requests about personal data: sealed letters"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=WITH_REQUEST,
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="right__request__person",
            eraser=Eraser.ROW,
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the letter")),
        Personal(name="right", what=_("the right that it answers")),
        Personal(name="kind", what=_("what kind of letter it is")),
        Personal(name="language", what=_("its language")),
        Personal(name="issued_at", what=_("when it was written")),
        Personal(name="sealed_draft", what=_("its words until it leaves"), access=Access.ELSEWHERE),
        Personal(name="sealed", what=_("the letter, encrypted"), access=Access.ELSEWHERE),
        Personal(name="sha256", what=_("its digest")),
        NotPersonal(("due_at",), "when its seal is tried"),
    ),
)

ENTRIES: tuple[Entry, ...] = (LETTER,)
