# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is left of customers that ended is counted from their end; what they keep goes in time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from accounts import standing
from accounts.models import AuditEvent, Organisation
from dpa import ending, expiry, terms
from dpa.models import Agreement
from relay import models
from relay.models import Route
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

Standing = Organisation.Standing
LAST = build.NOW + timedelta(days=terms.DELETION_DAYS)
SECOND = timedelta(seconds=1)


def become(organisation: Organisation, to: Organisation.Standing, at: datetime) -> None:
    """Change the standing; the trail, which goes by the real time, says `at`."""
    with build.as_owner():
        standing.change_standing(organisation, to, by=None)
        AuditEvent.objects.filter(action=f"organisation.{to}").update(at=at)


def delete_mail() -> None:
    with build.as_owner():
        of_the_log = (models.Report, models.Ending, models.MessageHeader)
        for model in (*of_the_log, models.Attempt, models.Delivery, models.Message):
            model.objects.all().delete()
        models.QueuedDelivery.objects.all().delete()
        models.Content.objects.all().delete()


class TestCount:
    def test_customer_of_whom_nothing_is_left_counts_no_more(
        self, organisation: Organisation
    ) -> None:
        build.mail_of(organisation)
        become(organisation, Standing.CLOSING, build.NOW)
        assert [ending.count(LAST), ending.count(LAST + SECOND)] == [(1, 0), (1, 1)]
        delete_mail()
        assert ending.count(LAST + SECOND) == (1, 1), "the route and the list are left"
        ending.forget_own(LAST)
        assert ending.count(LAST + SECOND) == (0, 0)

    def test_days_run_from_the_last_time_that_it_closed(self, organisation: Organisation) -> None:
        build.mail_of(organisation)
        become(organisation, Standing.CLOSING, build.NOW - timedelta(days=365))
        become(organisation, Standing.GOOD, build.NOW - timedelta(days=364))
        become(organisation, Standing.CLOSED, build.NOW)
        assert [ending.count(LAST), ending.count(LAST + SECOND)] == [(1, 0), (1, 1)]

    def test_end_that_the_trail_has_forgotten_is_late(self, organisation: Organisation) -> None:
        build.mail_of(organisation)
        become(organisation, Standing.CLOSING, build.NOW)
        with build.as_owner():
            AuditEvent.objects.all().delete()
        assert ending.count(build.NOW) == (1, 1)


class TestRoutes:
    def test_go_the_night_before_the_last_day_and_the_agreement_ends(
        self, organisation: Organisation
    ) -> None:
        """Nobody of the customer's is needed, and the trail tells that nobody did it."""
        build.mail_of(organisation)
        with build.as_owner():
            build.agreement(organisation, state="in_force", closed_at=None)
        become(organisation, Standing.CLOSING, build.NOW)
        delete_mail()
        expiry.forget(LAST - ending.NIGHTLY)
        assert (Route.objects.count(), Agreement.objects.get().state) == (1, "in_force")
        expiry.forget(LAST - ending.NIGHTLY + SECOND)
        assert (Route.objects.count(), Agreement.objects.get().state) == (0, "ended")
        assert not models.Suppression.objects.exists()
        assert AuditEvent.objects.get(action="route.removed").actor_id is None

    @pytest.mark.parametrize("to", sorted(set(Standing) - Organisation.ENDING))
    def test_stay_with_who_stays(
        self, organisation: Organisation, to: Organisation.Standing
    ) -> None:
        build.mail_of(organisation)
        become(organisation, Standing.CLOSING, build.NOW)
        become(organisation, to, build.NOW)
        ending.forget_own(LAST + SECOND)
        assert Route.objects.count() == 1
        assert models.Suppression.objects.count() == 1
