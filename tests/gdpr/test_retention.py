# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forgetting by the clock: each table to the second, batches, crashes, locks, gauges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection

from accounts import alerts, audit, expiry, turns
from accounts.audit import events
from accounts.models import (
    Alert,
    Consent,
    Invitation,
    Organisation,
    OutgoingMail,
    Role,
    Session,
    User,
)
from accounts.models import organisations as customers
from accounts.vault import VaultError
from gdpr import retention, tasks
from gdpr.inventory import entry, timed_entries
from gdpr.models import (
    AddressErasure,
    Approval,
    Enquiry,
    Erasure,
    Import,
    Notice,
    PersonRestriction,
    Recipient,
    Request,
    RetentionGauge,
    RetentionRun,
    enquiries,
    imports,
)
from gdpr.models import requests as asked
from gdpr.models import retention as own
from gdpr.registry import Cadence, Forgetting
from relay import espinbox, upkeep
from relay.models import EspEvent, messages
from tests import build
from tests.gdpr.erasing import seeds
from tests.guards import places
from tests.relay import mail

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

SECOND = timedelta(seconds=1)
NOW = build.NOW


def a_session(at: datetime) -> None:
    Session.objects.create(session_key=uuid4().hex, session_data="", expire_date=at)


def an_invitation(at: datetime) -> None:
    Invitation.objects.create(
        organisation=Organisation.objects.first() or build.organisation("Duehuset ApS"),
        email="ida@inviteret.example",
        role=Role.VIEWER,
        token_hash=uuid4().bytes,
        created_at=at,
        expires_at=at,
    )


def a_consent(at: datetime) -> None:
    ended = {"withdrawn_at": at, "withdrawn_in": "profile"}
    person = build.person("Ida", f"Ja{uuid4().hex}")
    Consent.objects.create(**seeds.consent_of(person, at, **ended))


def an_alert(at: datetime, kind: str = "") -> None:
    Alert.objects.create(kind=kind or uuid4().hex, first_at=at, last_at=at, resolved_at=at)


def a_request(at: datetime) -> None:
    Request.objects.create(channel="portal", language="da", received_at=at, closed_at=at)


def an_erasure(at: datetime) -> None:
    times = {"asked_at": at, "due_at": at, "ended_at": at, "completed_at": at}
    Erasure.objects.create(language="da", state="done", **times)


def an_enquiry(at: datetime) -> None:
    Enquiry.objects.create(sealed=b"x", received_at=at, due_at=at)


def an_import(at: datetime) -> None:
    """A package that waits for its person's yes."""
    person = build.person("Ida", f"Flytter{uuid4().hex}")
    Import.objects.create(person=person, records=[], made_at=at, proposed_at=at)


def a_forwarded_request(at: datetime) -> None:
    with build.as_owner():
        house = Organisation.objects.first() or build.organisation("Duehuset ApS")
        build.forwarded_to(house, received_at=at)


def an_address_erasure(at: datetime) -> None:
    with build.as_owner():
        house = Organisation.objects.first() or build.organisation("Duehuset ApS")
        row = build.address_erasure(house)
        ended = {"state": "done", "ended_at": at, "sealed_address": None}
        AddressErasure.objects.filter(pk=row.pk).update(**ended)


def an_approval(at: datetime) -> None:
    decided = {"decided_at": at, "decision": Approval.Decision.VOID}
    Approval.objects.create(what=Approval.What.ERASURE, subject_id=uuid4(), asked_at=at, **decided)


def a_restriction(at: datetime) -> None:
    with build.as_owner():
        person = User.objects.first() or build.person("Bo", "Krog")
        PersonRestriction.objects.create(
            person=person, ground="claims", restricted_at=at, lifted_at=at
        )


def a_notice(at: datetime) -> None:
    with build.as_owner():
        recipient = Recipient.objects.first()
        if recipient is None:
            recipient = build.supplier()
            recipient.save(force_insert=True)
        Notice.objects.create(
            recipient=recipient, change="erased", cause_id=uuid4(), state="told", by="mail",
            opened_at=at, closed_at=at,
        )  # fmt: skip


def a_run(at: datetime) -> None:
    RetentionRun.objects.create(what="x", started_at=at, finished_at=at)


def a_report(at: datetime) -> None:
    with build.as_owner():
        house = Organisation.objects.first() or build.organisation("Duehuset ApS")
        route = places.a_provider(house)
        EspEvent.objects.create(organisation=house, route_id=route, received_at=at, sealed=b"x")


def an_event(at: datetime) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accounts.clock.now", lambda: at)
        house = Organisation.objects.first() or build.organisation("Duehuset ApS")
        audit.record(None, "a.made", house)


# What makes a row whose clock stands at an instant, and the constant that its owner keeps.
TABLES: dict[str, tuple[Callable[[datetime], None], Any, str]] = {
    "accounts.Session": (a_session, expiry, "SESSION_KEPT_HOURS"),
    "accounts.Invitation": (an_invitation, expiry, "INVITATION_KEPT_DAYS"),
    "accounts.Consent": (a_consent, expiry, "CONSENT_KEPT_DAYS"),
    "accounts.Alert": (an_alert, alerts, "KEPT_DAYS"),
    "accounts.AuditEvent": (an_event, events, "AUDIT_DAYS"),
    "gdpr.Request": (a_request, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.Erasure": (an_erasure, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.AddressErasure": (an_address_erasure, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.Approval": (an_approval, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.Enquiry": (an_enquiry, enquiries, "ENQUIRY_KEPT_DAYS"),
    "gdpr.ForwardedRequest": (a_forwarded_request, enquiries, "FORWARDED_KEPT_DAYS"),
    "gdpr.Import": (an_import, imports, "PROPOSAL_HOURS"),
    "gdpr.PersonRestriction": (a_restriction, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.Notice": (a_notice, asked, "REQUEST_KEPT_DAYS"),
    "gdpr.RetentionRun": (a_run, own, "RUN_KEPT_DAYS"),
    "relay.EspEvent": (a_report, espinbox, "KEPT_HOURS"),
}

# The audit trail keeps the very instant of its period, and a second later nothing.
LATER = {"accounts.AuditEvent": SECOND}


def period(label: str) -> timedelta:
    keep = entry(label).keep
    assert keep
    assert keep.period
    return keep.period.length


def ahead(label: str) -> timedelta:
    keep = entry(label).keep
    assert keep
    return keep.cadence.value


def forget(label: str, now: datetime = NOW) -> int:
    steps = tuple(step for step in retention.plan(now) if step.what == label)
    (done,) = retention.execute(steps, now)
    return done.rows


def due(label: str, now: datetime = NOW) -> int:
    (step,) = [step for step in retention.plan(now) if step.what == label]
    return step.due


def test_every_table_with_a_period_is_tried_here() -> None:
    driven = {step.what for step in retention.plan(NOW)}
    # Days of the log are tried below; agreements where they are made.
    assert driven == set(TABLES) | {"relay.Message", "dpa.Agreement"}
    # Others are forgotten elsewhere, or together with one of these.
    rest = {item.model for item in timed_entries()} - driven
    assert rest == {
        "gdpr.Package",
        "gdpr.AddressPackage",
        "relay.Delivery",
        "relay.Attempt",
        "relay.Report",
        "relay.Ending",
        "relay.MessageHeader",
        "relay.Suppression",
        "relay.Restriction",
        "relay.Content",
        "relay.QueuedDelivery",
        "accounts.OutgoingMail",
    }


@pytest.mark.parametrize("label", TABLES)
def test_row_goes_in_the_last_run_before_its_period_ends(label: str) -> None:
    make, *_ = TABLES[label]
    limit = NOW + ahead(label) - period(label) - LATER.get(label, timedelta())
    for at in (limit, limit + SECOND):
        make(at)
    assert due(label) == 1
    assert forget(label) == 1
    assert due(label) == 0
    assert due(label, NOW + SECOND) == 1


@pytest.mark.parametrize("label", TABLES)
def test_changing_the_constant_changes_the_purge(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, owner, name = TABLES[label]
    make(NOW + ahead(label) - period(label) + SECOND)
    assert due(label) == 0
    monkeypatch.setattr(owner, name, getattr(owner, name) - 1)
    assert due(label) == 1
    assert forget(label) == 1


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        an_alert(NOW - timedelta(days=999))
    counts: list[int] = []
    real = retention._batch

    def counted(*args: Any) -> int:
        counts.append(real(*args))
        return counts[-1]

    monkeypatch.setattr(retention, "_batch", counted)
    assert forget("accounts.Alert") == 5
    assert counts == [2, 2, 1, 0]


def test_run_goes_on_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        an_alert(NOW - timedelta(days=999))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "_batch", _dies_after(2))
        with pytest.raises(KeyboardInterrupt):
            forget("accounts.Alert")
    (unfinished,) = RetentionRun.objects.filter(finished_at=None)
    assert (unfinished.rows, Alert.objects.count()) == (4, 1)
    assert forget("accounts.Alert", NOW + timedelta(days=1)) == 1
    unfinished.refresh_from_db()
    assert (unfinished.rows, unfinished.started_at) == (5, NOW)
    assert unfinished.finished_at is not None
    assert RetentionRun.objects.count() == 1


def _dies_after(batches: int) -> Callable[..., int]:
    real, left = retention._batch, iter(range(batches))

    def batch(*args: Any) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args)

    return batch


def test_table_that_somebody_is_at_is_left_alone() -> None:
    an_alert(NOW - timedelta(days=999))
    steps = tuple(step for step in retention.plan(NOW) if step.what == "accounts.Alert")
    with _elsewhere("accounts.Alert"):
        assert retention.execute(steps, NOW) == []
    assert [done.rows for done in retention.execute(steps, NOW)] == [1]


class _elsewhere:
    """Hold the lock of a table on a connection of its own."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.other = connection.copy()

    def __enter__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turns, "connection", self.other)
            self.lock = turns.turn(f"{retention.LOCK}{self.what}")
            assert self.lock.__enter__()

    def __exit__(self, *_: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turns, "connection", self.other)
            self.lock.__exit__(None, None, None)
        self.other.close()


@pytest.mark.parametrize("fault", [DatabaseError, VaultError, OSError])
def test_step_that_fails_is_told_and_the_others_run(fault: type[Exception]) -> None:
    real = retention._batches

    def fails(step: retention.Step, *rest: Any) -> int:
        if step.what == "accounts.Session":
            raise fault
        return real(step, *rest)

    an_alert(NOW - timedelta(days=999))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "_batches", fails)
        done = retention.execute(retention.plan(NOW), NOW)
    assert "accounts.Session" not in {one.what for one in done}
    assert "accounts.Alert" in {one.what for one in done}
    assert Alert.objects.get(resolved_at=None).subject == "accounts.Session"
    forget("accounts.Session")
    assert not Alert.objects.filter(kind=retention.FAILED, resolved_at=None).exists()


def test_run_says_what_how_many_and_how_long() -> None:
    an_alert(NOW - timedelta(days=999))
    forget("accounts.Alert")
    run = RetentionRun.objects.get()
    assert (run.what, run.rows, run.started_at) == ("accounts.Alert", 1, NOW)
    assert run.finished_at is not None
    assert run.finished_at >= NOW


class TestGauges:
    @pytest.mark.parametrize("label", TABLES)
    def test_turns_red_a_second_past_the_period(self, label: str) -> None:
        make, *_ = TABLES[label]
        make(NOW - period(label))
        self._measure(label, NOW, over=0)
        assert not alerts.open_alerts().exists()
        self._measure(label, NOW + SECOND, over=1)
        assert alerts.open_alerts().get().subject == label
        forget(label)
        retention.measure(NOW + SECOND)
        assert not alerts.open_alerts().exists()

    def _measure(self, label: str, now: datetime, *, over: int) -> None:
        gauges = {gauge.what: gauge for gauge in retention.measure(now)}
        assert gauges[label].over_seconds == over
        assert gauges[label].holds is (over <= 0)
        assert RetentionGauge.objects.get(pk=label).over_seconds == over

    def test_one_for_each_table_with_a_period_but_unfinished_mail(self) -> None:
        measured = {gauge.what for gauge in retention.measure(NOW)}
        assert {item.model for item in timed_entries()} - measured == {"relay.QueuedDelivery"}
        keep = entry("relay.QueuedDelivery").keep
        assert keep
        assert keep.forgetting is Forgetting.COURSE

    def test_empty_table_holds(self) -> None:
        assert all(gauge.over_seconds is None for gauge in retention.measure(NOW))

    def test_own_mail_that_nobody_drops_is_told(self) -> None:
        OutgoingMail.objects.create(
            kind="x", sealed=b"", created_at=NOW - timedelta(hours=72, seconds=1), due_at=NOW
        )
        retention.measure(NOW)
        assert alerts.open_alerts().get().subject == "accounts.OutgoingMail"

    def test_gauge_of_a_table_that_is_no_more_goes(self) -> None:
        RetentionGauge.objects.create(what="old.Table", measured_at=NOW, due=0)
        retention.measure(NOW)
        assert not RetentionGauge.objects.filter(pk="old.Table").exists()


def test_tasks_forget_by_the_hour_and_by_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.clock.now", lambda: NOW)
    a_session(NOW - timedelta(days=9))
    an_alert(NOW - timedelta(days=999), kind="old")
    tasks.forget_hourly()
    resolved = Alert.objects.exclude(resolved_at=None)
    assert (Session.objects.count(), resolved.filter(kind="old").count()) == (0, 1)
    tasks.forget_nightly()
    assert not resolved.filter(kind="old").exists()


def test_hours_and_database_agree_on_how_far_ahead_a_day_goes() -> None:
    assert Cadence.HOURLY.value == upkeep.AHEAD


@pytest.mark.django_db(transaction=True)
class TestLog:
    @pytest.fixture
    def day(self) -> Iterator[datetime]:
        """The first instant of a day whose time has come."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        first = today - timedelta(days=messages.LOG_DAYS)
        mail.execute("SELECT relay_create_day(%s)", first.date())
        yield first
        for table in ("message", "delivery", "attempt"):
            mail.execute(f"DROP TABLE IF EXISTS relay_{table}_{first:%Y%m%d}")
        mail.execute("UPDATE relay_logperiod SET days = %s", messages.LOG_DAYS)

    def test_days_go_with_their_rows_counted(self, day: datetime) -> None:
        self._message(day)
        now = datetime.now(UTC)
        assert due("relay.Message", now) == 1
        assert forget("relay.Message", now) == 1
        assert RetentionRun.objects.get(what="relay.Message").rows == 1
        assert due("relay.Message", now) == 0

    def test_gauge_counts_from_the_oldest_row(self, day: datetime) -> None:
        self._message(day)
        retention.measure(day + timedelta(days=messages.LOG_DAYS) + SECOND)
        assert RetentionGauge.objects.get(pk="relay.Message").over_seconds == 1

    def test_longer_period_keeps_the_day(
        self, day: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._message(day)
        monkeypatch.setattr(messages, "LOG_DAYS", messages.LOG_DAYS + 2)
        assert due("relay.Message", datetime.now(UTC)) == 0
        assert forget("relay.Message", datetime.now(UTC)) == 0

    def _message(self, at: datetime) -> None:
        mail.execute(
            "INSERT INTO relay_message (organisation_id, accepted_at, id, sender, size, recipients,"
            " is_notification, is_sandbox, tls_version, tls_cipher) VALUES"
            " (%s, %s, gen_random_uuid(), 'a@due.example', 1, 1, false, false, '', '')",
            mail.organisation().id,
            at,
        )


def test_waiting_mail_is_bounded_by_the_longest_lifetime() -> None:
    assert period("relay.QueuedDelivery") == timedelta(hours=customers.QUEUE_HOURS_MAX)
