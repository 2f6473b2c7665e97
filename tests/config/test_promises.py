# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each promise holds, and its check turns red when what keeps it is switched off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from pytest_django.fixtures import Settings

from accounts import alerts, audit, clock
from accounts.models import Alert, AuditEvent, Organisation, PromiseResult, Session, User
from accounts.promise import Promise, Result
from accounts.staffsite import StaffSite
from config import promises
from config.promises import PROMISES, look, record
from gdpr import ledger, recipients, retention
from gdpr import promises as duties
from gdpr.deadlines import day_of
from gdpr.inventory import ENTRIES
from gdpr.models import Enquiry, RequestedRight, RetentionRun, Right
from relay import hourkeys
from relay.models import (
    Attempt,
    Content,
    HourKey,
    Message,
    QueuedDelivery,
    Restriction,
    Route,
    messages,
)
from tests import build
from tests.dpa.test_promises import OFF as AGREEMENTS_OFF

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def found(number: str) -> Result:
    """What the check of a promise sees; the promises of one number are looked at together."""
    results = [promise.check() for promise in PROMISES if promise.id == number]
    assert results
    return Result(
        holds=all(result.holds for result in results), seen="; ".join(r.seen for r in results)
    )


@pytest.fixture
def service(
    organisation: Organisation, dorte: User, settings: Settings, tmp_path: Path
) -> Organisation:
    """A customer with mail that waits and an event in the audit trail, and one of the staff."""
    settings.DATABASE_ROLE = "duty"
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")
    settings.RELAY_ALLOW_PLAINTEXT_AUTH = False
    build.mail_of(organisation)
    organisation.allow_sending(Organisation.SendingReason.DEMONSTRATION, build.NOW)
    audit.record(None, "organisation.noticed", organisation)
    ledger.attest(clock.now())
    for step in retention.plan(clock.now()):
        RetentionRun.objects.create(what=step.what, started_at=clock.now(), finished_at=clock.now())
    return organisation


def password_rule(_: Organisation, settings: Settings, __: pytest.MonkeyPatch) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = []


def second_factor(_: Organisation, __: Settings, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StaffSite, "has_permission", lambda _site, request: request.user.is_staff)


def hashes(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        User.objects.update(password="md5$salt$digest")


def row_security(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_membership DISABLE ROW LEVEL SECURITY")


def trail(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert AuditEvent.objects.update(action="something.else")


def content(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert Content.objects.exists()
        QueuedDelivery.objects.all().delete()


def log(_: Organisation, __: Settings, patch: pytest.MonkeyPatch) -> None:
    body = models.CharField()
    body.set_attributes_from_name("body")
    patch.setattr(Message._meta, "get_fields", lambda: [*Message._meta.concrete_fields, body])


def clear_sign_in(_: Organisation, settings: Settings, __: pytest.MonkeyPatch) -> None:
    settings.RELAY_ALLOW_PLAINTEXT_AUTH = True


def clear_passwords(organisation: Organisation, _: Settings, __: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert Route.objects.filter(organisation=organisation).update(sealed_secret=b"hemmeligt")


def mail_to_restricted(organisation: Organisation, _: Settings, __: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert Restriction.objects.filter(organisation=organisation).update(
            spellings=["erik@modtager.example"], restricted_at=clock.now() - timedelta(minutes=5)
        )
        Attempt.objects.update(started_at=clock.now())


def inventory(_: Organisation, __: Settings, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(duties, "ENTRIES", ENTRIES[1:])


def log_day(organisation: Organisation, _: Settings, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(messages, "LOG_DAYS", 0)


def old_row(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    Session.objects.create(
        session_key="x", session_data="", expire_date=build.NOW - timedelta(days=9)
    )


def no_run(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    two_days_ago = clock.now() - timedelta(days=2)
    RetentionRun.objects.filter(what="accounts.Session").update(finished_at=two_days_ago)


def never_run(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    RetentionRun.objects.filter(what="accounts.Session").delete()


def anywhere(_: Organisation, settings: Settings, __: pytest.MonkeyPatch) -> None:
    settings.EEA_ONLY = False


def late_request(organisation: Organisation, _: Settings, __: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        person = User.objects.get(memberships__organisation=organisation)
        late = clock.now().date() - timedelta(days=2)
        build.request_of(person).rights.update(promised_on=late, due_on=late)


def request_left_lying(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    then = clock.now() - timedelta(hours=2)
    with build.as_owner():
        Enquiry.objects.create(sealed=b"x", received_at=then, proven_at=then, due_at=then)


def untold_recipient(organisation: Organisation, _: Settings, __: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        person = User.objects.get(memberships__organisation=organisation)
        build.supplier().save(force_insert=True)
        build.request_of(person, Right.RECTIFICATION).rights.update(
            state=RequestedRight.State.DONE, closed_at=clock.now() - timedelta(hours=2)
        )


def late_answer(organisation: Organisation, settings: Settings, patch: pytest.MonkeyPatch) -> None:
    late_request(organisation, settings, patch)
    with build.as_owner():
        RequestedRight.objects.update(state=RequestedRight.State.DONE, closed_at=clock.now())


Switch = Callable[[Organisation, Settings, pytest.MonkeyPatch], None]


def erased_person(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    somebody = User.objects.only("id").first()
    assert somebody is not None
    ledger.enter(uuid4(), somebody.pk, clock.now())


def lost_journal(_: Organisation, settings: Settings, __: pytest.MonkeyPatch) -> None:
    shutil.rmtree(settings.ERASURE_JOURNAL)


def altered_journal(_: Organisation, settings: Settings, __: pytest.MonkeyPatch) -> None:
    (file,) = Path(settings.ERASURE_JOURNAL).iterdir()
    file.write_text(file.read_text().replace("until", "since"))


def unreviewed_contract(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    longer = timedelta(days=recipients.REVIEW_DAYS + 1)
    row = build.supplier(reviewed_on=day_of(clock.now()) - longer)
    with build.as_owner():
        recipients.enter(row, changed=["name"], by=None)


def no_key_closed(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    week_ago = clock.now() - timedelta(days=7)
    with build.as_owner():
        HourKey.objects.create(id=f"{week_ago:%Y%m%dT%H}-0")


def key_that_stays(_: Organisation, __: Settings, ___: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        alerts.raise_alert(hourkeys.LEFT)


OFF: dict[str, Switch] = {
    "App 3.7": password_rule,
    "App 3.9": trail,
    "D3.3": request_left_lying,
    "D4.2": unreviewed_contract,
    "G2a": inventory,
    "G3b": clear_sign_in,
    "G3c": row_security,
    "G4a": no_run,
    "G4b": erased_person,
    "G6a": second_factor,
    "M2.7a": old_row,
    "M2.7c": log_day,
    "M2.7d": log,
    "M3.1b": anywhere,
    "M5.2a": untold_recipient,
    "R2": clear_passwords,
    "S6": mail_to_restricted,
    "R4": content,
    "R4b": no_key_closed,
    "S12": hashes,
    "S19": late_request,
}
OTHER_WAYS: list[tuple[str, Switch]] = [
    ("G4a", never_run),
    ("G4b", lost_journal),
    ("G4b", altered_journal),
    ("R4b", key_that_stays),
    ("S19", late_answer),
]


def test_every_promise_is_switched_off_here() -> None:
    assert {promise.id for promise in PROMISES} == set(OFF) | set(AGREEMENTS_OFF)


@pytest.mark.parametrize(("number", "switch"), [*OFF.items(), *OTHER_WAYS])
def test_promise_holds_until_it_is_switched_off(
    number: str,
    switch: Switch,
    service: Organisation,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = found(number)
    assert before.holds, before.seen
    switch(service, settings, monkeypatch)
    after = found(number)
    assert not after.holds
    assert "check failed" not in after.seen


def _raises() -> Result:
    raise RuntimeError("row of erik@modtager.example")


BROKEN = Promise(id="X1", words="x", control="x", switched_off_by="x", check=_raises)


def test_check_that_fails_to_run_is_a_promise_not_kept_and_quotes_nothing() -> None:
    (outcome,) = look([BROKEN])
    assert not outcome.result.holds
    assert outcome.result.seen == "the check failed: RuntimeError"


def test_results_are_written_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "PROMISES", (BROKEN,))
    record(look([BROKEN]), build.NOW)
    assert not PromiseResult.objects.get(id="X1").holds
    assert Alert.objects.get(kind="promise-broken", resolved_at=None).subject == "X1"
    kept = Promise(
        id="X1",
        words="x",
        control="x",
        switched_off_by="x",
        check=lambda: Result(holds=True, seen=""),
    )
    record(look([kept]), build.NOW)
    assert PromiseResult.objects.get(id="X1").holds
    assert not Alert.objects.filter(kind="promise-broken", resolved_at=None).exists()


def _command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> list[dict[str, Any]]:
    call_command("promises", *arguments)
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


@pytest.mark.usefixtures("service")
def test_command_lists_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _command(capsys, "--format", "json")
    assert [row["id"] for row in rows] == [promise.id for promise in PROMISES]
    assert all(row["holds"] for row in rows)


@pytest.mark.usefixtures("service")
def test_command_fails_and_names_what_is_not_kept(settings: Settings) -> None:
    settings.RELAY_ALLOW_PLAINTEXT_AUTH = True
    with pytest.raises(CommandError, match=r"G3b"):
        call_command("promises")
