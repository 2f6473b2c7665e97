# SPDX-License-Identifier: AGPL-3.0-or-later
"""The published schema of what article 20 lets a person take along."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from gdpr.rights import portability


@require_safe
def portability_schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(portability.schema_text(), content_type="application/schema+json")
