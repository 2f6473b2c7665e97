# SPDX-License-Identifier: AGPL-3.0-or-later
"""A restored log has erased addresses again: the probe finds them, the repetition erases them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts.models import Alert, Organisation
from gdpr import ledger
from gdpr.correspondents import repeat as correspondents
from gdpr.correspondents import run, steps
from gdpr.erasing import repeat
from gdpr.models import AddressErasure, LedgerEntry
from relay.models import Delivery, Message
from tests import build
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def _alerts() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def _restored(house: Organisation) -> None:
    """What a backup of before the erasure would have: the mail, and nothing of the erasure."""
    with build.as_owner():
        Delivery.objects.filter(organisation=house, recipient="").update(recipient=ERIK)
        AddressErasure.objects.filter(organisation=house).delete()
        LedgerEntry.objects.all().delete()


@pytest.fixture
def gone(house: Organisation, now: datetime, earlier: datetime) -> AddressErasure:
    """Erik, erased from the house's log and back by a restore."""
    seeds.mail(house, earlier, ERIK)
    erasure = seeds.erased(house, ERIK, now)
    _restored(house)
    return erasure


def test_who_is_back_is_found_and_the_worker_does_not_start(
    house: Organisation, gone: AddressErasure, now: datetime
) -> None:
    (back,) = correspondents.resurrected(now.date())
    assert (back.organisation_id, back.address) == (house.id, ERIK)
    with pytest.raises(ImproperlyConfigured, match="replay_erasures"):
        repeat.refuse_older_database(now)
    assert _alerts() == {repeat.ADDRESS_BACK, repeat.OLDER}


def test_repetition_erases_again_with_a_certificate_of_its_own(
    house: Organisation, gone: AddressErasure, now: datetime
) -> None:
    later = now + timedelta(days=1)
    done = repeat.repeat(later)
    assert (done.addresses, done.entries, done.unfinished, done.remaining) == (1, 1, 0, 0)
    assert not Delivery.objects.filter(recipient=ERIK).exists()
    erasure = AddressErasure.objects.get()
    assert erasure.is_repeat
    assert erasure.certificate
    # The number of the first certificate leads to this one and to one line of the ledger.
    assert (erasure.pk, erasure.asked_at) == (gone.pk, gone.asked_at)
    assert LedgerEntry.objects.filter(of_organisation=house.id).get().pk == gone.pk
    repeat.refuse_older_database(later)
    assert _alerts() == set()
    assert repeat.repeat(later).addresses == 0


def test_repetition_of_one_that_is_there_has_its_own_number(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    first = seeds.erased(house, ERIK, now)
    with build.as_owner():
        Delivery.objects.filter(organisation=house, recipient="").update(recipient=ERIK)
    assert repeat.repeat(now + timedelta(days=1)).addresses == 1
    again = AddressErasure.objects.get(is_repeat=True)
    assert (again.pk != first.pk, again.asked_at) == (True, first.asked_at)


def test_mail_of_after_the_erasure_is_new_and_stays(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    seeds.erased(house, ERIK, now)
    seeds.mail(house, now + timedelta(minutes=1), ERIK)
    seeds.mail(house, now + timedelta(minutes=2), "bo@andre.example", sender=ERIK)
    assert list(correspondents.resurrected(now.date())) == []
    _restored(house)
    assert repeat.repeat(now + timedelta(days=1)).addresses == 1
    left = {row.recipient for row in Delivery.objects.filter(accepted_at__gt=now)}
    assert left == {ERIK, "bo@andre.example"}
    assert Message.objects.filter(sender=ERIK).count() == 1


@pytest.mark.parametrize("logged", ['"erik"@modtager.example', ERIK])
def test_sender_and_every_spelling_are_known_again(
    house: Organisation, now: datetime, earlier: datetime, logged: str
) -> None:
    ledger.enter_address(uuid4(), house.id, ERIK, now, now)
    seeds.mail(house, earlier, "bo@andre.example", sender=logged)
    (back,) = correspondents.resurrected(now.date())
    assert back.address == ERIK


def test_erasure_of_one_organisation_says_nothing_of_another(
    house: Organisation, neighbour: Organisation, now: datetime, earlier: datetime
) -> None:
    ledger.enter_address(uuid4(), house.id, ERIK, now, now)
    seeds.mail(neighbour, earlier, ERIK)
    assert list(correspondents.resurrected(now.date())) == []
    own, other = (ledger.address_digest(one.id, ERIK) for one in (house, neighbour))
    assert own != other


def test_organisation_that_is_gone_brings_nobody_back(now: datetime, db: Any) -> None:
    ledger.enter_address(uuid4(), uuid4(), ERIK, now, now)
    assert list(correspondents.resurrected(now.date())) == []


def test_running_erasure_is_nobody_back_and_its_line_is_cut_off(
    house: Organisation, now: datetime, earlier: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds.mail(house, earlier, ERIK)
    erasure = seeds.asked(house, ERIK, now)
    with monkeypatch.context() as patch:
        patch.setitem(steps.ACTS, steps.WAITING, lambda work: 1 / 0)
        assert not run.carry_out(erasure.pk, now)
    LedgerEntry.objects.all().delete()
    found = repeat.compare(now)
    assert (found.addresses, found.missing) == ([], [])
    assert [one.erasure_id for one in found.cut_off] == [erasure.pk]
    repeat.refuse_older_database(now)
    assert LedgerEntry.objects.filter(pk=erasure.pk).exists()


def test_repetition_carries_a_running_erasure_on(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    erasure = seeds.asked(house, ERIK, now)
    ledger.enter_address(uuid4(), house.id, ERIK, now, now)
    assert repeat.repeat(now + timedelta(minutes=1)).addresses == 1
    erasure.refresh_from_db()
    assert (erasure.state, erasure.is_repeat) == (AddressErasure.State.DONE, False)


def test_journal_brings_back_what_the_table_lost_and_the_other_way_round(
    house: Organisation, now: datetime
) -> None:
    entered = ledger.enter_address(uuid4(), house.id, ERIK, now, now)
    LedgerEntry.objects.all().delete()
    assert ledger.missing(now.date()) == [entered]
    ledger.bring_in([entered])
    assert ledger.missing(now.date()) == ledger.unwritten(now.date()) == []
    assert ledger._table(now.date()) == [entered]


def test_command_says_how_many(
    house: Organisation,
    gone: AddressErasure,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DATABASE_ROLE = "duty"
    call_command("replay_erasures")
    assert "1  addresses erased again" in capsys.readouterr().out
    _restored(house)
    monkeypatch.setitem(steps.ACTS, steps.CERTIFICATE, lambda work: 1 / 0)
    with pytest.raises(CommandError, match="Not all"):
        call_command("replay_erasures")
