# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's list of addresses whose erasure does not get on: since when, why, and what to do.

Nothing here says which address it is: a place is a column or a store, a fault the kind of an error.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.access import current_person
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr.correspondents import run, steps
from gdpr.models import AddressErasure

Fault = AddressErasure.Fault

WHAT_TO_DO: dict[str, str | Promise] = {
    Fault.NONE: _("Mail to the address may be on its way still: look whether delivery runs."),
    Fault.LEFTOVER: _(
        "The address stands where no step looks for it. Look at that column for the customer,"
        " take out what names the address, then resume: it is searched again."
    ),
    Fault.UNSEARCHED: _("See that the place can be reached again, then resume."),
    Fault.ERROR: _(
        "The worker's log has when the step failed. Mend what it fails on, then resume."
    ),
}


@admin.register(AddressErasure, site=site)
class AddressErasureAdmin(ReadOnlyAdmin):
    """The oldest on top; those that get on, or are done, are their customers' alone."""

    list_display = ("reference", "organisation", "step", "asked_at", "fault", "where", "advice")
    list_select_related = ("organisation",)
    ordering = ("asked_at",)
    fields = (
        "reference",
        "organisation",
        "is_repeat",
        "step",
        "asked_at",
        "due_at",
        "fault",
        "where",
        "advice",
    )
    readonly_fields = ("reference", "where", "advice")
    actions = ("resume",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AddressErasure]:
        return run.stuck(clock.now()).defer("certificate", "sealed_address")

    @admin.display(description=_("number"))
    def reference(self, row: AddressErasure) -> str:
        return row.reference

    @admin.display(description=_("where or why"))
    def where(self, row: AddressErasure) -> str:
        return str(row.report.get(steps.STUCK) or "–")

    @admin.display(description=_("what to do"))
    def advice(self, row: AddressErasure) -> str:
        return str(WHAT_TO_DO[row.fault])

    @admin.action(description=_("Resume"), permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[AddressErasure]) -> None:
        row = self.one(request, rows)
        if row is not None and run.resume(row, current_person(request), clock.now()):
            messages.success(request, gettext("The next step is tried within a minute."))
