# SPDX-License-Identifier: AGPL-3.0-or-later
"""The policy of the listener for mail that comes back, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from accounts.ids import uuid7
from relay import returnpaths
from relay.bouncing import FOR_POSTMASTER, Bouncing, events
from relay.feedback import Event, Taken
from relay.reading.reader import Unreadable
from relay.returnpaths import ReturnPath
from relay.smtp import answers
from relay.smtp.answers import Answer
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.headers import Header
from relay.smtp.policy import Client, Submitted
from relay.smtp.reports import Action, Reported
from tests.build import NOW

T = TypeVar("T")
PATH = ReturnPath(uuid7(NOW), 0)
SEVERAL = ReturnPath(PATH.message_id, None)
ERIK, BO = "erik@modtager.example", "bo@modtager.example"


def reported(*addresses: str, action: Action = Action.FAILED, **said: Any) -> Reported:
    facts: dict[str, Any] = {"code": 550, "enhanced": "5.1.1", "text": "no such user"}
    return Reported(action=action, addresses=addresses, **facts | said)


@dataclass
class Desk:
    """Reads what it is given here, and writes down what it is told."""

    found: tuple[Reported, ...] = ()
    is_unreadable: bool = False
    taken: Taken = Taken.TAKEN
    read_with: list[tuple[bytes, bool]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    async def read(self, content: bytes, *, has_sender: bool) -> tuple[Reported, ...]:
        self.read_with.append((content, has_sender))
        if self.is_unreadable:
            raise Unreadable
        return self.found

    async def take(self, event: Event) -> Taken:
        self.events.append(event)
        return self.taken

    async def alert(self, kind: str) -> None:
        self.alerts.append(kind)

    def policy(self) -> Bouncing:
        return Bouncing(
            reader=self,
            feedback=self,
            hosts=("retur.brevdue.example", "mail.brevdue.example", ""),
            now=lambda: NOW,
            alert=self.alert,
        )


def run(act: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(act)


def refusal(address: str) -> Answer | None:
    return run(Desk().policy().rcpt(Client("192.0.2.7"), Recipient(address)))


def accept(desk: Desk, path: ReturnPath = PATH, sender: str = "") -> Answer:
    return accept_at(desk, f"{returnpaths.written(path)}@retur.brevdue.example", sender)


def accept_at(desk: Desk, address: str, sender: str = "") -> Answer:
    envelope = Envelope(sender=sender, recipients=(Recipient(address),))
    message = Submitted(envelope, b"content", Header())
    return run(desk.policy().accept(Client("192.0.2.7"), message))


def test_return_path_is_good_at_whichever_host_leads_here() -> None:
    token = returnpaths.written(PATH)
    assert refusal(f"{token}@retur.brevdue.example") is None
    assert refusal(f"{token.upper()}@bounce.kunde.example") is None


@pytest.mark.behaviour(42)
def test_any_other_address_is_refused_in_the_same_words() -> None:
    tampered = returnpaths.written(PATH)[:-1] + "7"
    for local in ("post", "b", "b" + "a" * 47, tampered):
        assert refusal(f"{local}@retur.brevdue.example") is answers.NO_RETURN_PATH


def test_path_that_has_grown_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returnpaths, "LOG_DAYS", 0)
    address = f"{returnpaths.written(PATH)}@retur.brevdue.example"
    assert refusal(address) is answers.NO_RETURN_PATH
    assert accept(Desk()) is answers.NO_RETURN_PATH


@pytest.mark.parametrize("host", ["retur.brevdue.example", "mail.brevdue.example"])
def test_postmaster_is_taken_and_told_and_never_read(host: str) -> None:
    desk = Desk()
    assert refusal(f"Postmaster@{host}") is None
    assert accept_at(desk, f"Postmaster@{host}") is answers.REPORT_TAKEN
    assert desk.alerts == [FOR_POSTMASTER]
    assert not desk.read_with
    assert not desk.events


def test_operator_is_told_once_however_much_postmaster_gets() -> None:
    desk = Desk()
    policy, envelope = desk.policy(), Envelope("", (Recipient("postmaster@mail.brevdue.example"),))

    async def flood() -> None:
        message = Submitted(envelope, b"content", Header())
        await asyncio.gather(*(policy.accept(Client("192.0.2.7"), message) for _ in range(50)))

    run(flood())
    assert desk.alerts == [FOR_POSTMASTER]


def test_postmaster_of_somebody_else_is_refused() -> None:
    assert refusal("postmaster@andetsteds.example") is answers.NO_RETURN_PATH


def test_report_is_passed_on_with_its_judgement() -> None:
    desk = Desk(found=(reported(ERIK),))
    assert accept(desk) is answers.REPORT_TAKEN
    assert desk.read_with == [(b"content", False)]
    assert desk.events == [
        Event(
            message_id=PATH.message_id,
            position=0,
            source="bounce",
            kind="failed",
            addresses=(ERIK,),
            scope="recipient",
            is_hard=True,
            code=550,
            enhanced="5.1.1",
            text="no such user",
        )
    ]


def test_sender_in_the_envelope_is_told_to_who_reads() -> None:
    desk = Desk()
    accept(desk, sender=ERIK)
    assert desk.read_with == [(b"content", True)]


def test_what_reports_nothing_is_taken_and_forgotten() -> None:
    desk = Desk()
    assert accept(desk) is answers.REPORT_TAKEN
    assert desk.events == []


@pytest.mark.behaviour(45)
def test_report_that_came_too_early_is_to_come_again() -> None:
    assert accept(Desk(found=(reported(ERIK),), taken=Taken.LATER)) is answers.REPORT_LATER
    assert accept(Desk(found=(reported(ERIK),), taken=Taken.UNKNOWN)) is answers.REPORT_TAKEN


def test_report_that_cannot_be_read_now_is_to_come_again() -> None:
    assert accept(Desk(is_unreadable=True)) is answers.REPORT_LATER


def test_each_of_several_recipients_is_told_for_itself() -> None:
    found = (reported(ERIK), reported(BO, code=450, enhanced="4.2.2", text="full"))
    told = events(SEVERAL, found)
    assert [(one.position, one.addresses, one.is_hard) for one in told] == [
        (None, (ERIK,), True),
        (None, (BO,), False),
    ]


def test_all_of_a_report_is_about_the_recipient_that_its_path_names() -> None:
    found = (
        reported(ERIK, action=Action.DELIVERED),
        reported(BO),
        reported("ida@modtager.example", enhanced="5.7.1", text="spam"),
    )
    (told,) = events(PATH, found)
    assert (told.kind, told.position, told.is_hard) == ("failed", 0, False)
    assert told.addresses == (BO, "ida@modtager.example")


@pytest.mark.parametrize(
    ("action", "kind"), [(Action.DELAYED, "delayed"), (Action.DELIVERED, "delivered")]
)
def test_what_is_no_failure_is_told_as_it_is(action: Action, kind: str) -> None:
    (told,) = events(PATH, (reported(ERIK, action=action),))
    assert (told.kind, told.is_hard) == (kind, False)


def test_nobody_signs_in_here() -> None:
    policy = Desk().policy()
    client = Client("192.0.2.7")
    assert run(policy.connect(client)) is None
    assert run(policy.mail(client, None)) is None
    assert run(policy.authenticate(client, "anna", "x")) is answers.NOT_OFFERED
    one, other = (run(policy.recognise(Client(a), None)) for a in ("192.0.2.7", "198.51.100.1"))
    assert one.owner != other.owner
