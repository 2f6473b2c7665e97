# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests that are proven when they come: by the public form, begun within the minute."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts import stepup
from accounts.models import Organisation, User
from accounts.sessions import SessionStore
from accounts.tenancy import person_context
from gdpr import approvals, carrying, claims, intake, packing, requests
from gdpr.models import Approval, Claim, Package, Request, RequestedRight, Right
from relay import reviews
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, visit
from tests.gdpr.desk import entered, fresh, only_right, round_of_the_worker, told

pytestmark = pytest.mark.django_db

State = RequestedRight.State
HOUR = timedelta(hours=1)


def by_form(person: User, *rights: Right, language: str | None = None) -> Request:
    with build.as_role("duty"):
        return intake.open_proven(
            person,
            dict.fromkeys(rights, "Please."),
            build.NOW,
            channel=Request.Channel.FORM,
            received_at=build.NOW - HOUR,
            by=requests.SERVICE,
            language=language,
        )


def test_it_is_the_persons_own_and_counts_from_the_receipt(anna: User, clock: Clock) -> None:
    made = by_form(anna, Right.OBJECTION, language="en")
    assert (made.channel, made.language, made.received_at) == ("form", "en", build.NOW - HOUR)
    with person_context(anna.pk):
        assert Request.objects.get().rights.get().state == State.ASSESS


def test_future_is_refused(anna: User) -> None:
    with build.as_role("duty"), pytest.raises(intake.NotYetReceived):
        intake.open_proven(
            anna,
            {Right.ACCESS: ""},
            build.NOW,
            channel=Request.Channel.FORM,
            received_at=build.NOW + HOUR,
            by=requests.SERVICE,
        )


def test_what_is_under_way_is_left_out_and_the_rest_opened(anna: User, clock: Clock) -> None:
    by_form(anna, Right.ACCESS)
    second = by_form(anna, Right.ACCESS, Right.PORTABILITY)
    with build.as_owner():
        assert [row.right for row in second.rights.all()] == [Right.PORTABILITY]
    with pytest.raises(requests.AlreadyOpen):
        by_form(anna, Right.ACCESS)


def test_package_is_fetched_signed_in_with_a_fresh_proof(
    anna: User, organisation: Organisation, clock: Clock
) -> None:
    made = by_form(anna, Right.PORTABILITY)
    round_of_the_worker(build.NOW)
    with build.as_role("duty"):
        assert packing.pack_due() == 1
    with build.as_owner():
        package = Package.objects.get()
    path, page = at("gdpr:package", made.pk, package.pk), visit(anna)
    assert leads_to(visit().get(path), "accounts:sign-in")
    assert leads_to(page.get(path), "accounts:step-up")
    session = SessionStore(page.cookies["sessionid"].value)
    session[stepup.SESSION_KEY] = clock.now.isoformat()
    session.save()
    assert page.get(path).headers["Content-Type"] == "application/zip"


def test_each_is_begun_once(anna: User, clock: Clock) -> None:
    by_form(anna, Right.ACCESS, Right.PORTABILITY)
    round_of_the_worker(build.NOW)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        assert Package.objects.count() == 2


def test_what_staff_have_taken_over_is_not_begun(anna: User, clock: Clock) -> None:
    row = only_right(by_form(anna, Right.ACCESS))
    with build.as_role("duty"):
        requests.move(row, State.ASSESS, requests.SERVICE, build.NOW)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        assert not Package.objects.exists()


def test_what_is_refused_is_told_until_it_is_begun(
    anna: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = only_right(by_form(anna, Right.REVIEW))

    def refuse(*_: object) -> None:
        raise reviews.Decided

    with monkeypatch.context() as patch:
        patch.setitem(carrying.BEGUN, Right.REVIEW, refuse)
        round_of_the_worker(build.NOW)
        assert told(carrying.ALERT) == {str(row.pk)}
    round_of_the_worker(build.NOW)
    assert (fresh(row).begun_at, told(carrying.ALERT)) == (build.NOW, set())


@pytest.fixture
def confirmed(anna: User, carl: User, dorte: User) -> list[Request]:
    """Two requests whose claimants have followed their links."""
    made = [entered(dorte, address=person.email) for person in (anna, carl)]
    with build.as_owner():
        Claim.objects.update(asked_at=build.NOW, confirmed_at=build.NOW)
    return made


def test_claim_that_fails_keeps_no_other_from_being_taken_up(
    confirmed: list[Request], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = confirmed
    prove = requests.prove

    def fail(request: Request, *values: Any, **named: Any) -> None:
        if request.pk == broken.pk:
            raise ValueError("what the person wrote")
        prove(request, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(requests, "prove", fail)
        round_of_the_worker(build.NOW)
    assert only_right(broken).request.proven_at is None
    assert only_right(sound).state == State.ACT
    with build.as_owner():
        assert Package.objects.count() == 1, "the round goes on to what is begun"
    assert told(claims.NOT_TAKEN_UP) == {str(broken.pk)}
    round_of_the_worker(build.NOW)
    assert (only_right(broken).state, told(claims.NOT_TAKEN_UP)) == (State.ACT, set())


def test_request_that_cannot_be_ended_keeps_no_other(
    confirmed: list[Request], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with build.as_owner():
        Claim.objects.update(confirmed_at=None)
    (broken, sound), move, later = confirmed, requests.move, build.NOW + claims.LIFE

    def fail(row: RequestedRight, *values: Any, **named: Any) -> None:
        if row.request_id == broken.pk:
            raise ValueError("what the person wrote")
        move(row, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(requests, "move", fail)
        round_of_the_worker(later)
    assert only_right(broken).is_open
    assert only_right(sound).state == State.NOT_IDENTIFIABLE
    assert told(claims.NOT_ENDED) == {str(broken.pk)}


def test_approval_that_cannot_be_asked_for_keeps_no_other(
    anna: User, carl: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = (only_right(by_form(person, Right.ERASURE)) for person in (anna, carl))
    ask = approvals.ask

    def fail(what: Approval.What, subject_id: UUID, *values: Any, **named: Any) -> Approval:
        if subject_id == broken.pk:
            raise ValueError("what the person wrote")
        return ask(what, subject_id, *values, **named)

    monkeypatch.setattr(approvals, "ask", fail)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        assert Approval.objects.get().subject_id == sound.pk
    assert told(intake.NOT_ASKED) == {str(broken.pk)}


def test_fault_of_one_holds_up_no_other_and_is_told(
    anna: User, carl: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = by_form(anna, Right.ACCESS), by_form(carl, Right.PORTABILITY)

    def fail(*_: object) -> None:
        raise ValueError("what the person wrote")

    monkeypatch.setitem(carrying.BEGUN, Right.ACCESS, fail)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        (row,), (other,) = broken.rights.all(), sound.rights.all()
        assert (row.begun_at, other.begun_at) == (None, build.NOW)
    assert told(carrying.ALERT) == {str(row.pk)}
    monkeypatch.undo()
    round_of_the_worker(build.NOW)
    assert (fresh(row).begun_at, told(carrying.ALERT)) == (build.NOW, set())
