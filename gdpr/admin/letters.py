# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of letters: those that left sealed, and every kind with invented data."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.access import current_person
from accounts.models import User
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr.admin import previews
from gdpr.letters import drafts, gallery
from gdpr.models import Letter

GALLERY = "admin:gdpr_letter_gallery"
SAMPLE = "admin:gdpr_letter_sample"
DOCUMENT = "admin:gdpr_letter_document"


@admin.register(Letter, site=site)
class LetterAdmin(ReadOnlyAdmin):
    list_display = ("title", "request", "language", "issued", "left")
    list_filter = ("kind", "language")
    list_select_related = ("right__request",)
    ordering = ("-issued_at",)
    fields = ("title", "request", "language", "issued", "left", "sha256", "document")
    readonly_fields = ("title", "request", "issued", "left", "document")

    @admin.display(description=_("letter"))
    def title(self, row: Letter) -> str:
        return drafts.title(row)

    @admin.display(description=_("request"))
    def request(self, row: Letter) -> str:
        return row.right.request.reference

    @admin.display(description=_("issued"), ordering="issued_at")
    def issued(self, row: Letter) -> datetime:
        return row.issued_at

    @admin.display(description=_("sealed and sent"), boolean=True)
    def left(self, row: Letter) -> bool:
        return row.has_left

    @admin.display(description=_("sealed PDF"))
    def document(self, row: Letter) -> str:
        if not row.has_left:
            return gettext("It is being sealed, and leaves within minutes.")
        url = reverse(DOCUMENT, args=[row.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Open the letter"))

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        gallery_page, sample, document = (
            name.partition(":")[2] for name in (GALLERY, SAMPLE, DOCUMENT)
        )
        return [
            path("gallery/", guarded(self.gallery_view), name=gallery_page),
            path("gallery/<slug:kind>/<slug:language>/", guarded(self.sample_view), name=sample),
            path("<uuid:letter_id>/document/", guarded(self.document_view), name=document),
            *super().get_urls(),
        ]

    def document_view(self, request: HttpRequest, letter_id: UUID) -> HttpResponse:
        """Give the letter as it left; the look at it is recorded."""
        self._demand_view(request)
        left = Letter.objects.filter(due_at=None).select_related("right__request")
        row = get_object_or_404(left, pk=letter_id)
        audit.record_installation(current_person(request), "letter.viewed", row)
        return previews.as_page(drafts.content(row))

    def gallery_view(self, request: HttpRequest) -> HttpResponse:
        """Show every kind of letter in every language, with invented people."""
        self._demand_view(request)
        languages = User.Language.values
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Every letter"),
            "opts": self.opts,
            "kinds": [
                (name, [gallery.sample(name, language) for language in languages])
                for name in gallery.SAMPLES
            ],
        }
        return render(request, "admin/gdpr/gallery.html", context)

    def sample_view(self, request: HttpRequest, kind: str, language: str) -> HttpResponse:
        """Show one kind as the PDF that it would be."""
        self._demand_view(request)
        if kind not in gallery.SAMPLES or language not in User.Language.values:
            raise Http404
        return previews.as_page(drafts.typeset(gallery.sample(kind, language), clock.now()))

    def _demand_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
