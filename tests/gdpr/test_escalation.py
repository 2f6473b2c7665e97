# SPDX-License-Identifier: AGPL-3.0-or-later
"""Staff hear of a clock at half, at four fifths, three days before the promise, and too late."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from accounts import vault
from accounts.models import Alert, OutgoingMail, User
from gdpr import escalation, promises, requests
from gdpr.models import RequestedRight, Right, Step
from tests import build
from tests.accounts.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = RequestedRight.State
DAY = timedelta(days=1)


@pytest.fixture
def right(anna: User) -> RequestedRight:
    """Received on 20 November, promised by 20 December."""
    return build.request_of(anna, Right.OBJECTION).rights.get()


def open_kinds() -> list[str]:
    return list(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_each_stage_is_told_once_and_replaces_the_one_before(right: RequestedRight) -> None:
    told = []
    for day in range(33):
        escalation.escalate(build.NOW + day * DAY)
        told.append(open_kinds())
    assert told[14] == []
    assert told[15] == told[23] == ["request-clock-half"]
    assert told[24] == told[26] == ["request-clock-most"]
    assert told[27] == told[30] == ["request-clock-last-days"]
    assert told[31] == told[32] == ["request-clock-overdue"]
    steps = right.steps.filter(kind=Step.Kind.ESCALATED)
    assert [step.reason for step in steps] == ["half", "most", "last-days", "overdue"]
    assert OutgoingMail.objects.filter(kind="operator_alert").count() == 4


def test_alert_names_the_right_and_nobody(right: RequestedRight, anna: User) -> None:
    escalation.escalate(build.NOW + 16 * DAY)
    assert Alert.objects.get().subject == str(right.id)


def test_clock_that_stands_still_is_left_alone(right: RequestedRight, clock: Clock) -> None:
    requests.move(right, State.PAUSED, requests.SERVICE, build.NOW, reason="Which data?")
    assert escalation.escalate(build.NOW + 40 * DAY) == 0
    clock.forward(days=40)
    assert promises.requests_are_answered_in_time().holds
    requests.move(right, State.ASSESS, requests.SERVICE, build.NOW + 40 * DAY)
    assert escalation.escalate(build.NOW + 40 * DAY) == 1
    assert open_kinds() == ["request-clock-half"]


def test_question_asked_too_late_stops_nothing(right: RequestedRight, clock: Clock) -> None:
    requests.move(right, State.PAUSED, requests.SERVICE, build.NOW + 20 * DAY, reason="Which?")
    assert promises.requests_are_answered_in_time().holds
    clock.forward(days=31)
    assert escalation.escalate(clock.now) == 1
    assert open_kinds() == ["request-clock-overdue"]
    assert not promises.requests_are_answered_in_time().holds


class TestUnanswered:
    @pytest.fixture
    def asked(self, right: RequestedRight) -> RequestedRight:
        requests.move(right, State.PAUSED, requests.SERVICE, build.NOW, reason="Which data?")
        return right

    def test_person_is_reminded_once_and_then_staff_are_told(self, asked: RequestedRight) -> None:
        told = []
        for day in range(40):
            escalation.remind(build.NOW + day * DAY)
            told.append((asked.steps.filter(kind="reminded").count(), open_kinds()))
        assert told[6] == (0, [])
        assert told[7] == told[20] == (1, [])
        assert told[21] == told[39] == (1, ["request-unanswered"])
        assert Alert.objects.get().subject == str(asked.id)
        (mail,) = OutgoingMail.objects.filter(kind="gdpr/letter")
        letter = json.loads(vault.unseal(f"outgoing-mail|{mail.id}", mail.sealed))
        assert letter["to"] == "anna@due.example"
        assert "Which data?" in letter["text"]
        assert "11. december 2026" in letter["text"]

    def test_answer_ends_it(self, asked: RequestedRight) -> None:
        escalation.remind(build.NOW + 21 * DAY)
        assert open_kinds() == ["request-unanswered"]
        requests.move(asked, State.ASSESS, requests.SERVICE, build.NOW + 21 * DAY)
        escalation.remind(build.NOW + 21 * DAY)
        assert open_kinds() == []

    def test_second_question_has_a_reminder_of_its_own(self, asked: RequestedRight) -> None:
        later = build.NOW + 9 * DAY
        assert escalation.remind(later) == 1
        requests.move(asked, State.ASSESS, requests.SERVICE, later)
        requests.move(asked, State.PAUSED, requests.SERVICE, later, reason="And since when?")
        assert escalation.remind(later + 6 * DAY) == 0
        assert escalation.remind(later + 7 * DAY) == 1


def test_answer_settles_it(right: RequestedRight) -> None:
    escalation.escalate(build.NOW + 31 * DAY)
    requests.move(right, State.REFUSED, requests.SERVICE, build.NOW, reason="Because.")
    escalation.escalate(build.NOW + 31 * DAY)
    assert open_kinds() == []


def test_extension_begins_anew(right: RequestedRight) -> None:
    escalation.escalate(build.NOW + 27 * DAY)
    requests.extend(right, requests.SERVICE, build.NOW + 27 * DAY, reason="Many rows.")
    escalation.escalate(build.NOW + 27 * DAY)
    right.refresh_from_db()
    assert right.escalated == ""
    assert open_kinds() == []
