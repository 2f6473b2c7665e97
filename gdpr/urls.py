# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of requests and public duties."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

app_name = "gdpr"

urlpatterns: list[URLPattern | URLResolver] = []
