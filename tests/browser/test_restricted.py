# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a restricted person sees, who was told, and what staff see of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from accounts import clock
from accounts.models import Organisation, User
from gdpr.models import Correction, Notice, Right
from gdpr.rights import rectification, restriction
from gdpr.rights.restriction import Ground
from tests import build
from tests.browser import matrix
from tests.browser.test_requests import prove
from tests.browser.visit import path
from tests.browser.window import Window


def _told(person: User) -> None:
    """Notices of each kind: told by mail, to be told, and one that nobody can tell."""
    states = [Notice.State.TOLD, Notice.State.OPEN, Notice.State.IMPOSSIBLE]
    for number, state in enumerate(states):
        host = build.supplier(f"Værtshusets leverandør nummer {number} A/S")
        host.save(force_insert=True)
        at = clock.now() - timedelta(hours=number)
        is_open = state == Notice.State.OPEN
        Notice.objects.create(
            person=person, recipient=host, change=Notice.Change.values[number], state=state,
            cause_id=host.pk, opened_at=at, closed_at=None if is_open else at,
            by="" if is_open else Notice.By.MAIL,
        )  # fmt: skip


@pytest.mark.parametrize("look", matrix.EVERY_LOOK)
def test_restricted_person_sees_why_and_what_would_change(
    window: Window, organisation: Organisation, bo: User
) -> None:
    now = clock.now()
    with build.as_owner():
        asked = build.request_of(bo, Right.RECTIFICATION)
        right = asked.rights.get()
        Correction.objects.create(
            right=right, field=rectification.ADDRESS, value="bo.krog@ny.example", evidence="Nyt job"
        )
        restriction.impose(bo, Ground.ACCURACY, now, right=right)
        ends = restriction.impose(bo, Ground.CLAIMS, now)
        ends.ends_at = now + restriction.NOTICE
        ends.save()
        _told(bo)
    window.sign_in(bo, organisation)
    for name, place in (
        ("restriction", path("gdpr:restriction")),
        ("correction", path("gdpr:request", asked.pk)),
        ("told", path("gdpr:told")),
    ):
        window.open(place)
        window.check(f"{name}-filled")


@pytest.mark.parametrize("look", matrix.EVERY_LOOK)
def test_only_owner_is_told_what_it_means(
    window: Window, organisation: Organisation, anna: User
) -> None:
    window.sign_in(anna, organisation)
    prove(window)
    for name in ("restriction", "restriction-ask", "objection"):
        window.open(path(f"gdpr:{name}"))
        window.check(f"{name}-alone")
    with build.as_owner():
        restriction.impose(anna, Ground.CLAIMS, clock.now())
    for name in ("restriction", "restriction-end"):
        window.open(path(f"gdpr:{name}"))
        window.check(f"{name}-restricted")


@pytest.mark.parametrize("look", matrix.EVERY_LOOK)
def test_staff_are_asked_why_they_look(
    window: Window, organisation: Organisation, bo: User, dorte: User
) -> None:
    build.second_factor(dorte)
    with build.as_owner():
        restriction.impose(bo, Ground.CLAIMS, clock.now())
    window.sign_in(dorte)
    window.open(path("admin:accounts_user_change", bo.pk))
    window.check("staff-person-restricted")
    window.page.get_by_role("radio").nth(1).check()
    window.page.locator("input[type=submit]").click()
    expect(window.page.locator("#content")).to_contain_text(bo.last_name)
