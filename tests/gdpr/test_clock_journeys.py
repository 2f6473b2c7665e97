# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each right by each channel, with the clock moved through due, paused, extended and overdue.

What is expected of the dates is counted by hand: received on 20 November 2026, a Friday.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import pytest

from accounts.models import Alert, User
from gdpr import claims, clocks, escalation, intake, promises, requests
from gdpr.models import Request, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.desk import letter

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = RequestedRight.State
Channel = Request.Channel
DAY = timedelta(days=1)
RECEIVED = build.NOW
# Letters are opened, and addresses proven, some days after they came.
LATER = {Channel.PORTAL: 0 * DAY, Channel.FORM: 1 * DAY, Channel.STAFF: 4 * DAY}
EACH = list(product(Channel, Right))


def opened(channel: Channel, right: Right, person: User, staff: User) -> RequestedRight:
    """A proven request for this right, and one beside it for the withdrawal of a consent."""
    other = Right.OBJECTION if right == Right.CONSENT else Right.CONSENT
    rights, now = {right: "", other: ""}, RECEIVED + LATER[channel]
    if channel == Channel.PORTAL:
        made = requests.open_by_person(person, rights, now)
    elif channel == Channel.FORM:
        made = intake.open_proven(
            person, rights, now, channel=channel, received_at=RECEIVED, by=requests.SERVICE
        )
    else:
        made = intake.enter(letter(*rights), staff, now)
        claims.prove_by_evidence(made, "In person.", staff, now)
    row = RequestedRight.objects.select_related("request").get(request=made, right=right)
    if row.state == State.ACT:
        requests.move(row, State.ASSESS, requests.SERVICE, now)
    return row


@pytest.fixture(params=EACH, ids=lambda each: f"{each[0]}-{each[1]}")
def row(request: pytest.FixtureRequest, anna: User, dorte: User) -> RequestedRight:
    channel, right = request.param
    return opened(channel, right, anna, dorte)


def beside(row: RequestedRight) -> RequestedRight:
    return row.request.rights.exclude(pk=row.pk).get()


def kinds() -> list[str]:
    return list(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_due_counts_from_the_receipt(row: RequestedRight) -> None:
    assert row.request.received_at == RECEIVED
    assert (row.promised_on, row.due_on) == (date(2026, 12, 20), date(2026, 12, 21))
    assert clocks.read(row, RECEIVED + 30 * DAY).days_left == 0


def test_pause_of_one_moves_one(row: RequestedRight) -> None:
    asked_at = RECEIVED + 5 * DAY
    requests.move(row, State.PAUSED, requests.SERVICE, asked_at, reason="Which data?")
    assert requests.stands_still(row, asked_at + DAY)
    assert escalation.escalate(RECEIVED + 20 * DAY) == 1, "the one beside it goes on"
    requests.move(row, State.ASSESS, requests.SERVICE, asked_at + 12 * DAY)
    assert (row.promised_on, row.due_on) == (date(2027, 1, 1), date(2027, 1, 4))
    assert beside(row).promised_on == date(2026, 12, 20)


def test_question_after_the_fifth_day_stops_nothing(row: RequestedRight) -> None:
    asked_at = RECEIVED + 6 * DAY
    requests.move(row, State.PAUSED, requests.SERVICE, asked_at, reason="Which data?")
    assert not requests.stands_still(row, asked_at + DAY)
    requests.move(row, State.ASSESS, requests.SERVICE, asked_at + 9 * DAY)
    assert row.promised_on == date(2026, 12, 20)


def test_extension_of_one_counts_from_the_receipt(row: RequestedRight) -> None:
    last_day = RECEIVED + 31 * DAY
    requests.extend(row, requests.SERVICE, last_day, reason="Many records.")
    assert (row.promised_on, row.due_on) == (date(2027, 2, 20), date(2027, 2, 22))
    assert beside(row).due_on == date(2026, 12, 21)
    with pytest.raises(requests.TooLate):
        requests.extend(beside(row), requests.SERVICE, last_day + DAY, reason="Late.")


def test_overdue_is_told_and_breaks_the_promise(row: RequestedRight, clock: Clock) -> None:
    requests.move(beside(row), State.WITHDRAWN, requests.SERVICE, RECEIVED)
    stages = []
    for days in (14, 15, 24, 27, 30, 31):
        escalation.escalate(RECEIVED + days * DAY)
        stages.append(kinds())
    assert stages == [
        [],
        ["request-clock-half"],
        ["request-clock-most"],
        ["request-clock-last-days"],
        ["request-clock-last-days"],
        ["request-clock-overdue"],
    ]
    clock.now = RECEIVED + 30 * DAY
    assert promises.requests_are_answered_in_time().holds
    clock.now = RECEIVED + 31 * DAY
    assert not promises.requests_are_answered_in_time().holds


def test_each_ends_by_itself(row: RequestedRight) -> None:
    requests.move(row, State.REFUSED, requests.SERVICE, RECEIVED + DAY, reason="Because.")
    assert beside(row).is_open
    assert Request.objects.get().closed_at is None
    requests.move(beside(row), State.WITHDRAWN, requests.SERVICE, RECEIVED + 2 * DAY)
    assert Request.objects.get().closed_at == RECEIVED + 2 * DAY


def test_receipt_long_ago_is_late_from_the_start(anna: User, dorte: User) -> None:
    now = RECEIVED + 40 * DAY
    intake.enter(letter(Right.ACCESS), dorte, now)
    assert escalation.escalate(now) == 1
    assert kinds() == ["request-clock-overdue"]


def test_unproven_question_of_identity_stops_the_clock(anna: User, dorte: User) -> None:
    made = intake.enter(letter(Right.ACCESS), dorte, RECEIVED + DAY)
    claims.ask_by_link(made, dorte, RECEIVED + DAY)
    row = made.rights.get()
    claims.prove_by_evidence(made, "She came by.", dorte, RECEIVED + 6 * DAY)
    row.refresh_from_db()
    assert row.promised_on == date(2026, 12, 25)


def test_board_counts_where_the_clocks_stand(anna: User, dorte: User) -> None:
    for channel in Channel:
        opened(channel, Right.OBJECTION, anna, dorte)
    intake.enter(letter(Right.OBJECTION), dorte, RECEIVED + 4 * DAY)
    lines = {(line.right, line.channel): line for line in clocks.board(RECEIVED + 28 * DAY)}
    line = lines[str(Right.OBJECTION.label), str(Channel.STAFF.label)]
    assert (line.open, line.unproven, line.last_days, line.late) == (2, 1, 2, 0)
    assert line.next_on == date(2026, 12, 20)
    # The withdrawal beside them is asked for once at a time: the form left it out.
    assert sum(line.open for line in lines.values()) == 6
