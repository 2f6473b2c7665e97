# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's list of erasures that do not get on: where each stands, since when, and why.

The others are found by their number alone, for who comes back with a certificate.

Nothing here says whose they are: a place is a column or a store, a fault the kind of an error.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from accounts import audit, clock
from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import tasks
from gdpr.erasing import certificate, findings, holding, run, steps
from gdpr.erasing.plan import Plan
from gdpr.forms import FindingsForm
from gdpr.models import Erasure

ACCEPT = "admin:gdpr_erasure_accept"
CERTIFICATE = "admin:gdpr_erasure_certificate"
COMPLETION = "admin:gdpr_erasure_completion"
CHANGELIST = "admin:gdpr_erasure_changelist"


@admin.register(Erasure, site=site)
class ErasureAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "step", "since", "fault", "where", "due_at")
    ordering = ("due_at",)
    fields = (
        "reference",
        "state",
        "is_repeat",
        "step",
        "since",
        "fault",
        "where",
        "found",
        "due_at",
        "asked_at",
        "started_at",
        "ended_at",
        "plan",
        "held",
        "completed_at",
        "document",
    )
    readonly_fields = (
        "reference",
        "step",
        "since",
        "where",
        "found",
        "plan",
        "held",
        "document",
    )
    search_fields = ("id__startswith",)
    actions = ("resume",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        last = Coalesce(Max("steps__done_at"), F("started_at"), F("asked_at"))
        return Erasure.objects.annotate(stands_since=last)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Erasure], search_term: str
    ) -> tuple[QuerySet[Erasure], bool]:
        if search_term:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(pk__in=run.stuck(clock.now()).values("pk")), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Not as the search's help: a field that has a help needs a label that can be seen.
        words = {
            "title": gettext("Erasures that do not get on"),
            "subtitle": gettext("The others are found by the number on their certificate"),
        }
        return super().changelist_view(request, words | (extra_context or {}))

    @admin.display(description=_("number"))
    def reference(self, row: Erasure) -> str:
        return row.reference

    @admin.display(description=_("step"))
    def step(self, row: Erasure) -> str:
        """Return the first step that is not done; before the start there is none."""
        step = row.steps.filter(done_at=None).first()
        return step.name if step else "–"

    @admin.display(description=_("since"), ordering="stands_since")
    def since(self, row: Erasure) -> datetime:
        since: datetime = row.stands_since  # type: ignore[attr-defined] # get_queryset adds it
        return since

    @admin.display(description=_("where or why"))
    def where(self, row: Erasure) -> str:
        return str(row.report.get(steps.STUCK) or "–")

    @admin.display(description=_("found by the scan"))
    def found(self, row: Erasure) -> str:
        """Return what the last scan stopped at, with the way to say that it is somebody else's."""
        places = [(one.place, one.kind.value, one.count) for one in findings.of(row)]
        if not places:
            return "–"
        url = reverse(ACCEPT, args=[row.pk])
        listed = format_html_join("", "<li>{}: {} ({})</li>", places)
        words = gettext("This is not the person, because …")
        return format_html('<ul>{}</ul><a href="{}">{}</a>', listed, url, words)

    @admin.display(description=_("dry run"))
    def plan(self, row: Erasure) -> str:
        """Return what goes, and what stays by which law until when; counting changes nothing."""
        if "plan" not in row.report:
            return "–"
        made = Plan.from_json(row.report["plan"])
        context = {
            "row": row,
            "deleted": certificate.counted(made.deleted),
            "anonymised": certificate.counted(made.anonymised),
            "kept": certificate.kept_lines(made),
        }
        return render_to_string("admin/gdpr/plan.html", context)

    @admin.display(description=_("held by a law"))
    def held(self, row: Erasure) -> str:
        """Return the rows that the erasure had to leave, and which of them are gone."""
        lines = holding.progress(row)
        return render_to_string("admin/gdpr/held.html", {"lines": lines}) if lines else "–"

    @admin.display(description=_("certificate"))
    def document(self, row: Erasure) -> str:
        links = [
            (reverse(name, args=[row.pk]), words)
            for name, words, pdf in (
                (CERTIFICATE, gettext("Open the certificate"), row.certificate),
                (COMPLETION, gettext("Open the second certificate"), row.completion),
            )
            if pdf is not None
        ]
        return format_html_join(" · ", '<a href="{}">{}</a>', links) or "–"

    def get_urls(self) -> list[URLPattern]:
        pages = {
            ACCEPT: self.accept_view,
            CERTIFICATE: self.certificate_view,
            COMPLETION: self.completion_view,
        }
        own = [
            path(
                f"<uuid:erasure_id>/{name.rpartition('_')[2]}/",
                self.admin_site.admin_view(view),
                name=name.partition(":")[2],
            )
            for name, view in pages.items()
        ]
        return [*own, *super().get_urls()]

    def certificate_view(self, request: HttpRequest, erasure_id: UUID) -> HttpResponse:
        """Give the sealed PDF; the look at it is recorded."""
        return self._given(request, erasure_id, "certificate", "")

    def completion_view(self, request: HttpRequest, erasure_id: UUID) -> HttpResponse:
        """Give the second one in the same way."""
        return self._given(request, erasure_id, "completion", "-2")

    def _given(
        self, request: HttpRequest, erasure_id: UUID, field: str, ending: str
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = get_object_or_404(Erasure.objects.exclude(**{field: None}), pk=erasure_id)
        audit.record_installation(current_person(request), "erasure.certificate-viewed", row)
        response = HttpResponse(bytes(getattr(row, field)), content_type="application/pdf")
        name = f"{row.reference}{ending}.pdf"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def accept_view(self, request: HttpRequest, erasure_id: UUID) -> HttpResponse:
        """Say of what the last scan stopped at that it is somebody else's, and why."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        row = get_object_or_404(self.get_queryset(request), pk=erasure_id)
        form = FindingsForm(request.POST or None)
        if form.is_valid() and self._accepted(request, row, form):
            messages.success(request, gettext("It is searched again within a minute."))
            return redirect(CHANGELIST)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Findings of a scan"),
            "opts": self.opts,
            "form": form,
            "row": row,
            "found": findings.of(row),
        }
        return render(request, "admin/gdpr/accept.html", context)

    def _accepted(self, request: HttpRequest, row: Erasure, form: FindingsForm) -> bool:
        try:
            because, by = form.cleaned_data["because"], current_person(request)
            findings.accept(row, because, by, clock.now())
        except Refused as refused:
            form.add_error(None, str(refused))
            return False
        transaction.on_commit(lambda: _carry_on(row.pk))
        return True

    @admin.action(description=_("Resume"), permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[Erasure]) -> None:
        row = self.one(request, rows)
        if row is not None and run.resume(row, current_person(request), clock.now()):
            transaction.on_commit(lambda: _carry_on(row.pk))
            messages.success(request, gettext("The next step is tried within a minute."))


def _carry_on(erasure_id: UUID) -> None:
    # Beat does the same every minute, so that no more than that is lost with Redis.
    with suppress(OperationalError):
        tasks.erase.apply_async(
            kwargs={"erasure_id": str(erasure_id)}, expires=tasks.EXPIRES, retry=False
        )
