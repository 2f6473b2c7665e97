# SPDX-License-Identifier: AGPL-3.0-or-later
"""Until when a law keeps each row: counted by hand, and no day where its time has not begun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Membership, Organisation, Role, User
from dpa.models import Agreement, Document
from dpa.terms import KEPT_DAYS
from gdpr import holds, inventory
from gdpr.holds import Ground
from gdpr.registry import Eraser, Held, Law
from tests import build

ENTRY = inventory.entry("dpa.Agreement")
DAY = timedelta(days=1)
BOOKS = Held(law=Law.BOOKKEEPING, clock="closed_at")


def limitation() -> Held:
    assert ENTRY.held is not None
    return ENTRY.held


@pytest.mark.parametrize(
    ("month", "day", "until"),
    [
        (12, "2026-01-01", "2031-12-31"),
        (12, "2026-12-31", "2031-12-31"),
        (12, "2027-01-01", "2032-12-31"),
        (12, "2024-02-29", "2029-12-31"),
        (6, "2026-06-30", "2031-06-30"),
        (6, "2026-07-01", "2032-06-30"),
        (2, "2023-02-28", "2028-02-29"),
        (2, "2024-02-29", "2029-02-28"),
        (2, "2024-03-01", "2030-02-28"),
        (1, "2026-12-31", "2032-01-31"),
    ],
)
def test_bookkeeping_ends_with_the_financial_year(
    settings: Settings, month: int, day: str, until: str
) -> None:
    settings.FINANCIAL_YEAR_LAST_MONTH = month
    assert holds.end_of_bookkeeping(date.fromisoformat(day)) == date.fromisoformat(until)


def test_bookkeeping_is_a_legal_duty() -> None:
    entry = replace(ENTRY, held=BOOKS)
    assert holds.ground_of(entry, Eraser.HOLD) is Ground.LEGAL_DUTY
    assert Ground.LEGAL_DUTY.is_lasting


@pytest.mark.django_db
@pytest.mark.as_role("duty")
@pytest.mark.parametrize(
    ("closed_at", "until"),
    [
        # A quarter to twelve in Copenhagen, and a quarter past.
        (datetime(2026, 12, 31, 22, 45, tzinfo=UTC), date(2031, 12, 31)),
        (datetime(2026, 12, 31, 23, 15, tzinfo=UTC), date(2032, 12, 31)),
    ],
)
def test_year_of_a_row_is_the_one_of_copenhagen(
    organisation: Organisation, closed_at: datetime, until: date
) -> None:
    with build.as_owner():
        made = build.agreement(organisation, closed_at=closed_at)
    assert holds.ends(BOOKS, Agreement.objects.all()) == {made.pk: until}


@pytest.mark.django_db
@pytest.mark.as_role("duty")
class TestLimitation:
    def test_each_row_has_its_own_end(self, organisation: Organisation) -> None:
        with build.as_owner():
            one, other = (
                build.agreement(organisation, closed_at=build.NOW + days * DAY) for days in (0, 3)
            )
        first = (build.NOW + KEPT_DAYS * DAY).date()
        found = holds.ends(limitation(), Agreement.objects.all())
        assert found == {one.pk: first, other.pk: first + 3 * DAY}

    def test_what_belongs_to_a_row_ends_with_it(self, organisation: Organisation) -> None:
        with build.as_owner():
            made = build.agreement(organisation)
        held = inventory.entry("dpa.Document").held
        assert held is not None
        (until,) = holds.ends(held, Document.objects.all()).values()
        assert until == holds.ends(limitation(), Agreement.objects.all())[made.pk]

    def test_day_is_the_one_of_copenhagen(self, organisation: Organisation) -> None:
        with build.as_owner():
            build.agreement(organisation, closed_at=build.NOW.replace(hour=23, minute=30))
        (until,) = holds.ends(limitation(), Agreement.objects.all()).values()
        assert until == build.NOW.date() + (KEPT_DAYS + 1) * DAY

    def test_agreement_in_force_has_no_end(self, organisation: Organisation) -> None:
        with build.as_owner():
            _in_force(organisation)
        (until,) = holds.ends(limitation(), Agreement.objects.all()).values()
        assert until is None

    def test_rows_are_told_by_the_day_on_which_they_end(self, organisation: Organisation) -> None:
        with build.as_owner():
            for days in (3, 0, 0):
                build.agreement(organisation, closed_at=build.NOW + days * DAY)
            _in_force(organisation)
        rows = Agreement.objects.all()
        told = list(holds.of(ENTRY, Ground.LEGAL_CLAIMS, rows))
        first = (build.NOW + KEPT_DAYS * DAY).date()
        assert [(one.rows, one.until_on) for one in told] == [
            (2, first),
            (1, first + 3 * DAY),
            (1, None),
        ]
        assert {one.law for one in told} == {Law.LIMITATION}


@pytest.mark.parametrize(
    ("until_on", "is_over"),
    [("2031-12-31", True), ("2032-01-01", False), ("2032-01-02", False), ("", False)],
)
def test_row_is_kept_on_its_last_day(until_on: str, is_over: bool) -> None:
    until = date.fromisoformat(until_on) if until_on else None
    assert holds.has_ended(BOOKS, None, until, date(2032, 1, 1)) is is_over


@pytest.mark.django_db
@pytest.mark.as_role("duty")
class TestCustomer:
    def test_has_left_when_nobody_and_no_evidence_is_left(self, anna: User) -> None:
        closed = build.organisation("Lukket ApS", standing=Organisation.Standing.CLOSED)
        build.member(closed, anna, Role.OWNER)
        with build.as_owner():
            made = build.agreement(closed)
        assert not holds.has_left(closed)
        with build.as_owner():
            Membership.objects.filter(organisation=closed).delete()
        assert not holds.has_left(closed)
        with build.as_owner():
            made.delete()
        assert holds.has_left(closed)

    @pytest.mark.parametrize("standing", sorted(Organisation.CARRIED - Organisation.ENDING))
    def test_has_not_left_while_mail_is_carried(self, standing: str) -> None:
        assert not holds.has_left(build.organisation("Åben ApS", standing=standing))


@pytest.mark.django_db
@pytest.mark.as_role("duty")
def test_customer_that_is_closing_has_not_left_while_its_mail_is_there() -> None:
    closing = build.organisation("Lukker ApS", standing=Organisation.Standing.CLOSING)
    assert holds.has_left(closing)
    build.mail_of(closing)
    assert not holds.has_left(closing)


def _in_force(organisation: Organisation) -> Agreement:
    state = Agreement.State.IN_FORCE
    return build.agreement(organisation, state=state, in_force_at=build.NOW, closed_at=None)
