# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each page once in each language, size and theme alternating; the full matrix on demand."""

from __future__ import annotations

from itertools import product

import pytest

from accounts import alerts
from accounts.models import Organisation, User
from tests import build
from tests.browser.pages import PAGES, Page
from tests.browser.window import Look, Window

ALTERNATING = (("desktop", "light"), ("phone", "dark"), ("phone", "light"), ("desktop", "dark"))


def _cases() -> list[object]:
    cases: list[object] = []
    for number, page in enumerate(PAGES):
        quick = {
            Look(language, *ALTERNATING[(number * 2 + turn) % 4])
            for turn, language in enumerate(("da", "en"))
        }
        for every in product(("da", "en"), ("desktop", "phone"), ("light", "dark")):
            look = Look(*every)
            marks = () if look in quick else (pytest.mark.full,)
            cases.append(pytest.param(page, look, marks=marks, id=f"{page.name}-{look}"))
    return cases


def _prepare_for_staff(staff: User, organisation: Organisation, anna: User) -> None:
    """Something in every list, and an alert on top of every page."""
    build.second_factor(staff)
    build.everything_of(organisation, anna)
    with build.as_owner():
        alerts.raise_alert("beat-silent")


@pytest.mark.parametrize(("page", "look"), _cases())
def test_page(
    page: Page, window: Window, organisation: Organisation, request: pytest.FixtureRequest
):
    if page.who != "nobody":
        person = request.getfixturevalue(page.who)
        if person.is_staff:
            _prepare_for_staff(person, organisation, request.getfixturevalue("anna"))
        window.sign_in(person, organisation)
    window.open(page.path, page.status)
    window.check(page.name)
