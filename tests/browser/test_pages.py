# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each page once, language, size and theme alternating; the full matrix on demand."""

from __future__ import annotations

import pytest

from accounts import alerts
from accounts.models import Organisation, User
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.pages import PAGES, Page
from tests.browser.window import Window


def _prepare_for_staff(staff: User, organisation: Organisation, anna: User) -> None:
    """Something in every list, and an alert on top of every page."""
    build.second_factor(staff)
    build.everything_of(organisation, anna)
    with build.as_owner():
        alerts.raise_alert("beat-silent")


@pytest.mark.parametrize("look", EVERY_LOOK)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
