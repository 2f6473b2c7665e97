# SPDX-License-Identifier: AGPL-3.0-or-later
"""Visits to pages in English, through the real middleware, and what an answer leads to."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from accounts import stepup
from accounts.models import Organisation, User
from accounts.sessions import SessionStore
from tests import build


def at(name: str, *arguments: object) -> str:
    """The English address of a page; a request before it may have left another language on."""
    with override("en"):
        return reverse(name, args=arguments)


def visit(user: User | None = None, organisation: Organisation | None = None) -> Client:
    """A browser, of a person who is signed in when given."""
    client = Client()
    if user is not None:
        client.cookies["sessionid"] = build.session(user, organisation)
    return client


def prove(client: Client, means: str = stepup.PASSWORD) -> None:
    """Make the step-up of a browser fresh."""
    session = SessionStore(client.cookies["sessionid"].value)
    session[stepup.SESSION_KEY] = timezone.now().isoformat()
    session[stepup.MEANS_KEY] = means
    session.save()


def leads_to(response: HttpResponse | Any, name: str, *arguments: object) -> bool:
    """Say whether the answer sends the browser to this page."""
    location: str = response.headers.get("Location", "")
    return response.status_code == 302 and location.partition("?")[0] == at(name, *arguments)


def asks_to_sign_in(response: Any, path: str) -> bool:
    return leads_to(response, "accounts:sign-in") and response.headers["Location"].endswith(
        f"?next={path}"
    )


def open_contexts() -> tuple[str, str, str]:
    """Organisation, person and role that the database connection was left with."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('app.organisation', true), ''),"
            " coalesce(current_setting('app.person', true), ''), current_user"
        )
        row: tuple[str, str, str] = cursor.fetchone()
    return row
