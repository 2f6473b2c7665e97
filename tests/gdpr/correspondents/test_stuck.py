# SPDX-License-Identifier: AGPL-3.0-or-later
"""An address whose erasure does not get on: what staff see of it, and what they can do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts.models import AuditEvent, Organisation, User
from gdpr.correspondents import run, steps
from gdpr.models import AddressErasure
from relay.models import Attempt
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK

pytestmark = pytest.mark.django_db

WHERE = "relay_attempt.remote_host"


@pytest.fixture
def stuck(house: Organisation, now: datetime, earlier: datetime) -> AddressErasure:
    """Erik's address stands in a column that names servers."""
    seeds.mail(house, earlier, "bo@andre.example")
    with build.as_owner():
        Attempt.objects.update(remote_host=f"til {ERIK}")
    with build.as_role("duty"):
        erasure = seeds.asked(house, ERIK, now)
        assert not run.carry_out(erasure.pk, now)
    return erasure


def address(page: str, *arguments: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_addresserasure_{page}", args=arguments)


def resume(client: Client, row: AddressErasure) -> Any:
    chosen = {"action": "resume", "_selected_action": [row.pk]}
    return client.post(address("changelist"), chosen, follow=True)


def fresh(row: AddressErasure) -> AddressErasure:
    with build.as_owner():
        return AddressErasure.objects.get(pk=row.pk)


def test_list_has_the_place_and_what_to_do_and_nobodys_address(
    clock: Clock, stuck: AddressErasure, dorte: User
) -> None:
    staff = verified(dorte)
    for page in (staff.get(address("changelist")), staff.get(address("change", stuck.pk))):
        for words in (stuck.reference, "Duehuset", WHERE, "it is searched again", "left"):
            assert words in page.text
        assert "erik" not in page.text.lower()


def test_error_is_shown_by_its_kind_alone(
    clock: Clock,
    house: Organisation,
    now: datetime,
    dorte: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(work: steps.Work) -> None:
        raise OSError(work.whom.address)

    monkeypatch.setitem(steps.ACTS, steps.LEDGER, fail)
    with build.as_role("duty"):
        run.carry_out(seeds.asked(house, ERIK, now).pk, now)
    text = verified(dorte).get(address("changelist")).text
    assert "OSError" in text
    assert "Mend what it fails on" in text
    assert "erik" not in text.lower()


def test_resumed_it_goes_on_once_the_place_is_clean(
    clock: Clock, stuck: AddressErasure, dorte: User
) -> None:
    with build.as_owner():
        Attempt.objects.update(remote_host="")
    staff = verified(dorte)
    assert "within a minute" in resume(staff, stuck).text
    assert fresh(stuck).due_at == clock.now
    with build.as_owner():
        event = AuditEvent.objects.get(action="addresserasure.resumed")
    assert (event.target_id, event.organisation_id) == (str(stuck.pk), stuck.organisation_id)
    with build.as_role("duty"):
        assert run.carry_out(stuck.pk, fresh(stuck).due_at)
    assert steps.STUCK not in fresh(stuck).report
    assert stuck.reference not in staff.get(address("changelist")).text


def test_what_gets_on_is_not_listed_and_not_resumed(
    clock: Clock, house: Organisation, dorte: User
) -> None:
    with build.as_role("duty"):
        running = seeds.asked(house, ERIK, clock.now)
    staff = verified(dorte)
    assert running.reference not in staff.get(address("changelist")).text
    resume(staff, running)
    with build.as_owner():
        assert not AuditEvent.objects.filter(action="addresserasure.resumed").exists()
    clock.forward(hours=1)
    assert running.reference in staff.get(address("changelist")).text


def test_nothing_is_written_by_hand(clock: Clock, stuck: AddressErasure, dorte: User) -> None:
    staff = verified(dorte)
    assert staff.get(address("add")).status_code == 403
    assert staff.post(address("change", stuck.pk), {"state": "done"}).status_code == 403
    assert staff.post(address("delete", stuck.pk), {"post": "yes"}).status_code == 403


def test_late_one_is_stuck_without_a_fault(house: Organisation, now: datetime) -> None:
    with build.as_role("duty"):
        erasure = seeds.asked(house, ERIK, now)
        assert not run.stuck(now).exists()
        assert list(run.stuck(now + timedelta(hours=1))) == [erasure]
