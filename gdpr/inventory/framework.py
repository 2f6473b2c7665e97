# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables that the framework brings along."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
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
)

LOG_ENTRY = Entry(
    model="admin.LogEntry",
    title=_("Log of the staff pages"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.USE,
    keep=Keep(event=_("until the account is erased")),
    paths=(
        SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="user", eraser=Eraser.ROW),
        # What other staff did to the person's account.
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="object_id",
            eraser=Eraser.BLANK,
            fields=("object_id", "object_repr"),
        ),
    ),
    audiences=(Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT),
    fields=(
        Personal(name="user", what=_("the member of staff")),
        Personal(name="action_time", what=_("when")),
        Personal(name="action_flag", what=_("what was done")),
        Personal(name="object_id", what=_("the number of what it was done to"), leads=True),
        Personal(name="object_repr", what=_("what it was done to, without names and addresses")),
        Personal(name="change_message", what=_("names of the fields that changed")),
        NotPersonal(("id", "content_type"), "numbers the row and names the kind of thing"),
    ),
)

PERMISSION = Entry(
    model="auth.Permission",
    title=_("Permissions that there are"),
    fields=(NotPersonal(("id", "name", "content_type", "codename"), "names of permissions"),),
)

GROUP = Entry(
    model="auth.Group",
    title=_("Staff roles that there are"),
    fields=(NotPersonal(("id", "name", "permissions"), "names of roles"),),
)

GROUP_PERMISSIONS = Entry(
    model="auth.Group_permissions",
    title=_("Permissions of staff roles"),
    fields=(NotPersonal(("id", "group", "permission"), "which role may do what"),),
)

CONTENT_TYPE = Entry(
    model="contenttypes.ContentType",
    title=_("Kinds of rows that there are"),
    fields=(NotPersonal(("id", "app_label", "model"), "names of tables"),),
)

ENTRIES = (LOG_ENTRY, PERMISSION, GROUP, GROUP_PERMISSIONS, CONTENT_TYPE)
