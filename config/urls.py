# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mounts each app's pages: Danish without prefix, English under /en/."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import URLPattern, URLResolver, include, path

from accounts.staffsite import site as staff_site
from config.health import healthz, readyz
from config.home import home
from config.proof import proof
from relay.views.hooks import esp_hook

handler404 = "config.errors.not_found"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("hooks/esp/<str:made>/", esp_hook, name="esp-hook"),
]
urlpatterns += i18n_patterns(
    path("", home, name="home"),
    path("proof/", proof, name="proof"),
    path("staff/", staff_site.urls),
    path("", include("accounts.urls")),
    path("", include("relay.urls")),
    path("", include("gdpr.urls")),
    path("", include("dpa.urls")),
    prefix_default_language=False,
)
