# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's queue of requests with their clocks, and the page on which a right is decided."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import site
from gdpr import claims, clocks, deciding
from gdpr.admin import entry, previews
from gdpr.admin.officers import OfficersAdmin
from gdpr.forms import DecisionForm
from gdpr.letters.drafts import Draft
from gdpr.models import RequestedRight
from gdpr.rights import rectification

DECIDE = "admin:gdpr_requestedright_decide"
CHANGE = entry.CHANGE
ENTER = "admin:gdpr_requestedright_enter"
CLOCKS = "admin:gdpr_requestedright_clocks"


@admin.register(RequestedRight, site=site)
class RequestedRightAdmin(OfficersAdmin):
    """Open rights on top, the one that is due next first. Each look at one is recorded."""

    # What the clock says stands first, where no table is too wide for it.
    list_display = (
        "reference", "right", "promised", "left", "state", "escalated", "limit", "channel",
        "proven",
    )  # fmt: skip
    list_filter = (
        ("closed_at", admin.EmptyFieldListFilter),
        ("request__proven_at", admin.EmptyFieldListFilter),
        "request__channel",
        "state",
        "right",
        "escalated",
    )
    actions = ("decide_many",)
    list_select_related = ("request",)
    # PostgreSQL sorts what is empty first when descending: what is open.
    ordering = ("-closed_at", "promised_on")
    fields = (
        "reference",
        "right",
        "channel",
        "state",
        "proven",
        "claim",
        "first_answer",
        "details",
        "wish",
        "received",
        "promised",
        "limit",
        "left",
        "extended_at",
        "resolution",
        "closed_at",
        "decide",
        "history",
    )
    readonly_fields = (
        "reference", "channel", "proven", "claim", "first_answer", "wish", "received", "promised",
        "limit", "left", "decide", "history",
    )  # fmt: skip

    @admin.display(description=_("request"))
    def reference(self, row: RequestedRight) -> str:
        return row.request.reference

    @admin.display(description=_("channel"))
    def channel(self, row: RequestedRight) -> str:
        return row.request.get_channel_display()

    @admin.display(description=_("identity proven"), boolean=True)
    def proven(self, row: RequestedRight) -> bool:
        return row.request.proven_at is not None

    @admin.display(description=_("says to be"))
    def claim(self, row: RequestedRight) -> str:
        """Return how whoever wrote can be reached, as long as that is needed."""
        claim = claims.of(row.request)
        if claim is None:
            return "–"
        known = gettext("An account has this address.") if claim.claimant else ""
        known = known or gettext("No account has this address.")
        return f"{claims.contact(claim)} – {known}"

    @admin.display(description=_("second look at"))
    def first_answer(self, row: RequestedRight) -> str:
        if row.second_look_of_id is None:
            return "–"
        url = reverse(CHANGE, args=[row.second_look_of_id])
        return format_html('<a href="{}">{}</a>', url, str(row.second_look_of_id)[:8])

    @admin.display(description=_("should be"))
    def wish(self, row: RequestedRight) -> str:
        change = rectification.difference_of(row)
        if change is None:
            return "–"
        return format_html(
            "{}: <del>{}</del> <ins>{}</ins> – {}",
            change.what, change.before, change.after, change.evidence,
        )  # fmt: skip

    @admin.display(description=_("received"))
    def received(self, row: RequestedRight) -> str:
        return _time(row.request.received_at)

    @admin.display(description=_("promised"), ordering="promised_on")
    def promised(self, row: RequestedRight) -> str:
        return date_format(clocks.read(row, clock.now()).clock.promised_on, "SHORT_DATE_FORMAT")

    @admin.display(description=_("limit of the law"), ordering="due_on")
    def limit(self, row: RequestedRight) -> str:
        return date_format(clocks.read(row, clock.now()).clock.due_on, "SHORT_DATE_FORMAT")

    @admin.display(description=_("left"))
    def left(self, row: RequestedRight) -> str:
        if not row.is_open:
            return ""
        reading = clocks.read(row, clock.now())
        if reading.stands_still:
            return gettext("stands still")
        if reading.is_late:
            return gettext("too late")
        days = reading.days_left
        if days == 0:
            return gettext("today")
        return ngettext("%(days)d day", "%(days)d days", days) % {"days": days}

    @admin.display(description=_("steps"))
    def history(self, row: RequestedRight) -> str:
        lines = [
            (_time(step.at), step.get_kind_display(), step.get_by_display(), step.reason)
            for step in row.steps.all()
        ]
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}: {} ({}) {}</li>", lines))

    @admin.display(description=_("what to do"))
    def decide(self, row: RequestedRight) -> str:
        if not row.is_open:
            return ""
        url = reverse(DECIDE, args=[row.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Decide"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id)
        if row is not None:
            audit.record_installation(current_person(request), "request.viewed", row)
        return response

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        pages = [
            path("<uuid:right_id>/decide/", guarded(self.decide_view), name=_name(DECIDE)),
            path("enter/", guarded(partial(entry.enter, self)), name=_name(ENTER)),
            path("clocks/", guarded(partial(entry.all_clocks, self)), name=_name(CLOCKS)),
        ]
        return [*pages, *super().get_urls()]

    @admin.action(description=_("Decide about all of them"), permissions=["act"])
    def decide_many(
        self, request: HttpRequest, rows: QuerySet[RequestedRight]
    ) -> HttpResponse | None:
        return entry.decide_many(self, request, rows)

    def decide_view(self, request: HttpRequest, right_id: UUID) -> HttpResponse:
        """Take a right further: ask, extend, accept, refuse, and so on, as its state allows."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        row = get_object_or_404(RequestedRight.objects.select_related("request"), pk=right_id)
        form = DecisionForm(request.POST or None, moves=deciding.moves(row, clock.now()))
        look = previews.look(request, form, partial(_letter, row, form))
        if not previews.is_asked(request) and form.is_valid() and self._decided(request, row, form):
            messages.success(request, gettext("Decided."))
            return redirect(CHANGE, right_id)
        # The page shows what the person has written, so it is a look like the other.
        audit.record_installation(current_person(request), "request.viewed", row)
        if look is not None and look.pdf:
            return previews.as_page(look.pdf)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Decide"),
            "opts": self.opts,
            "form": form,
            "row": row,
            "look": look,
        }
        return render(request, "admin/gdpr/decide.html", context)

    def _decided(self, request: HttpRequest, row: RequestedRight, form: DecisionForm) -> bool:
        by, what = current_person(request), form.cleaned_data["what"]
        try:
            reason, proof = form.cleaned_data["reason"], form.proof()
            deciding.decide(row, what, by, clock.now(), reason=reason, proof=proof)
        except Refused as refused:
            form.add_error(None, str(refused))
            return False
        return True


def _letter(row: RequestedRight, form: DecisionForm) -> Draft | None:
    what, reason = form.cleaned_data["what"], form.cleaned_data["reason"]
    return deciding.letter(row, what, clock.now(), reason=reason, proof=form.proof())


def _name(page: str) -> str:
    return page.partition(":")[2]


def _time(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")
