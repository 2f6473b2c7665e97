# SPDX-License-Identifier: AGPL-3.0-or-later
"""A route through a provider: before it reports, the address that it reports to, and after."""

from __future__ import annotations

import pytest

from accounts import clock
from accounts.models import Organisation, User
from relay.models import Route
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.window import Window
from tests.guards import places


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_address_for_reports(window: Window, organisation: Organisation, anna: User) -> None:
    with build.as_owner():
        path = f"/routes/{places.a_provider(organisation)}/"
    window.sign_in(anna, organisation)
    window.open(path)
    window.check("provider-silent")
    window.page.locator("form[action$='/hook/'] button").click()
    window.page.locator("#hook").wait_for()
    window.check("provider-address")
    with build.as_owner():
        Route.objects.update(hook_seen_at=clock.now())
    window.open(path)
    window.check("provider-reports")
