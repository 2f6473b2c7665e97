# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every page knows: the menu, the organisation, and its own address in the other language."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse, translate_url
from django.utils.translation import get_language, override

from config.navigation import menu


def portal(request: HttpRequest) -> dict[str, Any]:
    """Context processor."""
    membership = getattr(request, "membership", None)
    return {
        "organisation": membership.organisation if membership else None,
        "role": membership.role if membership else "",
        "menu": menu(request, membership.role) if membership else [],
        "languages": _languages(request),
    }


def _languages(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        {"code": code, "url": _translated(request, code), "current": code == get_language()}
        for code, _ in settings.LANGUAGES
    ]


def _translated(request: HttpRequest, code: str) -> str:
    """Return this page in another language, or the front page where this one is no page."""
    try:
        resolve(request.path)
    except Resolver404:
        with override(code):
            return reverse("home")
    return translate_url(request.get_full_path(), code)
