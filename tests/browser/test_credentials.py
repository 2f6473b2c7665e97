# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a credential may, with everything filled in, wrong entries, and a block."""

from __future__ import annotations

import pytest

from accounts.models import Organisation, User
from relay.models import Credential, SendingDomain
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.test_requests import prove
from tests.browser.window import Window


def _credential(organisation: Organisation) -> str:
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation, name="duehuset.example", token="x", state="verified",
            created_at=build.NOW, verified_at=build.NOW,
        )  # fmt: skip
        row = Credential.objects.create(
            organisation=organisation, name="Multifunktionsprinter på 2. sal", username="a" * 20,
            secret_hash=b"x", created_at=build.NOW, recipients_a_day=2_000, by_network=True,
            networks=["192.0.2.0/24", "2001:db8:1234:5678::/64"], domains=["duehuset.example"],
            blocked_at=build.NOW, block_reason=Credential.BlockReason.BY_PERSON,
        )  # fmt: skip
    return f"/credentials/{row.id}/"


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_pages_of_a_bounded_credential(
    window: Window, organisation: Organisation, anna: User
) -> None:
    path = _credential(organisation)
    window.sign_in(anna, organisation)
    prove(window)
    for name, page in (("blocked", path), ("list", "/credentials/"), ("edit", f"{path}edit/")):
        window.open(page)
        window.check(f"credential-{name}")
    window.page.locator("[name=networks]").fill("192.0.0.0/16\nkontoret")
    window.page.locator("[name=domains]").fill("fremmed.example")
    window.page.locator("main .button").click()
    window.page.locator("[role=alert]").wait_for()
    window.check("credential-edit-wrong")
    window.open("/credentials/new/")
    window.page.locator("summary").click()
    window.check("credential-new-open")
