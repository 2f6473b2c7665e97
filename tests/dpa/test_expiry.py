# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every agreement ends and is forgotten some day; one in force lasts as long as the processing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Organisation
from dpa import expiry, lineage, terms
from dpa.models import Agreement, AgreementEvent, Document
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = Agreement.State
Standing = Organisation.Standing


@pytest.mark.parametrize(
    ("state", "days"),
    [
        ("offered", terms.UNSIGNED_KEPT_DAYS),
        ("withdrawn", terms.UNSIGNED_KEPT_DAYS),
        ("superseded", terms.KEPT_DAYS),
        ("ended", terms.KEPT_DAYS),
    ],
)
def test_forgotten_at_the_end_of_its_period_and_not_before(
    organisation: Organisation, state: str, days: int
) -> None:
    closed_at = None if state == "offered" else build.NOW
    with build.as_owner():
        build.agreement(organisation, state=state, closed_at=closed_at)
    end = build.NOW + timedelta(days=days)
    assert expiry.forget(end - timedelta(seconds=1)) == 0
    assert (expiry.count_due(end), expiry.forget(end)) == (1, 1)
    assert not Agreement.objects.exists()
    assert not Document.objects.exists()


def in_force(organisation: Organisation) -> Agreement:
    with build.as_owner():
        return build.agreement(organisation, state="in_force", closed_at=None)


def leave(organisation: Organisation, standing: Organisation.Standing) -> None:
    with build.as_owner():
        Organisation.objects.filter(pk=organisation.pk).update(standing=standing)


@pytest.mark.parametrize("standing", [Standing.GOOD, Standing.UNPAID, Standing.SUSPENDED])
def test_in_force_while_the_customer_stays(
    organisation: Organisation, standing: Organisation.Standing
) -> None:
    in_force(organisation)
    leave(organisation, standing)
    assert expiry.forget(build.NOW + timedelta(days=100_000)) == 0
    assert Agreement.objects.get().state == State.IN_FORCE


@pytest.mark.parametrize("standing", sorted(Organisation.ENDING))
def test_ends_when_the_customer_has_left_and_nothing_of_them_is_there(
    organisation: Organisation, standing: Organisation.Standing
) -> None:
    row = in_force(organisation)
    leave(organisation, standing)
    assert expiry.forget(build.NOW) == 0
    row.refresh_from_db()
    assert (row.state, row.closed_at) == (State.ENDED, build.NOW)
    assert AgreementEvent.objects.get().act == AgreementEvent.Act.ENDED
    assert list(lineage.faults(row)) == []
    assert expiry.forget(build.NOW + timedelta(days=terms.KEPT_DAYS)) == 1


def test_lasts_while_mail_of_a_customer_who_left_is_there(organisation: Organisation) -> None:
    in_force(organisation)
    leave(organisation, Standing.CLOSING)
    with build.as_owner():
        build.mail_of(organisation)
    expiry.forget(build.NOW)
    assert Agreement.objects.get().state == State.IN_FORCE
