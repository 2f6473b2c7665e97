# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's list of erasures that do not get on: where each stands, since when, and why.

Nothing here says whose they are: a place is a column or a store, a fault the kind of an error.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from accounts import clock
from accounts.access import current_person
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import tasks
from gdpr.erasing import run
from gdpr.models import Erasure


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
        "due_at",
        "asked_at",
        "started_at",
    )
    readonly_fields = ("reference", "step", "since", "where")
    actions = ("resume",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        last = Coalesce(Max("steps__done_at"), F("started_at"), F("asked_at"))
        return run.stuck(clock.now()).annotate(stands_since=last)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": gettext("Erasures that do not get on")}
        return super().changelist_view(request, title | (extra_context or {}))

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
        return str(row.report.get("stuck") or "–")

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
