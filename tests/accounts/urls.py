# SPDX-License-Identifier: AGPL-3.0-or-later
"""The addresses that mails link to, without their pages."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.urls import include, path

NAMES = ("sign-up-confirm", "invitation", "password-reset-confirm")
PLAIN = ("sign-in", "password-reset", "team", "security")
pages = [path(f"{name}/<str:token>/", HttpResponse, name=name) for name in NAMES] + [
    path(f"{name}/", HttpResponse, name=name) for name in PLAIN
]
urlpatterns = i18n_patterns(path("", include((pages, "accounts"))), prefix_default_language=False)
