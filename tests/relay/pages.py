# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signed-in browsers for the tests of pages, and what each page must answer to whom."""

from __future__ import annotations

from django.test import Client

from accounts import clock, stepup
from accounts.models import Membership, Organisation, Role, User
from tests import build


def signed_in(user: User) -> Client:
    """A browser in which the person has just signed in."""
    client = Client()
    with build.as_owner():
        client.force_login(user)
        session = client.session
        session[stepup.SESSION_KEY] = clock.now().isoformat()
        session.save()
    return client


def member(organisation: Organisation, role: Role) -> Client:
    """A browser of a new member with this role."""
    person = build.person(role.value, "Medlem")
    build.member(organisation, person, role)
    return signed_in(person)


def membership(user: User) -> Membership:
    with build.as_owner():
        return Membership.objects.select_related("organisation", "user").get(user=user)
