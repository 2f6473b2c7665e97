# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mounts each app's pages: Danish without prefix, English under /en/."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import path

urlpatterns = i18n_patterns(
    path("staff/", admin.site.urls),
    prefix_default_language=False,
)
