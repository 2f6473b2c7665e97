# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of what the service itself says: its mails, its alerts, its promises."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.inventory.accounts import AUDIENCES
from gdpr.registry import (
    Access,
    Audience,
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
    hours,
)

OUTGOING_MAIL = Entry(
    model="accounts.OutgoingMail",
    title=_("The service's own mails, while they wait"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT, Purpose.SECURITY, Purpose.RIGHTS),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=Keep(
        event=_("until the mail is sent"),
        period=hours("accounts.emails:KEPT_HOURS"),
        clock="created_at",
        starts=_("after it was written"),
        forgetting=Forgetting.ELSEWHERE,
    ),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ADDRESS,
            lookup="id",
            eraser=Eraser.EXPIRY,
            finder="accounts.emails:mails_to",
        ),
    ),
    audiences=(*AUDIENCES, Audience.MAIL),
    fields=(
        Personal(
            name="sealed", what=_("address, subject and text, encrypted"), access=Access.NAMED
        ),
        Personal(name="kind", what=_("what the mail is about")),
        Personal(name="created_at", what=_("when it was written")),
        NotPersonal(("id", "organisation"), "numbers the row and names the customer"),
        NotPersonal(("due_at", "attempts", "last_error"), "how the sending goes"),
    ),
)

ALERT = Entry(
    model="accounts.Alert",
    title=_("Alerts for the operator"),
    keep=Keep(
        period=days("accounts.alerts:KEPT_DAYS"),
        clock="resolved_at",
        starts=_("after the alert was resolved"),
    ),
    fields=(
        NotPersonal(
            ("id", "kind", "subject", "count", "first_at", "last_at", "resolved_at"),
            "names of faults and parts of the service; the functions that raise them say so",
        ),
    ),
)

PROMISE_RESULT = Entry(
    model="accounts.PromiseResult",
    title=_("What the last look at each promise saw"),
    fields=(
        NotPersonal(
            ("id", "holds", "seen", "checked_at"),
            "figures and names of parts of the service; the checks in promises.py say so",
        ),
    ),
)

ENTRIES = (OUTGOING_MAIL, ALERT, PROMISE_RESULT)
