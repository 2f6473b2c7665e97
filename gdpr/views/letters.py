# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own sealed letters."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import current_person, person_required, while_restricted
from gdpr.letters import drafts
from gdpr.models import Letter


@require_safe
@while_restricted
@person_required
@never_cache
def letter(request: HttpRequest, request_id: UUID, letter_id: UUID) -> HttpResponse:
    """Give a letter to the person whom it was written to, as it left."""
    own = Letter.objects.filter(right__request__person=current_person(request))
    row = get_object_or_404(
        own.select_related("right__request"), pk=letter_id, right__request_id=request_id
    )
    return as_file(row)


def as_file(row: Letter) -> HttpResponse:
    """Return the PDF of a letter. Raises vault.VaultError."""
    response = HttpResponse(drafts.content(row), content_type=drafts.PDF_TYPE)
    name = drafts.file_name(row.right, row.kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
