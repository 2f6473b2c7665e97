# SPDX-License-Identifier: AGPL-3.0-or-later
"""An erasure that does not get on: what is written down of it, and what staff see and can do."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from redis import Redis

from accounts.models import AuditEvent, User
from gdpr.erasing import run, steps
from gdpr.models import Erasure, HeldRow
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import later

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(clock: Clock) -> Clock:
    clock.now = later(minutes=10)
    return clock


@pytest.fixture
def stuck(asked: Erasure, gone: User) -> Erasure:
    """Its second step ended in an error whose text names the person."""

    def fail(work: steps.Work) -> None:
        raise OSError(gone.email)

    with pytest.MonkeyPatch.context() as patch, build.as_role("duty"):
        patch.setitem(steps.ACTS, "survey", fail)
        assert not run.carry_out(asked.pk, later())
    return asked


def address(page: str, *arguments: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_erasure_{page}", args=arguments)


def resume(client: Client, row: Erasure) -> Any:
    chosen = {"action": "resume", "_selected_action": [row.pk]}
    return client.post(address("changelist"), chosen, follow=True)


def fresh(row: Erasure) -> Erasure:
    with build.as_owner():
        return Erasure.objects.get(pk=row.pk)


def test_error_is_kept_by_its_kind_alone(
    stuck: Erasure, gone: User, caplog: pytest.LogCaptureFixture
) -> None:
    row = fresh(stuck)
    assert (row.fault, row.report["stuck"]) == (Erasure.Fault.ERROR, "OSError")
    with build.as_role("duty"):
        assert list(run.stuck(later())) == [row]
        assert run.carry_out(stuck.pk, row.due_at)
        assert not run.stuck(row.due_at).exists()
    (told,) = [one for one in caplog.get_records("setup") if one.levelno == logging.ERROR]
    assert "OSError" in told.getMessage()
    assert gone.email not in told.getMessage()


def test_list_has_step_time_and_kind_and_nobodys_name(
    now: Clock, stuck: Erasure, gone: User, stays: User, dorte: User
) -> None:
    with build.as_owner():
        thinking = seeds.ask(stays)
    staff = verified(dorte)
    for page in (staff.get(address("changelist")), staff.get(address("change", stuck.pk))):
        text = page.text
        for words in (stuck.reference, "survey", "OSError", "a step ended in an error"):
            assert words in text
        assert "Nov. 23, 2026" in text or "23 November 2026" in text
        for mark in (gone.email, gone.last_name, str(gone.pk), gone.phone):
            assert mark not in text
        assert thinking.reference not in text


def test_nothing_is_written_by_hand(now: Clock, stuck: Erasure, dorte: User) -> None:
    staff = verified(dorte)
    assert staff.get(address("add")).status_code == 403
    assert staff.post(address("change", stuck.pk), {"state": "done"}).status_code == 403
    assert staff.post(address("delete", stuck.pk), {"post": "yes"}).status_code == 403


def test_resume_makes_it_due_and_wakes_the_worker(
    now: Clock,
    stuck: Erasure,
    dorte: User,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert "within a minute" in resume(verified(dorte), stuck).text
    row = fresh(stuck)
    assert row.due_at == now.now
    with build.as_owner():
        event = AuditEvent.objects.get(action="erasure.resumed")
    assert event.target_id == str(stuck.pk)
    with Redis.from_url(settings.REDIS_URL) as redis:
        assert redis.llen("worker") == 1
    with build.as_role("duty"):
        assert run.due(now.now) == [stuck.pk]
        assert run.carry_out(stuck.pk, now.now)


def test_nothing_else_is_resumed_or_by_others(now: Clock, asked: Erasure, dorte: User) -> None:
    due_at = asked.due_at
    with build.as_role("staff"):
        assert run.resume(asked, dorte, later()) is False
    assert fresh(asked).due_at == due_at
    finn = build.person("Finn", "Kigger", is_staff=True)
    with build.as_owner():
        Erasure.objects.filter(pk=asked.pk).update(fault=Erasure.Fault.LEFTOVER)
    assert resume(verified(finn), asked).status_code == 403


def test_findings_are_shown_and_accepted_with_reasons(
    now: Clock, asked: Erasure, gone: User, dorte: User
) -> None:
    with build.as_owner():
        found = [["stray.word", "address", 1]]
        Erasure.objects.filter(pk=asked.pk).update(
            state=Erasure.State.RUNNING, fault=Erasure.Fault.LEFTOVER, report={"found": found}
        )
    staff = verified(dorte)
    assert "stray.word: address (1)" in staff.get(address("change", asked.pk)).text
    assert "This field is required" in staff.post(address("accept", asked.pk), {"because": ""}).text
    words = {"because": "It is the address of a desk."}
    assert "within a minute" in staff.post(address("accept", asked.pk), words, follow=True).text
    assert fresh(asked).report["accepted"] == [["stray.word", "address", 1, words["because"]]]
    assert fresh(asked).due_at <= now.now
    again = staff.post(address("accept", asked.pk), words)
    assert "did not stop at anything" in again.text
    finn = build.person("Finn", "Kigger", is_staff=True)
    assert verified(finn).get(address("accept", asked.pk)).status_code == 403


def test_certificate_is_found_by_its_number(now: Clock, asked: Erasure, dorte: User) -> None:
    with build.as_owner():
        Erasure.objects.filter(pk=asked.pk).update(
            state=Erasure.State.DONE, ended_at=later(), certificate=b"%PDF-x"
        )
    staff, listed = verified(dorte), address("changelist")
    assert asked.reference not in staff.get(listed).text
    assert asked.reference not in staff.get(listed, {"q": "0" * 8}).text.partition("result_list")[2]
    assert asked.reference in staff.get(listed, {"q": asked.reference}).text
    url = address("certificate", asked.pk)
    assert url in staff.get(address("change", asked.pk)).text
    assert staff.get(url).content == b"%PDF-x"
    with build.as_owner():
        event = AuditEvent.objects.get(action="erasure.certificate-viewed")
    assert event.target_id == str(asked.pk)


def test_staff_see_what_a_new_erasure_would_do_and_that_nothing_is_changed(
    now: Clock, asked: Erasure, gone: User, dorte: User
) -> None:
    before = seeds.contents()
    with build.as_role("duty"):
        run.draw_up_plans(later())
    unplanned = {"gdpr_erasure"}
    after = seeds.contents()
    assert {table for table in after if after[table] != before[table]} == unplanned
    text = verified(dorte).get(address("change", asked.pk)).text
    assert "This is a dry run: nothing has been changed." in text
    assert "legal claims: GDPR article 17(3)(e) (Danish Limitation Act, section 3" in text
    assert "until 20 November 2031" in text
    assert gone.last_name not in text


def test_staff_see_what_is_held_and_fetch_the_second_certificate(
    now: Clock, asked: Erasure, dorte: User
) -> None:
    with build.as_owner():
        Erasure.objects.filter(pk=asked.pk).update(
            state=Erasure.State.DONE, ended_at=later(), completion=b"%PDF-2"
        )
        HeldRow.objects.create(erasure=asked, model="dpa.Agreement", key="1", law="limitation")
    client = verified(dorte)
    text = client.get(address("change", asked.pk)).text
    assert "its time has not begun" in text
    assert address("completion", asked.pk) in text
    answer = client.get(address("completion", asked.pk))
    assert (answer.content, answer["Content-Type"]) == (b"%PDF-2", "application/pdf")
    assert client.get(address("certificate", asked.pk)).status_code == 404
    with build.as_owner():
        assert AuditEvent.objects.filter(action="erasure.certificate-viewed").count() == 1
