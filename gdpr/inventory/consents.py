# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of what people have said yes to of their own free will."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Audience,
    Entry,
    Eraser,
    Keep,
    Key,
    LegalBasis,
    Personal,
    Purpose,
    Role,
    Source,
    SubjectPath,
    Whose,
    days,
)

CONSENT = Entry(
    model="accounts.Consent",
    title=_("Consents"),
    role=Role.CONTROLLER,
    purposes=(Purpose.NEWS,),
    basis=LegalBasis.CONSENT,
    source=Source.SUBJECT,
    keep=Keep(
        # Article 7(1): as long as somebody may ask whether there was one.
        period=days("accounts.expiry:CONSENT_KEPT_DAYS"),
        clock="withdrawn_at",
        starts=_("after it was withdrawn"),
    ),
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="user", eraser=Eraser.ROW),),
    audiences=(Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT),
    fields=(
        Personal(name="id", what=_("the number of the consent")),
        Personal(name="user", what=_("whose it is")),
        Personal(name="purpose", what=_("what it is for"), portable=True),
        Personal(name="version", what=_("which version of the words was shown"), portable=True),
        Personal(name="language", what=_("in which language"), portable=True),
        Personal(name="digest", what=_("a digest of the words"), portable=True),
        Personal(name="given_in", what=_("where it was given"), portable=True),
        Personal(name="given_at", what=_("when it was given"), portable=True),
        Personal(name="confirmed_at", what=_("when it was confirmed"), portable=True),
        Personal(name="withdrawn_at", what=_("when it was withdrawn"), portable=True),
        Personal(name="withdrawn_in", what=_("where it was withdrawn"), portable=True),
    ),
)

ENTRIES = (CONSENT,)
