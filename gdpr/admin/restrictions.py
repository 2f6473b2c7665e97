# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of restricted accounts, and of recipients who are to be told something."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import propagation
from gdpr.models import Notice, PersonRestriction
from gdpr.rights import restriction


@admin.register(PersonRestriction, site=site)
class PersonRestrictionAdmin(ReadOnlyAdmin):
    """What is in force stands first; whose account it is, is told by its number alone."""

    list_display = ("__str__", "person", "ground", "restricted_at", "ends_at", "lifted_at")
    list_filter = (("lifted_at", admin.EmptyFieldListFilter), "ground")
    list_select_related = ("person",)
    ordering = ("-lifted_at", "restricted_at")
    fields = ("id", "person", "right", "ground", "restricted_at", "ends_at", "lifted_at")
    actions = ("announce",)

    @admin.action(description=_("Tell the person that it ends, and end it"), permissions=["act"])
    def announce(self, request: HttpRequest, rows: QuerySet[PersonRestriction]) -> None:
        if row := self.one(request, rows):
            try:
                restriction.end_by_staff(row, clock.now(), by=current_person(request))
                told = gettext("The person is told. It ends in %(days)d days.")
                messages.success(request, told % {"days": restriction.NOTICE_DAYS})
            except Refused as refused:
                messages.error(request, str(refused))


@admin.register(Notice, site=site)
class NoticeAdmin(ReadOnlyAdmin):
    """Open ones are those that no mail reaches: the desk's telephone stands with the recipient."""

    list_display = ("reference", "recipient", "contact", "change", "state", "by", "opened_at")
    list_filter = ("state", "change")
    list_select_related = ("recipient",)
    ordering = ("-closed_at", "opened_at")
    fields = ("id", "recipient", "contact", "change", "state", "by", "opened_at", "closed_at")
    readonly_fields = ("contact",)
    actions = ("told", "impossible")

    @admin.display(description=_("number"))
    def reference(self, row: Notice) -> str:
        return row.reference

    @admin.display(description=_("contact for data protection"))
    def contact(self, row: Notice) -> str:
        return row.recipient.contact

    @admin.action(description=_("I have told them"), permissions=["act"])
    def told(self, request: HttpRequest, rows: QuerySet[Notice]) -> None:
        self._close(request, rows, Notice.State.TOLD)

    @admin.action(
        description=_("It is impossible, or an effort out of all proportion"), permissions=["act"]
    )
    def impossible(self, request: HttpRequest, rows: QuerySet[Notice]) -> None:
        self._close(request, rows, Notice.State.IMPOSSIBLE)

    def _close(self, request: HttpRequest, rows: QuerySet[Notice], to: Notice.State) -> None:
        if row := self.one(request, rows):
            try:
                propagation.close(row, to, clock.now(), by=current_person(request))
                messages.success(request, gettext("Noted."))
            except Refused as refused:
                messages.error(request, str(refused))
