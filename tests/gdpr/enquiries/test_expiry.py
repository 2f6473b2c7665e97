# SPDX-License-Identifier: AGPL-3.0-or-later
"""What becomes of a request that nobody proves, or that has been passed on."""

from __future__ import annotations

import pytest

from accounts import rotation, vault
from accounts.models import Organisation
from gdpr.enquiries import expiry
from gdpr.models import Enquiry, ForwardedRequest
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.enquiries.desk import ask, forwarded, owns, prove, tokens, work

pytestmark = pytest.mark.django_db


class TestExpiry:
    def test_unproven_goes_after_its_period_and_proven_stays_until_passed_on(
        self, clock: Clock, organisation: Organisation
    ) -> None:
        owns(organisation, "due.example")
        ask()
        ask(network="198.51.100.9", address="gitte@modtager.example")
        work(clock.now)
        prove(tokens()[0])
        with build.as_role("duty"):
            clock.forward(days=7, seconds=-1)
            assert expiry.forget(clock.now) == 0
            clock.forward(seconds=1)
            assert expiry.count_due(clock.now) == 1
            assert expiry.forget(clock.now) == 1
            assert expiry.oldest() is None
            assert Enquiry.objects.get().proven_at
        work(clock.now)
        assert len(forwarded()) == 1
        with build.as_role("duty"):
            assert expiry.oldest() == build.NOW
            assert expiry.forget(clock.now) == 1
            assert ForwardedRequest.objects.count() == 1


def test_enquiry_that_is_emptied_does_not_stop_a_rotation(clock: Clock) -> None:
    ask()
    with build.as_owner():
        Enquiry.objects.create(sealed=None, received_at=build.NOW, due_at=build.NOW)
    with build.as_role("duty"):
        number = vault.make_installation_key()
        assert rotation.reseal(number) >= 1
        row = Enquiry.objects.get(sealed__isnull=False)
    assert row.sealed
    assert vault.sealed_with(row.sealed) == number
