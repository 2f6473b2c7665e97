# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that people hold back and let go, and mail made due, in large amounts by tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import AuditEvent, Organisation, User
from accounts.tenancy import organisation_context
from relay import holding, retrying, scopes, tasks
from relay.models import Hold, QueuedDelivery
from relay.scopes import Done, Scope
from tests import build
from tests.relay import mail, pages
from tests.relay.test_log import NOW, message

pytestmark = pytest.mark.django_db


def act(anna: User, what: Any, **scope: Any) -> Any:
    by = pages.membership(anna)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        return what(Scope(by.organisation_id, **scope), by=by)


def go_on(scope: Scope) -> None:
    sealed = scopes.sealed(scope)
    assert "example" not in sealed
    tasks.retry(organisation_id=str(scope.organisation_id), scope_id=sealed)


def settle() -> None:
    with build.as_role("duty"):
        tasks.settle_holds()


def recipients(which: str) -> list[str]:
    rows = mail.rows(f"SELECT recipient FROM relay_queueddelivery WHERE {which} ORDER BY 1")
    return [name for (name,) in rows]


def put_off() -> list[str]:
    """Whose mail is not due before its end."""
    return recipients("due_at = expires_at")


def due() -> list[str]:
    return recipients("due_at <= clock_timestamp()")


def make_due() -> None:
    mail.execute("UPDATE relay_queueddelivery SET due_at = now() - interval '1 minute'")


def acts() -> list[str]:
    with build.as_owner():
        events = AuditEvent.objects.filter(action__startswith="organisation.mail-")
        return list(events.order_by("id").values_list("action", flat=True))


@pytest.mark.behaviour(26)
def test_message_is_held_and_released(organisation: Organisation, anna: User) -> None:
    made = message(organisation, "a@x.example", "b@x.example")
    message(organisation, "c@x.example", ago=5)
    make_due()
    act(anna, holding.hold, message_id=made.id)
    act(anna, holding.hold, message_id=made.id)
    assert (put_off(), due()) == (["a@x.example", "b@x.example"], ["c@x.example"])
    assert act(anna, holding.release, message_id=made.id) is True
    assert due() == ["a@x.example", "b@x.example", "c@x.example"]
    assert mail.rows("SELECT * FROM relay_hold") == []
    assert act(anna, holding.release, message_id=made.id) is False
    assert acts() == [f"organisation.mail-{what}" for what in ("held", "held", "released")]


@pytest.mark.behaviour(26)
def test_mail_to_a_domain_is_put_off_as_it_comes_and_let_go(
    organisation: Organisation, other_organisation: Organisation, anna: User
) -> None:
    message(organisation, "a@x.example", "b@Y.example")
    message(other_organisation, "other@y.example")
    make_due()
    act(anna, holding.hold, recipient_domain="y.example")
    settle()
    assert put_off() == ["b@Y.example"]
    message(organisation, "c@y.example", ago=3)
    assert put_off() == ["b@Y.example"]
    make_due()
    settle()
    assert put_off() == ["b@Y.example", "c@y.example"]
    assert act(anna, holding.release, recipient_domain="y.example") is True
    settle()
    assert put_off() == []
    assert len(due()) == 4
    assert mail.rows("SELECT * FROM relay_hold") == []


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("scope", [{}, {"domain": "due.example"}])
def test_wide_holds_touch_no_row(
    organisation: Organisation, anna: User, scope: dict[str, str]
) -> None:
    message(organisation, "a@x.example")
    before = mail.rows("SELECT * FROM relay_queueddelivery")
    act(anna, holding.hold, **scope)
    settle()
    assert mail.rows("SELECT domain, message_id, reason, ends_at FROM relay_hold") == [
        (scope.get("domain"), None, "held", None)
    ]
    assert act(anna, holding.release, **scope) is True
    assert mail.rows("SELECT * FROM relay_queueddelivery") == before
    assert mail.rows("SELECT * FROM relay_hold") == []


def test_people_release_only_what_people_hold(organisation: Organisation, anna: User) -> None:
    with build.as_owner():
        Hold.objects.create(organisation=organisation, reason="over_quota", held_at=NOW)
    assert act(anna, holding.release) is False
    assert len(mail.rows("SELECT * FROM relay_hold")) == 1


def test_what_is_in_hand_or_ending_is_not_put_off(organisation: Organisation, anna: User) -> None:
    made = message(organisation, "a@x.example", "b@x.example", "c@x.example")
    with build.as_owner():
        QueuedDelivery.objects.filter(position=0).update(lease_owner=uuid4())
        QueuedDelivery.objects.filter(position=1).update(lane=QueuedDelivery.Lane.ENDING)
    act(anna, holding.hold, message_id=made.id)
    assert put_off() == ["c@x.example"]


def test_so_many_are_held_one_by_one(
    organisation: Organisation, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MESSAGES_MOST", 1)
    monkeypatch.setattr(holding, "DOMAINS_MOST", 1)
    for scope in ({"message_id": uuid4()}, {"recipient_domain": "x.example"}):
        act(anna, holding.hold, **scope)
    for scope in ({"message_id": uuid4()}, {"recipient_domain": "y.example"}, {"domain": "z"}):
        with pytest.raises(holding.TooManyHeld):
            act(anna, holding.hold, **scope)
    act(anna, holding.hold)
    assert len(mail.rows("SELECT * FROM relay_hold")) == 3


@pytest.mark.behaviour(26)
def test_large_amounts_are_made_due_piece_by_piece(
    organisation: Organisation, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scopes, "PIECE", 2)
    for number in range(7):
        message(organisation, f"r{number}@{'xy'[number % 2]}.example", ago=9 - number)
    assert act(anna, retrying.retry) == Done(2, is_all=False)
    assert len(due()) == 2
    assert act(anna, retrying.retry, recipient_domain="y.example") == Done(0, is_all=False)
    with build.as_role("duty"):
        go_on(Scope(organisation.id, recipient_domain="y.example"))
    assert due() == ["r0@x.example", "r1@y.example", "r3@y.example", "r5@y.example"]
    with build.as_role("duty"):
        go_on(Scope(organisation.id))
    assert len(due()) == 7


def test_retry_leaves_what_is_in_hand(organisation: Organisation, anna: User) -> None:
    made = message(organisation, "a@x.example", "b@x.example")
    message(organisation, "c@x.example", ago=2)
    with build.as_owner():
        QueuedDelivery.objects.filter(position=1).update(lease_owner=uuid4(), lease_expires_at=NOW)
    assert act(anna, retrying.retry, message_id=made.id) == Done(1)
    assert act(anna, retrying.retry) == Done(1)
    assert due() == ["a@x.example", "c@x.example"]


def test_what_waited_for_a_route_is_made_due_and_nothing_else(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scopes, "PIECE", 1)
    message(organisation, "a@x.example", "b@x.example", "c@x.example")
    with build.as_owner():
        QueuedDelivery.objects.exclude(position=1).update(reason="no_route")
    with organisation_context(organisation.id):
        done = retrying.send_what_waited(organisation.id, mail.now(), 1)
    assert done == Done(1, is_all=False)
    with build.as_role("duty"):
        tasks.send_what_waited(organisation_id=str(organisation.id))
    assert due() == ["a@x.example", "c@x.example"]


def test_hold_on_a_message_ends_with_it(organisation: Organisation, anna: User) -> None:
    kept, gone = (message(organisation, "a@x.example", ago=n) for n in range(2))
    for one in (kept, gone):
        act(anna, holding.hold, message_id=one.id)
    act(anna, holding.hold, domain="due.example")
    mail.execute("DELETE FROM relay_queueddelivery WHERE message_id = %s", gone.id)
    settle()
    assert mail.rows("SELECT message_id FROM relay_hold ORDER BY 1") == [(kept.id,), (None,)]


def before_the_first_is_put_off(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    """Have a person release mail while `settle` goes through the holds."""
    real, left = holding._put_off, [release]

    def put_off(rows: Any) -> None:
        if left:
            mail.execute(left.pop())
        real(rows)

    monkeypatch.setattr(holding, "_put_off", put_off)


@pytest.mark.behaviour(26)
def test_message_released_while_holds_are_settled_is_not_put_off_again(
    organisation: Organisation, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        act(anna, holding.hold, message_id=message(organisation, f"{name}@x.example").id)
    make_due()
    before_the_first_is_put_off(
        monkeypatch, "DELETE FROM relay_hold WHERE id = (SELECT max(id) FROM relay_hold)"
    )
    settle()
    assert (put_off(), due()) == (["first@x.example"], ["second@x.example"])


@pytest.mark.behaviour(26)
def test_domain_released_while_holds_are_settled_is_let_go_by_the_next(
    organisation: Organisation, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message(organisation, "a@x.example")
    make_due()
    act(anna, holding.hold, recipient_domain="x.example")
    before_the_first_is_put_off(monkeypatch, "UPDATE relay_hold SET ends_at = held_at")
    settle()
    assert put_off() == ["a@x.example"]
    settle()
    assert (put_off(), due()) == ([], ["a@x.example"])
    assert mail.rows("SELECT * FROM relay_hold") == []


def test_held_mail_ends_at_its_time(organisation: Organisation, anna: User) -> None:
    made = message(organisation, "a@x.example")
    act(anna, holding.hold, message_id=made.id)
    with build.as_role("duty"):
        holding.settle(NOW + timedelta(days=4))
    assert put_off() == ["a@x.example"]
