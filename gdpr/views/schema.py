# SPDX-License-Identifier: AGPL-3.0-or-later
"""The published schemas of packages: of their manifest, and of what can be taken along."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from gdpr.rights import manifest, portability


@require_safe
def portability_schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(portability.schema_text(), content_type="application/schema+json")


@require_safe
def manifest_schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(manifest.schema_text(), content_type="application/schema+json")
