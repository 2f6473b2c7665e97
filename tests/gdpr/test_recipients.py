# SPDX-License-Identifier: AGPL-3.0-or-later
"""The register of recipients: who is in force, in which category, and who may not come in."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import override
from pytest_django.fixtures import Settings

from accounts.models import AuditEvent
from gdpr import eea, recipients
from gdpr.deadlines import day_of
from gdpr.models import Recipient
from gdpr.registry import Audience, Role
from gdpr.rights import sheet
from tests import build
from tests.accounts.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("staff")]

DAY = date(2026, 6, 1)


def supplier(name: str, **values: Any) -> Recipient:
    with build.as_owner():
        return recipients.enter(build.supplier(name, **values), changed=["name"], by=None)


def names(rows: recipients.Rows) -> list[str]:
    return [row.name for row in rows]


def test_in_force_from_the_first_day_to_the_last() -> None:
    supplier("Værtshuset", ends_on=DAY + timedelta(days=10))
    found = [
        names(recipients.in_force(DAY + timedelta(days=days))) == ["Værtshuset"]
        for days in (-1, 0, 9, 10)
    ]
    assert found == [False, True, True, False]


def test_categories_have_their_own_recipients() -> None:
    supplier("Værtshuset", services=["hosting", "support"])
    supplier("Postbuddet", services=["mail"])
    assert names(recipients.of(Audience.HOSTING, DAY, DAY)) == ["Værtshuset"]
    assert names(recipients.of(Audience.MAIL, DAY, DAY)) == ["Postbuddet"]
    assert names(recipients.of(Audience.BACKUP, DAY, DAY)) == []


def test_who_got_data_since_a_day_is_named_after_the_end() -> None:
    supplier("Værtshuset", starts_on=DAY + timedelta(days=10))
    supplier("Kælderen", ends_on=DAY + timedelta(days=10))
    since = [
        names(recipients.of(Audience.HOSTING, DAY + timedelta(days=days), DAY + timedelta(days=20)))
        for days in (9, 10)
    ]
    assert since == [["Værtshuset", "Kælderen"], ["Værtshuset"]]


def test_sheet_marks_who_no_longer_gets_data() -> None:
    supplier("Værtshuset")
    supplier("Kælderen", ends_on=build.NOW.date() + timedelta(days=1))
    after = build.NOW + timedelta(days=5)
    with override("en"):
        names = sheet._names(Audience.HOSTING, build.NOW.date(), after.date())
    assert names == ["Værtshuset, DK", "Kælderen, DK, until 21 November 2026"]


def test_nobody_is_engaged_by_somebody_they_engage() -> None:
    host = supplier("Værtshuset")
    below = supplier("Kælderen", engaged_by=supplier("Loftet", engaged_by=host))
    host.engaged_by = below
    with pytest.raises(ValidationError, match="engaged_by"):
        host.full_clean()


def test_who_carries_only_our_own_mails_is_no_subprocessor_of_customers() -> None:
    supplier("Værtshuset")
    mail = supplier("Postbuddet", services=["mail"])
    assert names(recipients.subprocessors(DAY)) == ["Værtshuset"]
    assert {entry.role for entry in recipients.entries_for(mail)} == {Role.CONTROLLER}


def test_host_gets_what_the_inventory_says() -> None:
    labels = {entry.model for entry in recipients.entries_for(supplier("Værtshuset"))}
    assert {"relay.Delivery", "accounts.User"} <= labels


def test_chain_is_known_to_its_end() -> None:
    host = supplier("Værtshuset")
    below = supplier("Kælderen", engaged_by=host)
    assert (host.level, below.level) == (1, 2)
    assert names(recipients.in_force(DAY)) == ["Værtshuset", "Kælderen"]


def test_outside_the_eea_only_on_grounds_and_where_the_operator_allows_it(
    settings: Settings,
) -> None:
    with pytest.raises(ValidationError):
        supplier("Overseas", country="US", transfer="clauses")
    settings.EEA_ONLY = False
    with pytest.raises(ValidationError):
        supplier("Overseas", country="US")
    supplier("Overseas", country="US", transfer="clauses")
    supplier("Nordhuset", country="NO")
    assert names(recipients.outside_eea(DAY)) == ["Overseas"]


def test_subprocessor_starts_no_earlier_than_customers_were_promised(clock: Clock) -> None:
    """The agreements in force decide, whatever new ones would say; who has agreed to none waits."""
    supplier("Værtshuset", starts_on=DAY)
    with build.as_owner():
        agreed = build.agreement(build.organisation("Duehuset ApS"), state="in_force")
        agreed.facts = agreed.facts | {"periods": agreed.facts["periods"] | {"objection_days": 45}}
        agreed.save()
    today = day_of(clock.now)
    with pytest.raises(ValidationError, match=str(today + timedelta(days=45))):
        supplier("Kælderen", starts_on=today + timedelta(days=44))
    supplier("Kælderen", starts_on=today + timedelta(days=45))
    supplier("Postbuddet", services=["mail"], starts_on=today)


@pytest.fixture
def agreed() -> None:
    """A customer with an agreement, who is told of new sub-processors and may object."""
    with build.as_owner():
        build.agreement(build.organisation("Duehuset ApS"), state="in_force")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("services", ["hosting", "backup"]),
        ("country", "SE"),
        ("transfer", "adequacy"),
        ("starts_on", DAY + timedelta(days=1)),
        ("company_number", "20000015"),
        ("engaged_by", "Loftet"),
    ],
)
@pytest.mark.usefixtures("agreed")
def test_row_that_becomes_another_subprocessor_is_refused(field: str, value: object) -> None:
    with build.as_owner():
        row = build.supplier("Værtshuset")
        row.save()
        if field == "engaged_by":
            value = build.supplier("Loftet")
            value.save()
    setattr(row, field, value)
    with pytest.raises(ValidationError, match="at the earliest"):
        recipients.enter(row, changed=[field], by=None)


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (0, None, True),
        (0, 1, True),
        (0, -1, False),
        (-10, -1, False),
        (1, None, False),
        (None, 1, False),
    ],
)
@pytest.mark.usefixtures("agreed")
def test_subprocessor_that_has_ended_does_not_come_back_by_an_edit(
    before: int | None, after: int | None, refused: bool, clock: Clock
) -> None:
    """Days from today; the one on which it ends is not one of its days."""
    today = day_of(clock.now)
    ends = [None if days is None else today + timedelta(days=days) for days in (before, after)]
    with build.as_owner():
        row = build.supplier("Værtshuset", ends_on=ends[0])
        row.save()
    row.ends_on = ends[1]
    if refused:
        with pytest.raises(ValidationError, match="at the earliest"):
            recipients.enter(row, changed=["ends_on"], by=None)
    else:
        assert recipients.enter(row, changed=["ends_on"], by=None).ends_on == ends[1]


@pytest.mark.usefixtures("agreed")
def test_name_and_contact_are_corrected_at_once() -> None:
    with build.as_owner():
        row = build.supplier("Værtshuset")
        row.save()
    row.name = "Værtshuset A/S"
    assert recipients.enter(row, changed=["name", "contact"], by=None).name == row.name


def test_entering_is_in_the_audit_trail_without_values() -> None:
    supplier("Værtshuset")
    with build.as_owner():
        event = AuditEvent.objects.get(action="recipient.entered")
    assert (event.organisation_id, event.fields) == (None, ["name"])


def test_database_refuses_an_end_before_the_start() -> None:
    row = supplier("Værtshuset")
    with build.as_owner(), pytest.raises(IntegrityError), transaction.atomic():
        Recipient.objects.filter(pk=row.pk).update(ends_on=DAY - timedelta(days=1))


def test_economic_area_has_thirty_states() -> None:
    assert len(eea.COUNTRIES) == 30
    assert not eea.COUNTRIES & {"GB", "CH", "US"}
