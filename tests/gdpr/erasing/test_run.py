# SPDX-License-Identifier: AGPL-3.0-or-later
"""A whole erasure, stopped between and inside any two of its steps, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings
from redis import Redis

from accounts import audit
from accounts.models import (
    Alert,
    AuditActor,
    AuditEvent,
    Invitation,
    Organisation,
    Role,
    User,
)
from gdpr import ledger, packages
from gdpr.erasing import plan, run, steps
from gdpr.erasing.plan import Plan
from gdpr.erasing.steps import Work
from gdpr.models import Erasure, ErasureStep, ErasureSubject, Package, RequestedRight, Step
from gdpr.rights import erasure
from gdpr.subjects import Subject
from relay.models import Credential
from tests import build
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import ASKED_AT, OVER, later
from tests.gdpr.erasing.reading import sent

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = Erasure.State


class Crash(BaseException):
    """The end of the process: nothing in it can catch that."""


def _done(erasure: Erasure) -> list[str]:
    return [step.name for step in erasure.steps.filter(done_at__isnull=False)]


def _counts(erasure: Erasure) -> list[tuple[str, int, int]]:
    return [(step.name, step.removed, step.changed) for step in erasure.steps.all()]


def test_nothing_happens_before_the_time_to_think_is_over(asked: Erasure, gone: User) -> None:
    almost = OVER - timedelta(seconds=1)
    assert run.due(almost) == []
    assert not run.carry_out(asked.pk, almost)
    assert User.objects.filter(pk=gone.pk).exists()
    assert run.due(OVER) == [asked.pk]


def test_plan_is_drawn_up_for_the_page(asked: Erasure) -> None:
    assert run.draw_up_plans(ASKED_AT) == 1
    assert run.draw_up_plans(ASKED_AT) == 0
    asked.refresh_from_db()
    deleted = dict(asked.report["plan"]["deleted"])
    assert deleted["accounts.User"] == 1
    assert deleted["accounts.Membership"] == 2


def test_person_is_gone_and_everybody_else_is_as_before(
    asked: Erasure, gone: User, stays: User
) -> None:
    with build.as_owner():
        audit.record_installation(stays, "person.rectified", stays)
    before = seeds.contents()
    hers = seeds.rows_of(gone)
    assert run.carry_out(asked.pk, later())
    after = seeds.contents()
    changed = {table: lost for table in before if (lost := before[table] - after[table])}
    # The heads of the audit chains, the installation's and the house's, move with every event.
    assert len(changed.pop("accounts_auditchain")) == 2
    assert {
        table: lost - hers.get(table, set()) for table, lost in changed.items()
    } == dict.fromkeys(changed, set())
    assert audit.verify() == []


def test_done_erasure_knows_nobody(asked: Erasure, gone: User) -> None:
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.state, asked.fault, asked.ended_at) == (State.DONE, "", later())
    assert not ErasureSubject.objects.filter(erasure=asked).exists()
    assert not AuditActor.objects.filter(user_id=gone.pk).exists()
    assert asked.right is not None
    assert asked.right.request.person_id is None
    text = json.dumps([asked.report, _counts(asked)])
    for mark in (gone.email, gone.last_name, str(gone.pk), gone.phone):
        assert mark not in text
    assert not Alert.objects.exists()


def test_packages_that_wait_are_destroyed_with_their_files(
    asked: Erasure, gone: User, stays: User
) -> None:
    hers, others = (Package.objects.get(person=person) for person in (gone, stays))
    assert run.carry_out(asked.pk, later())
    assert not packages.path_of(hers.pk).exists()
    assert packages.path_of(others.pk).exists()


def test_what_is_kept_makes_it_partly_done_with_reasons(asked: Erasure) -> None:
    assert run.carry_out(asked.pk, later())
    right = RequestedRight.objects.get(erasure=asked)
    assert right.state == RequestedRight.State.PARTLY_DONE
    assert "artikel 17" in (right.resolution or "")


def test_person_without_a_business_is_done_wholly(house: Organisation) -> None:
    person = build.person("Ida", "Alene")
    build.member(house, person, Role.VIEWER)
    with build.as_owner():
        erasure = seeds.ask(person)
    assert run.carry_out(erasure.pk, later())
    assert RequestedRight.objects.get(erasure=erasure).state == RequestedRight.State.DONE


def test_done_twice_is_done_once(asked: Erasure) -> None:
    assert run.carry_out(asked.pk, later())
    before = seeds.contents()
    assert run.due(later(days=1)) == []
    assert run.carry_out(asked.pk, later(days=1))
    assert seeds.contents() == before


def test_ledger_is_written_before_the_first_delete(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(work: Work, entry: object) -> None:
        assert gone.pk in [user.pk for user, _ in ledger.resurrected(later().date())]
        raise Crash

    monkeypatch.setattr(steps, "_erase_rows", stop)
    with pytest.raises(Crash):
        run.carry_out(asked.pk, later())
    assert _done(asked) == ["ledger", "survey"]
    assert len(ledger.journal(later().date())) == 1


def _crash_before(take: Callable[[Work], None], work: Work) -> None:
    raise Crash


def _crash_after(take: Callable[[Work], None], work: Work) -> None:
    take(work)
    raise Crash


@pytest.mark.parametrize("crash", [_crash_before, _crash_after])
def test_erasure_stopped_at_every_step_is_completed(
    asked: Erasure,
    stays: User,
    crash: Callable[[Callable[[Work], None], Work], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step fails the first time, before its work or after it but before its commit."""
    take, tried = steps.take, set()

    def take_or_crash(work: Work) -> None:
        if work.step.name in tried:
            return take(work)
        tried.add(work.step.name)
        return crash(take, work)

    monkeypatch.setattr(steps, "take", take_or_crash)
    crashes = 0
    while Erasure.objects.get(pk=asked.pk).state != State.DONE:
        try:
            run.carry_out(asked.pk, later())
        except Crash:
            crashes += 1
            assert len(_done(asked)) == crashes - 1
    assert crashes == len(tried) == ErasureStep.objects.filter(erasure=asked).count()
    counted = {name: (removed, changed) for name, removed, changed in _counts(asked)}
    assert counted["rows:accounts.User"] == (1, 0)
    assert counted["rows:accounts.Membership"] == (2, 1)
    assert len(sent()) == 2


PLANTED = {
    "text": "INSERT INTO stray (word) VALUES ('{email}')",
    "json": "INSERT INTO stray (packed) VALUES ('[\"{id}\"]')",
    "octets": "INSERT INTO stray (raw) VALUES (convert_to('{email}', 'UTF8'))",
}


@pytest.mark.parametrize("form", PLANTED)
def test_leftover_in_a_table_stops_before_the_certificate(
    asked: Erasure, gone: User, form: str
) -> None:
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE stray (word text, packed jsonb, raw bytea)")
        cursor.execute("GRANT SELECT ON stray TO duty")
        cursor.execute(PLANTED[form].format(email=gone.email, id=gone.pk))
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.state, asked.fault) == (State.RUNNING, Erasure.Fault.LEFTOVER)
    assert asked.report["stuck"].startswith("stray.")
    assert asked.certificate is None
    assert Alert.objects.get(resolved_at=None).kind == run.ALERT
    assert run.due(later(minutes=59)) == []
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM stray")
    assert run.carry_out(asked.pk, later(hours=1))
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_row_that_came_after_its_step_is_erased_in_the_next_try(
    asked: Erasure, gone: User, house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = steps.take

    def invite_before_the_scan(work: Work) -> None:
        if work.step.name == "rows:accounts.User":
            Invitation.objects.create(
                organisation=house,
                email=gone.email,
                role=Role.VIEWER,
                token_hash=b"late",
                created_at=build.NOW,
                expires_at=build.NOW,
            )
        take(work)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "take", invite_before_the_scan)
        assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert asked.report["stuck"] == "accounts_invitation.email"
    assert run.carry_out(asked.pk, later(hours=1))
    counted = {name: removed for name, removed, _ in _counts(asked)}
    assert counted["rows:accounts.Invitation"] == 3


def test_leftover_in_redis_stops_it_too(asked: Erasure, gone: User) -> None:
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.set("stray", gone.email)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert asked.report["stuck"] == "redis:string"


def test_place_that_cannot_be_searched_stops_it(asked: Erasure, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert asked.fault == Erasure.Fault.UNSEARCHED


def test_mail_of_customers_is_no_leftover(asked: Erasure, gone: User, house: Organisation) -> None:
    message = build.message_id()
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO relay_message (id, accepted_at, organisation_id, sender, size, recipients,"
            " is_notification, is_sandbox, tls_version, tls_cipher)"
            " VALUES (%s, now() - interval '1 minute', %s, %s, 1, 1, false, false, '', '')",
            [message, house.pk, gone.email],
        )
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert ["relay_message.sender", "address", 1, 0] in asked.report["scan"]["findings"]


def test_what_is_others_or_customers_is_no_leftover(
    asked: Erasure, gone: User, house: Organisation
) -> None:
    """A longer address, the same number, and a customer's own words."""
    longer = build.person("Kgerda", gone.last_name, phone=gone.phone)
    assert gone.email in longer.email
    with build.as_owner():
        Credential.objects.create(
            organisation=house,
            name=f"{gone.email} printer",
            username="x",
            secret_hash=b"x",
            created_at=build.NOW,
        )
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    found = asked.report["scan"]["findings"]
    assert ["accounts_user.phone", "phone", 1, 0] in found
    assert ["accounts_user.email", "address", 1, 0] not in found
    assert ["relay_credential.name", "address", 1, 0] in found


def test_words_of_earlier_requests_are_gone(asked: Erasure, gone: User) -> None:
    steps_of = Step.objects.filter(right__request__person=gone).exclude(reason="")
    spoken = list(steps_of.values_list("pk", flat=True))
    assert spoken
    assert run.carry_out(asked.pk, later())
    assert set(Step.objects.filter(pk__in=spoken).values_list("reason", flat=True)) == {""}
    assert not RequestedRight.objects.filter(resolution__contains=gone.phone).exists()


def test_membership_ends_for_the_organisation_too(
    asked: Erasure, gone: User, house: Organisation
) -> None:
    owner = build.person("Anna", "Ejer")
    build.member(house, owner, Role.OWNER)
    (open_one,) = Invitation.objects.filter(invited_by=gone, accepted_at=None)
    assert run.carry_out(asked.pk, later())
    assert not Invitation.objects.filter(pk=open_one.pk).exists()
    (event,) = AuditEvent.objects.filter(organisation=house, action="membership.ended")
    assert event.actor_id is None
    (told,) = [letter for letter in sent() if letter["to"] == owner.email]
    assert house.name in told["subject"]
    assert not [mark for mark in (gone.email, gone.last_name) if mark in told["text"]]


def test_any_error_is_told_by_its_kind_alone(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(work: Work) -> None:
        raise RuntimeError(gone.email)

    with monkeypatch.context() as patch:
        patch.setitem(steps.ACTS, "certificate", fail)
        assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.fault, asked.report["stuck"]) == (Erasure.Fault.ERROR, "RuntimeError")
    assert Alert.objects.get(resolved_at=None).subject == str(asked.pk)
    assert gone.email not in caplog.text
    assert run.carry_out(asked.pk, later(hours=1))


def test_plan_that_fails_holds_up_no_other(
    asked: Erasure, house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = build.person("Ida", "Alene")
    build.member(house, person, Role.VIEWER)
    with build.as_owner():
        other = seeds.ask(person)
    made = plan.plan

    def fail_for_one(subject: Subject, now: datetime) -> Plan:
        if subject.person_id != person.pk:
            raise LookupError
        return made(subject, now)

    with monkeypatch.context() as patch:
        patch.setattr(plan, "plan", fail_for_one)
        assert run.draw_up_plans(ASKED_AT) == 1
    other.refresh_from_db()
    asked.refresh_from_db()
    assert ("plan" in other.report, asked.report) == (True, {})
    assert (asked.fault, asked.due_at) == (Erasure.Fault.NONE, OVER)
    assert Alert.objects.get(resolved_at=None).subject == str(asked.pk)
    assert run.draw_up_plans(ASKED_AT) == 1
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_cancelled_while_it_was_looked_at_is_not_stuck(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel_meanwhile(person_id: UUID) -> list[Organisation]:
        with build.as_owner():
            erasure.cancel(gone, OVER, session_key=None)
        return [Organisation()]

    monkeypatch.setattr(plan, "owned_alone", cancel_meanwhile)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.state, asked.fault) == (State.CANCELLED, Erasure.Fault.NONE)
    assert not Alert.objects.exists()


def test_alert_of_a_cancelled_erasure_is_closed(asked: Erasure, gone: User) -> None:
    build.member(build.organisation("Efterladt ApS"), gone, Role.OWNER)
    assert not run.carry_out(asked.pk, later())
    run.resolve_alerts()
    assert Alert.objects.filter(resolved_at=None).exists()
    with build.as_owner():
        erasure.cancel(gone, later(), session_key=None)
    run.resolve_alerts()
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_last_owner_by_then_is_not_erased(asked: Erasure, gone: User, stays: User) -> None:
    left = build.organisation("Efterladt ApS")
    build.member(left, gone, Role.OWNER)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.state, asked.fault) == (State.WAITING, Erasure.Fault.LAST_OWNER)
    build.member(left, stays, Role.OWNER)
    assert run.carry_out(asked.pk, later(hours=1))
