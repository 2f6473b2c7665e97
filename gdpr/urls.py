# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of requests and public duties."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from gdpr.views import public

app_name = "gdpr"

urlpatterns: list[URLPattern | URLResolver] = [
    path("privacy/", public.privacy, name="privacy"),
    path("privacy/retention/", public.retention, name="retention"),
    path("privacy/recipients/", public.recipient_list, name="recipients"),
]
