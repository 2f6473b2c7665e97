# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting mail that is cancelled: marked by a person, ended by a shift, told to nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts import limits
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.tenancy import organisation_context
from config.stack.state import free_port
from relay import cancelling, scopes, tasks
from relay.scopes import Done, Scope
from tests import build
from tests.relay import mail, pages
from tests.relay.stage import (
    WAITING,
    Stage,
    becomes,
    carry,
    route,
    to_house,
    until,
)
from tests.testbed.smtp import FarEnd, Script, Slow

pytestmark = pytest.mark.django_db(transaction=True)

ENDED = "SELECT recipient, state, final_reason FROM relay_delivery ORDER BY recipient"
MARKED = "SELECT recipient FROM relay_queueddelivery WHERE cancelled_at IS NOT NULL ORDER BY 1"


@pytest.fixture
def builder(house: Organisation, anna: User) -> Any:
    build.member(house, anna, Role.OWNER)
    return pages.membership(anna)


def cancel(builder: Any, **scope: Any) -> Done:
    with organisation_context(builder.organisation_id, person_id=builder.user_id):
        return cancelling.cancel(Scope(builder.organisation_id, **scope), by=builder)


@pytest.mark.behaviour(26)
@pytest.mark.behaviour(27)
def test_cancelled_mail_ends_without_a_word_and_its_content_goes(
    house: Organisation, builder: Any
) -> None:
    message = mail.message(house.id, "erik@modtager.example", "ida@modtager.example")
    mail.run(mail.keep(message))
    assert cancel(builder, message_id=message.id) == Done(2)
    assert carry(Script(), prepare=to_house(house), ready=WAITING).connections == 0
    assert mail.rows(ENDED) == [
        ("erik@modtager.example", "cancelled", "by_person"),
        ("ida@modtager.example", "cancelled", "by_person"),
    ]
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert mail.value("SELECT content_destroyed_at IS NOT NULL FROM relay_message") is True
    assert mail.value("SELECT count(*) FROM relay_attempt") == 0
    with build.as_owner():
        acts = list(AuditEvent.objects.values_list("action", flat=True))
    assert acts == ["organisation.mail-cancelled"]


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(
    ("scope", "marked"),
    [
        ({"domain": "due.example"}, ["a@x.example"]),
        ({"recipient_domain": "x.example"}, ["a@x.example", "b@X.example"]),
        ({"recipient_domain": "y.example"}, []),
        ({}, ["a@x.example", "b@X.example"]),
    ],
)
def test_a_domains_mail_is_cancelled_or_all(
    house: Organisation, builder: Any, scope: Any, marked: list[str]
) -> None:
    other = mail.organisation("Andet Hus A/S")
    mail.run(
        mail.keep(
            mail.message(house.id, "a@x.example", sender="Post@Due.example"),
            mail.message(house.id, "b@X.example", sender="post@gren.example"),
            mail.message(other.id, "c@x.example"),
        )
    )
    assert cancel(builder, **scope) == Done(len(marked))
    assert [name for (name,) in mail.rows(MARKED)] == marked
    assert mail.value("SELECT count(*) FROM relay_queueddelivery WHERE lane = 2") == len(marked)
    assert cancel(builder, **scope) == Done(0)


def test_large_amounts_are_cancelled_in_batches_and_requests(
    house: Organisation, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scopes, "PIECE", 2)
    mail.run(mail.keep(*(mail.message(house.id) for _ in range(5))))
    # A request keeps its rows locked to its end, which whoever has one of them in hand waits for.
    assert cancel(builder) == Done(2, is_all=False)
    assert len(mail.rows(MARKED)) == 2
    with build.as_role("duty"):
        scope_id = scopes.sealed(Scope(house.id))
        tasks.cancel(organisation_id=str(house.id), scope_id=scope_id)
    assert len(mail.rows(MARKED)) == 5


def test_cancelling_is_limited(
    house: Organisation, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.limits._wait", lambda *args: 1)
    mail.run(mail.keep(mail.message(house.id)))
    with pytest.raises(limits.TooMany):
        cancel(builder)
    assert mail.rows(MARKED) == []


CANCEL = "UPDATE relay_queueddelivery SET cancelled_at = now(), due_at = now(), lane = 2"
HALF = f"{CANCEL} WHERE position = 1"


def while_sending(house: Organisation, script: Script, change: str) -> FarEnd:
    """Have something changed while a message is in hand, and wait until all is final."""
    port = free_port()
    route(house, port=port)

    async def scenario() -> FarEnd:
        await mail.keep(mail.message(house.id, "a@x.example", "b@x.example"))
        async with FarEnd(script, port=port) as far_end, await mail.session() as other:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await until(lambda: far_end.connections)
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE fence = 1", 2)
            await asyncio.sleep(0.2)
            await other.execute(change)
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return far_end

    return mail.run(scenario())


@pytest.mark.behaviour(26)
def test_mail_in_hand_is_cancelled_before_its_dot(house: Organisation) -> None:
    far_end = while_sending(house, Script(data=Slow(0.6, "354 go")), CANCEL)
    assert far_end.ledger == []
    assert {row[1:] for row in mail.rows(ENDED)} == {("cancelled", "by_person")}
    assert mail.value("SELECT count(*) FROM relay_content") == 0


@pytest.mark.behaviour(24)
@pytest.mark.behaviour(26)
def test_one_cancelled_recipient_does_not_keep_the_others_back(house: Organisation) -> None:
    far_end = while_sending(house, Script(data=Slow(0.6, "354 go")), HALF)
    assert [one.recipients for one in far_end.ledger] == [["a@x.example"]]
    assert mail.rows(ENDED) == [
        ("a@x.example", "delivered", ""),
        ("b@x.example", "cancelled", "by_person"),
    ]
    assert mail.value("SELECT count(*) FROM relay_delivery WHERE possible_duplicate") == 0


def test_after_the_dot_it_is_too_late(house: Organisation) -> None:
    far_end = while_sending(house, Script(dot=Slow(0.6, "250 ok")), CANCEL)
    assert len(far_end.ledger) == 1
    assert {row[1:] for row in mail.rows(ENDED)} == {("delivered", "")}


def test_what_is_not_taken_after_a_late_cancellation_is_not_tried_again(
    house: Organisation,
) -> None:
    far_end = while_sending(house, Script(dot=Slow(0.6, "451 4.3.0 later")), CANCEL)
    assert far_end.connections == 1
    assert {row[1:] for row in mail.rows(ENDED)} == {("cancelled", "by_person")}
    assert mail.value("SELECT count(*) FROM relay_attempt") == 2
