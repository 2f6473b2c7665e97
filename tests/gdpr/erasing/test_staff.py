# SPDX-License-Identifier: AGPL-3.0-or-later
"""Staff take an erasure out of the machine's hands: it waits, goes on or ends as they decide."""

from __future__ import annotations

import pytest

from accounts.models import Alert, AuditEvent, User
from accounts.tenancy import person_context
from gdpr import deciding, requests
from gdpr.erasing import run, subject
from gdpr.models import Erasure, RequestedRight
from gdpr.rights import erasure
from tests import build
from tests.gdpr.erasing.conftest import ASKED_AT, later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = RequestedRight.State
REASON = "The data are needed for a claim that is before the court."


def decide(asked: Erasure, dorte: User, *states: State) -> None:
    with build.as_role("staff"), person_context(dorte.pk):
        for state in states:
            row = RequestedRight.objects.get(erasure=asked)
            deciding.decide(row, state, dorte, ASKED_AT, reason=REASON)


def _carried_out(asked: Erasure) -> bool:
    return run.due(later()) == [asked.pk] and run.carry_out(asked.pk, later())


@pytest.mark.parametrize(
    "states",
    [
        (State.ASSESS, State.REFUSED),
        (State.ASSESS, State.WITHDRAWN),
        (State.ASSESS, State.PAUSED, State.NOT_IDENTIFIABLE),
    ],
)
def test_what_staff_have_answered_otherwise_is_not_carried_out(
    asked: Erasure, gone: User, dorte: User, states: tuple[State, ...]
) -> None:
    decide(asked, dorte, *states)
    assert not _carried_out(asked)
    assert not run.carry_out(asked.pk, later())
    gone.refresh_from_db()
    asked.refresh_from_db()
    assert gone.restricted_at is None
    assert (asked.state, asked.ended_at) == (Erasure.State.CANCELLED, ASKED_AT)
    assert AuditEvent.objects.filter(action="erasure.cancelled").exists()
    assert RequestedRight.objects.get(erasure=asked).state == states[-1]
    assert not Alert.objects.exists()


@pytest.mark.parametrize("states", [(State.ASSESS,), (State.ASSESS, State.PAUSED)])
def test_what_staff_assess_waits_and_can_be_cancelled(
    asked: Erasure, gone: User, dorte: User, states: tuple[State, ...]
) -> None:
    decide(asked, dorte, *states)
    assert run.due(later(days=9)) == []
    assert not run.carry_out(asked.pk, later(days=9))
    assert not run.stuck(later(days=9)).exists()
    gone.refresh_from_db()
    assert gone.restricted_at is not None
    with build.as_owner():
        erasure.cancel(gone, later(days=9), session_key=None)
    assert RequestedRight.objects.get(erasure=asked).state == State.WITHDRAWN
    gone.refresh_from_db()
    assert gone.restricted_at is None


def test_what_staff_let_go_on_is_carried_out_to_its_end(
    asked: Erasure, gone: User, dorte: User
) -> None:
    decide(asked, dorte, State.ASSESS, State.ACT)
    assert _carried_out(asked)
    assert not User.objects.filter(pk=gone.pk).exists()


def test_running_erasure_is_nobodys_to_decide_on(
    asked: Erasure, dorte: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_take_next", lambda erasure_id, now: False)
    run.carry_out(asked.pk, later())
    row = RequestedRight.objects.get(erasure=asked)
    assert State.ASSESS not in deciding.moves(row, ASKED_AT)
    with build.as_role("staff"), pytest.raises(requests.IllegalMove):
        erasure.leave_to_staff(row, State.ASSESS, dorte, ASKED_AT)


def test_right_of_an_older_backup_is_closed_all_the_same(
    asked: Erasure, gone: User, dorte: User
) -> None:
    """As the repetition after a restore begins it, whatever state the right had in the backup."""
    decide(asked, dorte, State.ASSESS, State.PAUSED)
    subject.carry(asked, gone)
    run.start(asked, later())
    assert run.carry_out(asked.pk, later())
    assert RequestedRight.objects.get(erasure=asked).state == State.PARTLY_DONE
