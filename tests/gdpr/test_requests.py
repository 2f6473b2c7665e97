# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests move as the states allow; every step stays, and each right has its own clock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts.models import AuditEvent, User
from accounts.tenancy import person_context
from gdpr import requests
from gdpr.models import Request, RequestedRight, Right, Step
from tests import build

pytestmark = pytest.mark.django_db

State = RequestedRight.State
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def own(anna: User) -> Iterator[None]:
    with person_context(anna.id):
        yield


def opened(user: User, *rights: Right) -> list[RequestedRight]:
    request = requests.open_by_person(user, dict.fromkeys(rights, ""), NOW)
    return list(request.rights.order_by("right"))


def by(row: RequestedRight) -> requests.Actor:
    """The person: nobody else can be named in the audit trail while they are signed in."""
    assert row.request.person
    return requests.person(row.request.person)


def walk(row: RequestedRight, *states: State, at: datetime = NOW) -> None:
    for state in states:
        requests.move(row, state, by(row), at, reason="Because.")


@pytest.mark.usefixtures("own")
class TestOpening:
    def test_self_service_runs_and_the_rest_is_assessed(self, anna: User) -> None:
        rows = opened(anna, Right.ACCESS, Right.OBJECTION)
        assert [(row.right, row.state) for row in rows] == [
            (Right.ACCESS, State.ACT),
            (Right.OBJECTION, State.ASSESS),
        ]
        assert [step.kind for step in rows[0].steps.all()] == [
            "received", "identity", "assess", "act",
        ]  # fmt: skip
        assert [step.by for step in rows[0].steps.all()] == ["person"] * 3 + ["service"]

    def test_both_clocks_run_from_receipt(self, anna: User) -> None:
        (row,) = opened(anna, Right.ACCESS)
        assert (row.promised_on, row.due_on) == (date(2026, 12, 22), date(2026, 12, 22))

    def test_actor_is_an_id_that_erasing_a_row_makes_nobody(self, anna: User) -> None:
        (row,) = opened(anna, Right.ACCESS)
        (actor_id,) = {step.actor_id for step in row.steps.filter(by=Step.By.PERSON)}
        assert actor_id not in (None, anna.id)

    def test_same_right_twice_is_refused(self, anna: User) -> None:
        opened(anna, Right.ACCESS)
        with pytest.raises(requests.AlreadyOpen):
            opened(anna, Right.ACCESS, Right.OBJECTION)
        assert len(opened(anna, Right.PORTABILITY)) == 1

    def test_nothing_asked_is_refused(self, anna: User) -> None:
        with pytest.raises(requests.NothingAsked):
            opened(anna)

    def test_it_is_audited_without_values(self, anna: User) -> None:
        opened(anna, Right.ACCESS)
        with build.as_owner():
            event = AuditEvent.objects.get()
        assert (event.action, event.fields, event.organisation_id) == (
            "request.opened", ["access"], None,
        )  # fmt: skip


@pytest.mark.usefixtures("own")
class TestMoving:
    def test_every_move_that_is_not_listed_is_refused(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        for before in State:
            for after in State:
                row.state, row.closed_at, row.resolution = before, None, "x"
                row.closed_at = NOW if before in RequestedRight.FINAL else None
                row.save()
                if after in requests.MOVES.get(before, set()):
                    continue
                with pytest.raises(requests.IllegalMove):
                    requests.move(row, after, requests.SERVICE, NOW, reason="Because.")
                row.refresh_from_db()
                assert row.state == before

    def test_move_judges_the_row_in_the_database(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        stale = RequestedRight.objects.get()
        walk(row, State.WITHDRAWN)
        with pytest.raises(requests.IllegalMove):
            walk(stale, State.REFUSED)

    @pytest.mark.parametrize("state", [State.REFUSED, State.PAUSED])
    def test_no_without_reasons_is_refused(self, anna: User, state: State) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        with pytest.raises(requests.ReasonMissing):
            requests.move(row, state, requests.SERVICE, NOW, reason=" ")

    def test_request_closes_with_its_last_right(self, anna: User) -> None:
        first, second = opened(anna, Right.ACCESS, Right.PORTABILITY)
        walk(first, State.DONE)
        assert Request.objects.get().closed_at is None
        walk(second, State.PARTLY_DONE, at=NOW + DAY)
        assert Request.objects.get().closed_at == NOW + DAY
        assert (second.resolution, second.closed_at) == ("Because.", NOW + DAY)

    def test_question_stops_the_clock_until_the_answer(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        walk(row, State.PAUSED, at=NOW + DAY)
        assert requests.clock_of(row, NOW + 5 * DAY).promised_on == date(2026, 12, 26)
        walk(row, State.ASSESS, at=NOW + 9 * DAY)
        assert (row.promised_on, row.due_on) == (date(2026, 12, 30), date(2026, 12, 30))
        assert requests.clock_of(row, NOW + 20 * DAY).promised_on == date(2026, 12, 30)

    def test_second_question_counts_on_its_own(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        walk(row, State.PAUSED, at=NOW)
        walk(row, State.ASSESS, at=NOW + 2 * DAY)
        walk(row, State.PAUSED, at=NOW + 4 * DAY)
        walk(row, State.ASSESS, at=NOW + 5 * DAY)
        assert row.promised_on == date(2026, 12, 25)


@pytest.mark.django_db(transaction=True)
@pytest.mark.as_role("duty")
def test_two_rights_that_end_at_once_close_their_request(anna: User) -> None:
    """The second one ends while the first is not committed, as with two workers."""
    made = build.request_of(anna, Right.ACCESS, Right.PORTABILITY)
    made.rights.update(state=State.ACT)
    first, second = made.rights.order_by("right")

    def end_the_second() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE duty")
            requests.move(second, State.DONE, requests.SERVICE, NOW)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        requests.move(first, State.DONE, requests.SERVICE, NOW)
        ending = worker.submit(end_the_second)
        with pytest.raises(TimeoutError):
            ending.result(timeout=1)
    assert ending.result() is None
    made.refresh_from_db()
    assert made.closed_at == NOW


@pytest.mark.usefixtures("own")
class TestExtending:
    def test_three_months_from_receipt_once(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        requests.extend(row, by(row), NOW + 30 * DAY, reason="Many records.")
        assert (row.promised_on, row.due_on) == (date(2027, 2, 22), date(2027, 2, 22))
        assert Step.objects.last().reason == "Many records."  # type: ignore[union-attr]
        with pytest.raises(requests.IllegalMove):
            requests.extend(row, by(row), NOW + 30 * DAY, reason="Again.")

    def test_after_the_limit_it_is_refused(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        with pytest.raises(requests.TooLate):
            requests.extend(row, by(row), NOW + 31 * DAY, reason="Late.")

    def test_without_reasons_it_is_refused(self, anna: User) -> None:
        (row,) = opened(anna, Right.OBJECTION)
        with pytest.raises(requests.ReasonMissing):
            requests.extend(row, by(row), NOW, reason="")


def _denied(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        return True
    return False


class TestDatabase:
    def test_person_sees_own_requests_only(self, anna: User, carl: User) -> None:
        build.request_of(anna)
        for user, count in ((anna, 1), (carl, 0)):
            with person_context(user.id):
                for model in (Request, RequestedRight, Step):
                    assert model._default_manager.count() == count

    def test_person_cannot_write_for_another(self, anna: User, carl: User) -> None:
        theirs = build.request_of(anna)
        with person_context(carl.id), pytest.raises(DatabaseError), transaction.atomic():
            Request.objects.create(person=anna, channel="portal", language="da", received_at=NOW)
        with build.as_owner():
            right = theirs.rights.get()
        with person_context(carl.id), pytest.raises(DatabaseError), transaction.atomic():
            Step.objects.create(right=right, kind=Step.Kind.ASSESS, by=Step.By.PERSON, at=NOW)

    @pytest.mark.parametrize("role", ["web", "staff", "duty", "owner"])
    def test_nobody_changes_a_step(self, anna: User, role: str) -> None:
        build.request_of(anna)
        with person_context(anna.id), connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            if role != "owner":
                cursor.execute(f"SET ROLE {role}")
            assert Step.objects.count() == 1
            assert _denied("UPDATE gdpr_step SET reason = 'x'")
            assert _denied("DELETE FROM gdpr_step")

    @pytest.mark.parametrize(("role", "may"), [("web", 0), ("staff", 0), ("duty", 1)])
    def test_words_of_a_step_are_emptied_by_erasing_alone(
        self, anna: User, role: str, may: int
    ) -> None:
        with build.as_owner():
            right = build.request_of(anna).rights.get()
            spoken = Step.objects.create(
                right=right, kind=Step.Kind.ASSESS, by=Step.By.PERSON, at=NOW, reason="Anna"
            )
        with person_context(anna.id), build.as_role(role):
            assert _denied("UPDATE gdpr_step SET reason = '', kind = 'done'")
            assert _denied("UPDATE gdpr_step SET reason = '' WHERE reason <> ''") is not bool(may)
            assert _denied("UPDATE gdpr_step SET reason = 'Bo'")
        with build.as_owner():
            spoken.refresh_from_db()
        assert spoken.reason == ("" if may else "Anna")

    @pytest.mark.as_role("duty")
    def test_steps_go_with_a_request_that_is_closed(self, anna: User) -> None:
        made = build.request_of(anna)
        made.rights.update(state=State.DONE, closed_at=NOW)
        made.delete()
        assert not Step.objects.exists()

    @pytest.mark.parametrize(
        "values",
        [
            "state = 'refused', closed_at = now()",
            "state = 'done'",
            "closed_at = now()",
            "promised_on = due_on + 1",
        ],
    )
    def test_contradictions_are_refused(self, anna: User, values: str) -> None:
        build.request_of(anna)
        with person_context(anna.id):
            assert _denied(f"UPDATE gdpr_requestedright SET {values}")
