# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from relay import outcomes
from relay.discretion import Restricted
from relay.outcomes import Reason, State
from relay.queue import Leased, Settlement, Tried, Work
from relay.smtp.dsn import Action
from relay.smtp.envelope import Recipient
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.waited import DANISH, ENGLISH

ACCEPTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOURS_72 = timedelta(hours=72)


def leased(**fields: Any) -> Leased:
    values: dict[str, Any] = {
        "id": 1, "fence": 1, "position": 0, "recipient": Recipient("erik@modtager.example"),
        "attempts": 0, "expires_at": ACCEPTED + HOURS_72, "reason": "new",
        "possible_duplicate": False, "delayed_notice_at": None,
    }  # fmt: skip
    return Leased(**values | fields)


def work(lease: Leased, sender: str = "post@due.example") -> Work:
    return Work(
        message_id=uuid4(), accepted_at=ACCEPTED, organisation_id=uuid4(), sender=sender,
        domain="due.example", body="7BIT", smtputf8=False, ret="", envid="", hour_key_id="k",
        wrapped_key=b"", ciphertext=b"", deliveries=(lease,), is_sandbox=False,
    )  # fmt: skip


def judged(lease: Leased, after: timedelta, **outcome: Any) -> Settlement:
    at = ACCEPTED + after
    values: dict[str, Any] = {"verdict": Verdict.RETRY, "scope": Scope.INFRASTRUCTURE}
    tried = Tried(started_at=at, finished_at=at, outcome=Outcome(**values | outcome))
    return outcomes.judged(work(lease), lease, tried, lambda: 0.5)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ({"code": 450}, Reason.DEFERRED),
        ({"code": 535, "scope": Scope.ROUTE}, Reason.SIGN_IN_REFUSED),
        ({"code": 530, "text": "Must issue a STARTTLS command first"}, Reason.TLS),
        ({"code": 530, "text": "authentication required"}, Reason.DEFERRED),
        ({"code": 530, "text": "no TLS here", "tls_version": "TLSv1.3"}, Reason.DEFERRED),
        ({"scope": Scope.ROUTE, "enhanced": "4.7.0"}, Reason.TLS),
        ({"enhanced": "4.7.5"}, Reason.TLS),
        ({"enhanced": "4.4.1"}, Reason.UNREACHABLE),
        ({"after_dot": True}, Reason.UNCERTAIN),
    ],
)
def test_waiting_mail_says_why(outcome: dict[str, Any], reason: Reason) -> None:
    assert judged(leased(), timedelta(seconds=1), **outcome).reason == reason


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(0, 1), (1, 5), (2, 15), (3, 30), (4, 60), (5, 120), (6, 240), (9, 240)],
)
def test_tries_follow_the_schedule(attempts: int, minutes: int) -> None:
    settlement = judged(leased(attempts=attempts), timedelta(hours=5))
    assert settlement.due_at == settlement.at + timedelta(minutes=minutes)


def test_last_try_falls_on_the_end_of_the_lifetime() -> None:
    assert judged(leased(attempts=9), timedelta(hours=70)).due_at == ACCEPTED + HOURS_72
    assert judged(leased(attempts=9), HOURS_72).state == State.EXPIRED


@pytest.mark.parametrize(
    ("after", "attempts", "told"),
    [
        (timedelta(hours=3, minutes=59), 6, False),
        (timedelta(hours=4), 6, True),
        (timedelta(hours=8), 7, True),
    ],
)
def test_try_after_the_mark_tells_of_the_delay(after: timedelta, attempts: int, told: bool) -> None:
    lease = leased(attempts=attempts)
    settlement = judged(lease, after, code=450)
    telling = outcomes.telling(work(lease), [settlement])
    assert (telling.action is Action.DELAYED) is told
    assert (telling.settlements[0].delayed_notice_at is not None) is told


def test_delay_is_told_once() -> None:
    lease = leased(attempts=7, delayed_notice_at=ACCEPTED)
    settlement = judged(lease, timedelta(hours=8), code=450)
    assert outcomes.telling(work(lease), [settlement]).action is None


def test_failure_comes_before_delay_in_one_notice() -> None:
    late, lost = leased(attempts=7), leased(attempts=7, id=2, position=1)
    delayed = judged(late, timedelta(hours=8), code=450)
    failed = judged(lost, timedelta(hours=8), verdict=Verdict.BOUNCED, code=550)
    telling = outcomes.telling(work(late), [delayed, failed])
    assert (telling.action, telling.about) == (Action.FAILED, (failed,))
    assert telling.settlements[0].delayed_notice_at is None


@pytest.mark.parametrize(
    ("notify", "told"), [("", True), ("FAILURE", True), ("NEVER", False), ("DELAY", False)]
)
def test_failure_is_told_to_who_asked(notify: str, told: bool) -> None:
    lease = replace(leased(), recipient=Recipient("erik@modtager.example", notify))
    settlement = judged(lease, timedelta(0), verdict=Verdict.BOUNCED, code=550)
    assert (outcomes.telling(work(lease), [settlement]).action is Action.FAILED) is told


@pytest.mark.behaviour(10)
@pytest.mark.parametrize(
    ("notify", "took_dsn", "told"),
    [
        ("", False, False),
        ("FAILURE,DELAY", False, False),
        ("NEVER", False, False),
        ("SUCCESS", False, True),
        ("DELAY,SUCCESS", False, True),
        ("SUCCESS", True, False),
    ],
)
def test_relay_is_told_to_who_asked_unless_the_next_server_tells(
    notify: str, took_dsn: bool, told: bool
) -> None:
    lease = replace(leased(), recipient=Recipient("erik@modtager.example", notify))
    settlement = judged(lease, timedelta(0), verdict=Verdict.DELIVERED, code=250, took_dsn=took_dsn)
    telling = outcomes.telling(work(lease), [settlement])
    assert telling.action is (Action.RELAYED if told else None)
    assert telling.about == ((settlement,) if told else ())


def test_receipt_that_must_wait_is_dropped_and_its_mail_stays_delivered() -> None:
    glad = replace(leased(), recipient=Recipient("erik@modtager.example", "SUCCESS"))
    lost = leased(id=2, position=1)
    done = judged(glad, timedelta(0), verdict=Verdict.DELIVERED, code=250)
    failed = judged(lost, timedelta(0), verdict=Verdict.BOUNCED, code=550)
    telling = outcomes.telling(work(glad), [done, failed])
    assert (telling.action, telling.about) == (Action.FAILED, (failed, done))
    owing = outcomes.owing(work(glad), telling, ACCEPTED + timedelta(minutes=1))
    assert [(one.state, one.reason) for one in owing] == [
        (State.DELIVERED, ""),
        (State.WAITING, Reason.UNTOLD),
    ]


@pytest.mark.behaviour(11)
def test_null_sender_is_never_told() -> None:
    lease = leased()
    settlement = judged(lease, timedelta(0), verdict=Verdict.BOUNCED, code=550)
    assert outcomes.telling(work(lease, sender=""), [settlement]).action is None


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({}, "It was not tried before its time was up."),
        ({"attempts": 3}, "It could not be tried again before its time was up."),
        ({"possible_duplicate": True}, "It could not be tried again before its time was up."),
    ],
)
def test_notice_on_mail_that_was_held_to_its_end_says_what_happened(
    of: dict[str, Any], said: str
) -> None:
    lease = leased(**of)
    mail, ended = work(lease), ACCEPTED + HOURS_72
    telling = outcomes.telling(mail, [outcomes.expired(lease, ended)])
    nobody = Restricted(mail.organisation_id)
    made = outcomes.notice(mail, telling, b"", "relay.example", ended, restricted=nobody)
    text = made.content.decode()
    assert said in text
    assert "Last-Attempt-Date" not in text


def test_each_reason_has_its_words_in_notices() -> None:
    named = set(Reason.values) - {Reason.NEW}
    assert named == DANISH.reasons.keys() == ENGLISH.reasons.keys()
