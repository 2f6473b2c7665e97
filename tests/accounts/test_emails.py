# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import time
from datetime import timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

import psycopg
import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import DatabaseError, connection, connections, transaction

from accounts import alerts, emails, tasks, vault
from accounts.models import Alert, OutgoingMail, User
from accounts.tenancy import person_context
from accounts.turns import LOCK_CLASS
from config import settings as configured
from tests import build
from tests.testbed.smtp import Drop, FarEnd, Script, threaded

pytestmark = pytest.mark.django_db

SMTP = "accounts.mailbackend.Smtp"
JORGEN = "jørgen@modtager.example"


@pytest.fixture
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.clock.now", lambda: build.NOW)


@pytest.fixture
def waiting(anna: User, _at_noon: None) -> User:
    """A mail to Anna that is due."""
    emails.password_changed(anna)
    return anna


class Failing(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        raise smtplib.SMTPRecipientsRefused({"anna@due.example": (550, b"no anna@due.example")})


def _change_and_fail(user: User) -> None:
    with person_context(user.id):
        emails.password_changed(user)
        raise ZeroDivisionError


def test_mail_is_sealed_and_in_the_transaction(anna: User) -> None:
    with pytest.raises(ZeroDivisionError):
        _change_and_fail(anna)
    emails.password_changed(anna)
    with build.as_owner():
        (row,) = OutgoingMail.objects.all()
    assert b"anna" not in bytes(row.sealed)
    letter = json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))
    assert letter["to"] == "anna@due.example"


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("role", ["web", "relay"])
def test_who_writes_mails_cannot_read_them(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
    with pytest.raises(DatabaseError), transaction.atomic():
        OutgoingMail.objects.count()


@pytest.mark.as_role("duty")
def test_sent_mail_is_forgotten(waiting: User) -> None:
    tasks.send_mails()
    (message,) = mail.outbox
    assert message.to == ["anna@due.example"]
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"
    assert message.message()["Message-ID"].endswith("@relay.localhost>")
    parts = [part.get_content_type() for part in message.message().walk()]
    assert parts == ["multipart/alternative", "text/plain", "text/html"]
    assert OutgoingMail.objects.count() == 0


@pytest.mark.as_role("duty")
def test_failed_mail_waits_and_names_nobody(
    waiting: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Failing"
    caplog.set_level(logging.DEBUG)
    assert emails.send_due(build.NOW) == 0
    row = OutgoingMail.objects.get()
    assert row.last_error == "SMTPRecipientsRefused"
    assert row.due_at == build.NOW + timedelta(minutes=1)
    assert "due.example" not in caplog.text
    assert str(row.id) in caplog.text
    emails.send_due(build.NOW + timedelta(minutes=1))
    row.refresh_from_db()
    assert row.due_at == build.NOW + timedelta(minutes=3)


@pytest.mark.as_role("duty")
def test_mail_that_cannot_be_opened_does_not_stop_the_next(waiting: User) -> None:
    OutgoingMail.objects.create(
        kind="junk", sealed=b"x", created_at=build.NOW, due_at=build.NOW - timedelta(hours=1)
    )
    assert emails.send_due(build.NOW) == 1
    assert OutgoingMail.objects.get().last_error == "VaultError"


@pytest.mark.as_role("duty")
@pytest.mark.parametrize(("seconds", "left"), [(-1, 1), (0, 0)])
def test_undeliverable_mail_goes_after_72_hours(
    waiting: User, monkeypatch: pytest.MonkeyPatch, settings: Any, seconds: int, left: int
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Failing"
    now = build.NOW + timedelta(hours=72, seconds=seconds)
    monkeypatch.setattr("accounts.clock.now", lambda: now)
    tasks.send_mails()
    assert OutgoingMail.objects.filter(kind="password_changed").count() == left
    assert Alert.objects.count() == 1 - left


@pytest.mark.django_db(transaction=True)
@pytest.mark.as_role("duty")
def test_two_workers_take_different_mails(waiting: User) -> None:
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT id FROM accounts_outgoingmail FOR UPDATE")
            assert isinstance(cursor.fetchone()[0], UUID)
        assert emails.send_due(build.NOW) == 0
        with other.cursor() as cursor:
            cursor.execute("ROLLBACK")
        assert emails.send_due(build.NOW) == 1
    finally:
        other.close()


class Slow(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        time.sleep(0.1)
        return super().send_messages(messages)


@pytest.mark.as_role("duty")
def test_slow_mail_server_ends_a_run_and_the_next_goes_on(
    waiting: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Slow"
    monkeypatch.setattr(emails, "RUN_SECONDS", 0.05)
    emails.password_changed(waiting)
    assert [emails.send_due(build.NOW) for _ in range(3)] == [1, 1, 0]


class Reentered(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        # As beat asks again while this run waits for the mail server.
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                lock = [LOCK_CLASS, crc32(b"own-mails") & 0x7FFFFFFF]
                cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)
                assert cursor.fetchone() == (False,)
        finally:
            other.close()
        return super().send_messages(messages)


@pytest.mark.as_role("duty")
def test_own_mails_go_from_one_worker_at_a_time(waiting: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Reentered"
    assert emails.send_due(build.NOW) == 1


class WithoutTransaction(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        assert not connection.in_atomic_block
        # Not in this run's hands only, but out of reach for every other worker.
        assert OutgoingMail.objects.get().due_at > build.NOW
        return super().send_messages(messages)


@pytest.mark.django_db(transaction=True)
@pytest.mark.as_role("duty")
def test_no_transaction_waits_for_the_mail_server(waiting: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.WithoutTransaction"
    assert emails.send_due(build.NOW) == 1
    assert OutgoingMail.objects.count() == 0


@pytest.mark.as_role("duty")
def test_one_connection_carries_all_mails(waiting: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = SMTP
    for _ in range(2):
        emails.password_changed(waiting)
    with threaded(FarEnd(Script(dot=["250 ok", Drop(), "250 ok"]))) as far_end:
        settings.EMAIL_HOST, settings.EMAIL_PORT = far_end.address, far_end.port
        assert emails.send_due(build.NOW) == 2
        # The third mail needed a new connection, the second one having ended the first.
        assert [received.connection for received in far_end.ledger] == [1, 1, 2]
    assert OutgoingMail.objects.get().last_error == "SMTPServerDisconnected"


@pytest.mark.as_role("duty")
@pytest.mark.usefixtures("_at_noon")
def test_letters_beyond_ascii_are_written_as_they_are(settings: Any) -> None:
    settings.EMAIL_BACKEND = SMTP
    emails.confirm_address(JORGEN, "da", "token", 7)
    with threaded(FarEnd()) as far_end:
        settings.EMAIL_HOST, settings.EMAIL_PORT = far_end.address, far_end.port
        assert emails.send_due(build.NOW) == 1
    (received,) = far_end.ledger
    assert received.recipients == [JORGEN]
    assert f"To: {JORGEN}\r\n".encode() in received.content
    assert any("SMTPUTF8" in line for line in far_end.commands if line.startswith("mail"))


@pytest.mark.as_role("duty")
@pytest.mark.usefixtures("_at_noon")
def test_nobody_else_gets_what_cannot_be_written_so(settings: Any) -> None:
    settings.EMAIL_BACKEND = SMTP
    emails.confirm_address(JORGEN, "da", "token", 7)
    with threaded(FarEnd(Script(features=("8BITMIME",)))) as far_end:
        settings.EMAIL_HOST, settings.EMAIL_PORT = far_end.address, far_end.port
        assert emails.send_due(build.NOW) == 0
    assert far_end.ledger == []
    assert OutgoingMail.objects.get().last_error == "SMTPNotSupportedError"


def test_portal_sends_by_it() -> None:
    """What the settings say; tests have another by themselves."""
    assert configured.EMAIL_BACKEND == SMTP


@pytest.mark.as_role("relay")
class TestAlerts:
    def test_first_time_mails_and_later_ones_count(self) -> None:
        alerts.raise_alert("partition-missing", "2026-11-23")
        alerts.raise_alert("partition-missing", "2026-11-23")
        alert = Alert.objects.get()
        assert (alert.count, alert.resolved_at) == (2, None)
        with build.as_owner():
            assert OutgoingMail.objects.count() == 1

    def test_resolved_alert_opens_anew(self) -> None:
        alerts.raise_alert("a")
        alerts.resolve_alert("a")
        alerts.resolve_alert("a")
        assert not alerts.open_alerts().exists()
        alerts.raise_alert("a")
        assert alerts.open_alerts().count() == 1
        with build.as_owner():
            assert OutgoingMail.objects.count() == 2


def test_web_raises_no_alert() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        alerts.raise_alert("a")


@pytest.mark.django_db(transaction=True)
def test_asynchronous_process_raises_and_resolves() -> None:
    asyncio.run(_raise_twice_and_resolve())
    with build.as_owner():
        assert Alert.objects.get().count == 2
        assert Alert.objects.get().resolved_at is not None
        (row,) = OutgoingMail.objects.all()
        assert vault.unseal(f"outgoing-mail|{row.id}", row.sealed)


async def _raise_twice_and_resolve() -> None:
    values = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    async with await psycopg.AsyncConnection.connect(
        **{name: values[name] for name in names if name in values}, autocommit=True
    ) as database:
        await database.execute("SET ROLE relay")
        await alerts.raise_alert_on(database, "a", "b")
        await alerts.raise_alert_on(database, "a", "b")
        await alerts.resolve_alert_on(database, "a", "b")
