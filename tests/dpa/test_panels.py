# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest

from accounts.models import Membership, Role
from dpa import panels
from dpa.models import Agreement
from tests import build
from tests.dpa import papers

pytestmark = pytest.mark.django_db


def test_panel_leads_to_signing_until_both_have_signed(inside: Membership) -> None:
    panel = panels.agreement(inside, build.NOW)
    assert panel
    assert (panel.data["waiting"], panel.data["may_sign"]) == (None, True)
    row = papers.sign(papers.offer(inside, b"paper"), inside, b"paper")
    panel = panels.agreement(inside, build.NOW)
    assert panel
    assert panel.data["waiting"] == row
    with build.as_owner():
        values = {"state": Agreement.State.IN_FORCE, "in_force_at": build.NOW}
        Agreement.objects.filter(pk=row.pk).update(**values)
    assert panels.agreement(inside, build.NOW) is None


def test_who_may_not_read_agreements_is_not_shown_the_way_to_them(inside: Membership) -> None:
    inside.role = Role.DEVELOPER
    assert panels.agreement(inside, build.NOW) is None
