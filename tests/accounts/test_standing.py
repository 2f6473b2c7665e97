# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest

from accounts import standing
from accounts.models import AuditEvent, Organisation, User
from accounts.tenancy import person_context, staff_context
from tests import build
from tests.accounts.conftest import Clock

pytestmark = pytest.mark.django_db

Standing, Reason = Organisation.Standing, Organisation.SendingReason


def test_staff_changes_standing_and_sending(
    organisation: Organisation, dorte: User, clock: Clock
) -> None:
    with person_context(dorte.id), staff_context():
        standing.change_standing(organisation, Standing.SUSPENDED, by=dorte)
        standing.stop_sending(organisation, Reason.STAFF, by=dorte)
        organisation.refresh_from_db()
        assert (organisation.standing, organisation.sending_allowed) == ("suspended", False)
        assert (organisation.sending_reason, organisation.sending_changed_at) == (
            Reason.STAFF,
            build.NOW,
        )
        standing.allow_sending(organisation, Reason.AGREEMENT, by=dorte)
        organisation.refresh_from_db()
        assert organisation.sending_allowed
        events = AuditEvent.objects.order_by("sequence")
        assert list(events.values_list("action", "fields")) == [
            ("organisation.suspended", ["standing"]),
            ("organisation.sending-stopped", ["sending_allowed"]),
            ("organisation.sending-allowed", ["sending_allowed"]),
        ]


@pytest.mark.as_role("duty")
def test_service_allows_sending_by_itself(organisation: Organisation) -> None:
    standing.allow_sending(organisation, Reason.DEMONSTRATION, by=None)
    assert AuditEvent.objects.get().actor_id is None
