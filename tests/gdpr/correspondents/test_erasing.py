# SPDX-License-Identifier: AGPL-3.0-or-later
"""An address goes from one organisation's log, as old as the order, and from nothing else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import OperationalError

from accounts.ids import uuid7, uuid7_time
from accounts.models import Alert, AuditEvent, Organisation
from gdpr import inventory, ledger, scan
from gdpr.correspondents import erasers, log, run, steps
from gdpr.correspondents.addresses import canonical
from gdpr.correspondents.whom import LOG, entries
from gdpr.models import AddressErasure, AddressPackage, LedgerEntry
from gdpr.registry import Whose
from gdpr.scan import ScanIncomplete
from relay.models import (
    Attempt,
    Content,
    Credential,
    Delivery,
    Message,
    MessageHeader,
    QueuedDelivery,
    Route,
    Suppression,
)
from tests import build, poppler
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State, Fault = AddressErasure.State, AddressErasure.Fault


def _addresses(house: Organisation) -> set[str]:
    found = seeds.log_of(house)
    return {row["recipient"] for row in found["relay.Delivery"]} | {
        row["sender"] for row in found["relay.Message"]
    }


def _alerts() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_every_path_of_the_inventory_is_followed() -> None:
    """A table of customers' mail that is new needs no word here, unless it belongs to the log."""
    followed = {entry.model for entry in entries()}
    logged = {
        entry.model
        for entry in inventory.entries_about(Whose.CORRESPONDENT)
        if entry.keep and entry.keep.act == "relay.upkeep:forget_days"
    }
    assert logged == LOG <= followed
    erased = {"relay.Message", "relay.Delivery", "relay.MessageHeader", *erasers.OF_A_DELIVERY}
    assert erased == LOG


def test_recipient_goes_and_others_of_the_same_mail_stay(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, "bo@andre.example")
    erasure = seeds.erased(house, ERIK, now)
    assert _addresses(house) == {"", "bo@andre.example", seeds.FIRM}
    assert {row.display_name for row in Delivery.objects.all()} == {"", "Bo"}
    assert not MessageHeader.objects.exists()
    assert erasure.report["tally"] == {
        "removed": {"relay.MessageHeader": 1},
        "changed": {"relay.Delivery": 1},
        "unlinked": {
            "relay.Message": 1,
            "relay.Attempt": 1,
            "relay.Report": 1,
            "relay.Ending": 1,
        },
    }


def test_sender_goes_with_the_subject(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, "bo@andre.example", "ib@andre.example", sender=ERIK)
    erasure = seeds.erased(house, ERIK, now)
    message = Message.objects.get()
    assert (message.sender, message.subject) == ("", "")
    assert erasure.report["tally"]["changed"] == {"relay.Message": 1}
    assert erasure.report["tally"]["unlinked"] == {
        "relay.Delivery": 2,
        "relay.Attempt": 2,
        "relay.Report": 2,
        "relay.Ending": 2,
    }


def test_mail_from_the_address_to_itself_is_counted_once(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, "bo@andre.example", sender=ERIK)
    tally = seeds.erased(house, ERIK, now).report["tally"]
    assert tally["changed"] == {"relay.Message": 1, "relay.Delivery": 1}
    assert tally["unlinked"]["relay.Delivery"] == 1
    assert tally["unlinked"]["relay.Attempt"] == 2
    assert "relay.Message" not in tally["unlinked"]


@pytest.mark.parametrize(
    ("asked", "logged"),
    [
        ("Erik@Modtager.EXAMPLE", ERIK),
        ('"erik"@modtager.example', ERIK),
        (ERIK, '"erik"@modtager.example'),
        ("a@xn--rdgrd-vuad.example", "a@rødgrød.example"),
        ("a@rødgrød.example", "a@xn--rdgrd-vuad.example"),
        ('"erik due"@modtager.example', '"erik due"@modtager.example'),
    ],
)
def test_every_spelling_is_erased(
    house: Organisation, now: datetime, earlier: datetime, asked: str, logged: str
) -> None:
    seeds.mail(house, earlier, logged)
    seeds.mail(house, earlier, "bo@andre.example", sender=logged)
    seeds.erased(house, asked, now)
    assert _addresses(house) == {"", "bo@andre.example", seeds.FIRM}


@pytest.mark.parametrize(
    "other", ["erik+tag@modtager.example", "herik@modtager.example", "bo+erik@modtager.example"]
)
def test_longer_addresses_are_somebody_elses(
    house: Organisation, now: datetime, earlier: datetime, other: str
) -> None:
    seeds.mail(house, earlier, other)
    before = seeds.log_of(house)
    seeds.erased(house, ERIK, now)
    assert seeds.log_of(house) == before


def test_nothing_of_another_organisation_is_touched(
    house: Organisation, neighbour: Organisation, now: datetime, earlier: datetime
) -> None:
    for owner in (house, neighbour):
        seeds.mail(owner, earlier, ERIK)
        seeds.mail(owner, earlier, ERIK, waits=True)
        seeds.suppressed(owner, ERIK, earlier)
    before = seeds.log_of(neighbour)
    erasure = seeds.asked(house, ERIK, now)
    assert not run.carry_out(erasure.pk, now)
    _shift(house)
    assert run.carry_out(erasure.pk, now + timedelta(minutes=1))
    assert seeds.log_of(neighbour) == before
    assert ERIK not in _addresses(house)
    assert Suppression.objects.get(organisation=neighbour).address == ERIK
    assert Suppression.objects.get(organisation=house).address is None
    assert QueuedDelivery.objects.get().organisation_id == neighbour.id


def _shift(house: Organisation) -> None:
    """What a shift does with mail that is cancelled or given up."""
    with build.as_owner():
        ended = QueuedDelivery.objects.filter(organisation=house, lane=QueuedDelivery.Lane.ENDING)
        for row in ended:
            Delivery.objects.filter(
                accepted_at=row.accepted_at, message_id=row.message_id, position=row.position
            ).update(state=Delivery.State.CANCELLED)
            Content.objects.filter(message_id=row.message_id).delete()
        ended.delete()


def test_waiting_mail_is_cancelled_and_waited_for(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, "bo@andre.example", waits=True)
    erasure = seeds.asked(house, ERIK, now)
    assert not run.carry_out(erasure.pk, now)
    erasure.refresh_from_db()
    assert (erasure.step, erasure.fault) == (steps.WAITING, "")
    his, other = QueuedDelivery.objects.order_by("position")
    assert his.cancelled_at == now
    assert other.cancelled_at is None
    assert ERIK in _addresses(house), "the log is as it was until the mail has ended"
    assert _alerts() == set()
    assert not run.carry_out(erasure.pk, now + run.PAUSE)
    assert _alerts() == {run.ALERT}, "mail that waits for an hour is told"


def test_waiting_mail_is_given_up_with_a_notice_where_that_was_chosen(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, waits=True)
    erasure = seeds.asked(house, ERIK, now, AddressErasure.Waiting.RETURN)
    assert not run.carry_out(erasure.pk, now)
    row = QueuedDelivery.objects.get()
    assert (row.cancelled_at, row.expires_at, row.due_at) == (None, now, now)
    assert row.lane == QueuedDelivery.Lane.ENDING


def test_waiting_mail_from_the_address_is_delivered_and_told(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, "bo@andre.example", sender=ERIK, waits=True)
    erasure = seeds.erased(house, ERIK, now)
    assert Content.objects.get().sender == ERIK
    kept = {model for model, *_ in erasure.report["kept"]}
    assert kept == {"relay.Content", "relay.QueuedDelivery"}


def test_mail_accepted_after_the_order_is_new(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    seeds.mail(house, now + timedelta(seconds=1), ERIK)
    seeds.erased(house, ERIK, now)
    assert sorted(row.recipient for row in Delivery.objects.all()) == ["", ERIK]


def test_list_keeps_a_fingerprint_and_settings_are_told(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.suppressed(house, ERIK, earlier)
    with build.as_owner():
        Route.objects.create(
            organisation=house,
            name="Server",
            host="mail.example",
            username=ERIK,
            created_at=earlier,
        )
        Credential.objects.create(
            organisation=house, name=f"Program til {ERIK}", username="x", secret_hash=b"x",
            created_at=earlier,
        )  # fmt: skip
    erasure = seeds.erased(house, ERIK, now)
    row = Suppression.objects.get()
    assert row.address is None
    assert row.address_hash
    assert erasure.report["tally"]["changed"] == {"relay.Suppression": 1}
    assert erasure.report["kept"] == [["relay.Route", "organisation", 1]]
    assert erasure.report["elsewhere"] == {"relay_credential.name": 1}


def test_packages_about_the_address_go_with_their_files(house: Organisation, now: datetime) -> None:
    package = build.address_package(house)
    file = Path(configured.PACKAGES) / package.pk.hex
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"sealed")
    erasure = seeds.erased(house, ERIK, now)
    assert not file.exists()
    assert not AddressPackage.objects.exists()
    assert erasure.report["tally"]["removed"] == {"gdpr.AddressPackage": 1}


def test_words_of_the_log_that_name_the_address_are_emptied(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(
        house,
        earlier,
        "bo@andre.example",
        subject=f"Vedr. {ERIK}",
        header=f"From: Erik <{ERIK.upper()}>\nTo: bo@andre.example\n",
    )
    erasure = seeds.erased(house, ERIK, now)
    assert Message.objects.get().subject == ""
    assert not MessageHeader.objects.exists()
    assert Delivery.objects.get().recipient == "bo@andre.example"
    assert erasure.report["tally"]["changed"] == {"relay.Message": 1}
    assert "left" not in erasure.report


def test_leftover_that_nobody_can_explain_stops_it_and_is_told(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, "bo@andre.example")
    with build.as_owner():
        Attempt.objects.update(remote_host=f"til {ERIK}")
    erasure = seeds.asked(house, ERIK, now)
    assert not run.carry_out(erasure.pk, now)
    erasure.refresh_from_db()
    assert (erasure.fault, erasure.certificate) == (Fault.LEFTOVER, None)
    assert erasure.report["left"] == ["relay_attempt.remote_host"]
    assert _alerts() == {run.ALERT}
    assert not run.carry_out(erasure.pk, now), "it is looked at again in an hour"
    with build.as_owner():
        Attempt.objects.update(remote_host="")
    assert run.carry_out(erasure.pk, now + timedelta(hours=2))
    assert _alerts() == set()


def test_accounts_are_not_a_customers_mail(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    person = build.person("Erik", "Modtager")
    seeds.mail(house, earlier, person.email)
    erasure = seeds.erased(house, person.email, now)
    assert erasure.state == State.DONE
    assert "erik" not in json.dumps(erasure.report)
    person.refresh_from_db()


def test_certificate_ledger_and_counts_agree_and_name_nobody(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    for _ in range(3):
        seeds.mail(house, earlier, ERIK)
    erasure = seeds.erased(house, ERIK, now)
    assert erasure.sealed_address is None
    assert erasure.certificate
    text = poppler.words(bytes(erasure.certificate))
    assert ERIK not in text
    assert erasure.reference in text
    entry = LedgerEntry.objects.get(pk=erasure.pk)
    digest = ledger.address_digest(house.id, canonical(ERIK))
    assert (bytes(entry.address_digest), entry.of_organisation) == (digest, house.id)
    assert entry.until_on.isoformat() == erasure.report["ledger_until"]
    assert ledger.journal(now.date())[erasure.pk].address_digest == digest
    counts = erasure.report["tally"]
    assert counts["changed"]["relay.Delivery"] == 3
    assert Delivery.objects.filter(recipient="").count() == 3
    events = AuditEvent.objects.filter(target_type="gdpr.AddressErasure")
    assert [event.action for event in events] == ["addresserasure.ended"]


def test_ledger_is_written_before_anything_goes(
    house: Organisation, now: datetime, earlier: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds.mail(house, earlier, ERIK, waits=True)
    before = seeds.log_of(house)
    monkeypatch.setitem(steps.ACTS, steps.WAITING, lambda work: 1 / 0)
    erasure = seeds.asked(house, ERIK, now)
    assert not run.carry_out(erasure.pk, now)
    assert erasure.pk in ledger.journal(now.date())
    assert LedgerEntry.objects.filter(pk=erasure.pk).exists()
    assert seeds.log_of(house) == before
    assert QueuedDelivery.objects.get().cancelled_at is None


@pytest.mark.parametrize("step", steps.ORDER)
def test_error_in_each_step_is_told_and_gone_on_from(
    house: Organisation,
    now: datetime,
    earlier: datetime,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds.mail(house, earlier, ERIK)
    erasure = seeds.asked(house, ERIK, now)
    with monkeypatch.context() as patch:
        if step == steps.EMPTY:
            patch.setattr(erasers, "erase_piece", lambda *_: 1 / 0)
        elif step == steps.SCAN:
            patch.setattr(scan, "scan", _fail)
        else:
            patch.setitem(steps.ACTS, step, lambda work: 1 / 0)
        assert not run.carry_out(erasure.pk, now)
    erasure.refresh_from_db()
    assert erasure.step == step
    assert erasure.fault in (Fault.ERROR, Fault.UNSEARCHED)
    assert _alerts() == {run.ALERT}
    assert run.carry_out(erasure.pk, now + timedelta(hours=2))
    erasure.refresh_from_db()
    assert (erasure.fault, erasure.report["tally"]["changed"]) == ("", {"relay.Delivery": 1})
    assert _alerts() == set()


def _fail(*args: Any, **values: Any) -> None:
    raise ScanIncomplete("logs: OSError")


def test_lock_that_somebody_else_has_is_no_fault(
    house: Organisation, now: datetime, earlier: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds.mail(house, earlier, ERIK)
    erasure = seeds.asked(house, ERIK, now)
    with monkeypatch.context() as patch:
        patch.setattr(erasers, "erase_piece", _deadlock)
        assert not run.carry_out(erasure.pk, now)
    erasure.refresh_from_db()
    assert (erasure.fault, erasure.due_at) == ("", now + run.WAIT)
    assert run.carry_out(erasure.pk, now + run.WAIT)


def test_lock_that_is_there_for_an_hour_is_told(
    house: Organisation, now: datetime, earlier: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds.mail(house, earlier, ERIK)
    erasure, late = seeds.asked(house, ERIK, now), now + run.PAUSE
    with monkeypatch.context() as patch:
        patch.setattr(erasers, "erase_piece", _deadlock)
        assert not run.carry_out(erasure.pk, late)
    erasure.refresh_from_db()
    assert (erasure.fault, erasure.due_at) == (Fault.ERROR, late + run.WAIT)
    assert erasure.report[steps.STUCK] == "OperationalError"
    assert _alerts() == {run.ALERT}
    assert run.carry_out(erasure.pk, late + run.WAIT)
    assert _alerts() == set()


def _deadlock(*args: Any) -> None:
    raise OperationalError("deadlock detected")


def test_piece_that_was_done_is_not_done_or_counted_again(
    house: Organisation, now: datetime, earlier: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "PIECE", 2)
    for minutes in range(5):
        seeds.mail(house, earlier - timedelta(seconds=minutes), ERIK)
    erasure = seeds.asked(house, ERIK, now)
    erase = erasers.erase_piece
    done: list[Any] = []

    def erase_some(*given: Any) -> erasers.Tally:
        if len(done) == 2:
            raise RuntimeError
        done.append(given)
        return erase(*given)

    with monkeypatch.context() as patch:
        patch.setattr(erasers, "erase_piece", erase_some)
        assert not run.carry_out(erasure.pk, now)
    assert Delivery.objects.filter(recipient="").count() == 4
    assert run.carry_out(erasure.pk, now + timedelta(hours=2))
    erasure.refresh_from_db()
    assert erasure.report["tally"]["changed"] == {"relay.Delivery": 5}
    assert erasure.report["tally"]["unlinked"]["relay.Attempt"] == 5


@pytest.fixture
def many(house: Organisation, earlier: datetime) -> int:
    """10,000 mails to one address, in one statement for each table."""
    with build.as_owner():
        found = [uuid7(earlier - timedelta(milliseconds=n)) for n in range(10_000)]
        of = [(number, uuid7_time(number)) for number in found]
        Message.objects.bulk_create(
            Message(organisation=house, id=number, accepted_at=at, sender=seeds.FIRM, size=1,
                    recipients=1)
            for number, at in of
        )  # fmt: skip
        Delivery.objects.bulk_create(
            Delivery(organisation=house, message_id=number, accepted_at=at, position=0,
                     recipient=ERIK, state=Delivery.State.DELIVERED)
            for number, at in of
        )  # fmt: skip
    return len(found)


def test_ten_thousand_mails(house: Organisation, now: datetime, many: int) -> None:
    erasure = seeds.erased(house, ERIK, now)
    assert erasure.report["tally"]["changed"] == {"relay.Delivery": many}
    assert erasure.report["tally"]["unlinked"] == {"relay.Message": many}
    assert not Delivery.objects.exclude(recipient="").exists()
