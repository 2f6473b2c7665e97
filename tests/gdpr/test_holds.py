# SPDX-License-Identifier: AGPL-3.0-or-later
"""Until when something stays: the last row's day, and no day while one row has none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Organisation, User
from dpa.models import Agreement
from dpa.terms import KEPT_DAYS
from gdpr import holds, inventory
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

ENTRY = inventory.entry("dpa.Agreement")
DAY = timedelta(days=1)


def _signed(organisation: Organisation, anna: User) -> None:
    with build.as_owner():
        for closed_at in (build.NOW, build.NOW + 3 * DAY):
            build.agreement(organisation, signatory=anna, closed_at=closed_at)


def test_closed_rows_go_with_the_last_of_them(organisation: Organisation, anna: User) -> None:
    _signed(organisation, anna)
    until = (build.NOW + (3 + KEPT_DAYS) * DAY).date()
    assert holds.end_of(ENTRY, Agreement.objects.all()) == until


def test_day_is_the_one_of_copenhagen(organisation: Organisation, anna: User) -> None:
    with build.as_owner():
        closed_at = build.NOW.replace(hour=23, minute=30)
        build.agreement(organisation, signatory=anna, closed_at=closed_at)
    until = build.NOW.date() + (KEPT_DAYS + 1) * DAY
    assert holds.end_of(ENTRY, Agreement.objects.all()) == until


def test_row_whose_clock_has_not_begun_has_no_day(organisation: Organisation, anna: User) -> None:
    _signed(organisation, anna)
    with build.as_owner():
        build.agreement(
            organisation,
            signatory=anna,
            state=Agreement.State.IN_FORCE,
            in_force_at=build.NOW,
            closed_at=None,
        )
    assert holds.end_of(ENTRY, Agreement.objects.all()) is None


def test_nothing_there_has_no_day() -> None:
    assert holds.end_of(ENTRY, Agreement.objects.none()) is None
