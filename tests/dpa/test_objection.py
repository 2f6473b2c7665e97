# SPDX-License-Identifier: AGPL-3.0-or-later
"""The agreement in force with the longest notice decides when a sub-processor may start."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from dpa.objection import earliest_start
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("staff")]

TODAY = date(2026, 11, 22)


def agreed(name: str, days: int, state: str = "in_force") -> None:
    periods = build.AGREED["periods"] | {"objection_days": days}
    with build.as_owner():
        facts = build.AGREED | {"periods": periods}
        build.agreement(build.organisation(name), state=state, facts=facts)


def test_at_any_time_where_nobody_has_an_agreement() -> None:
    agreed("Duehuset ApS", 30, state="superseded")
    assert earliest_start(TODAY) is None


def test_longest_notice_of_all_in_force() -> None:
    agreed("Duehuset ApS", 30)
    agreed("Andet Hus A/S", 45)
    agreed("Tredje Hus A/S", 90, state="ended")
    assert earliest_start(TODAY) == TODAY + timedelta(days=45)
