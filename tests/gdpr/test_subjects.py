# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every path of the inventory, for two people: each finds their own rows, none the other's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from accounts import emails
from accounts.ids import uuid7_time
from accounts.models import (
    AuditActor,
    AuditEvent,
    Invitation,
    Membership,
    Organisation,
    OutgoingMail,
    Role,
    Session,
    User,
)
from gdpr import inventory, subjects
from gdpr.inventory.accounts import USER
from gdpr.models import Request, RequestedRight, Step
from gdpr.registry import Entry, SubjectPath, Whose
from gdpr.subjects import Subject
from relay.models import Attempt, Content, Delivery, Message, QueuedDelivery, Route, SendingDomain
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def everything_about(user: User, organisation: Organisation) -> None:
    """One row in every table that holds something of a person."""
    build.everything_of(organisation, user)
    with build.as_owner():
        _of_account(user, organisation)
        _of_staff(user)
        _of_requests(user)


def _of_account(user: User, organisation: Organisation) -> None:
    Session.objects.create(
        session_key=str(user.id), session_data="", expire_date=build.NOW, user_id=user.id
    )
    Invitation.objects.create(
        organisation=organisation,
        email=user.email,
        role=Role.VIEWER,
        token_hash=user.id.bytes,
        invited_by=user,
        created_at=build.NOW,
        expires_at=build.NOW,
    )
    Membership.objects.filter(organisation=organisation).update(approved_by=user)
    actor = AuditActor.objects.get(user=user)
    AuditEvent.objects.filter(organisation=organisation).update(actor_id=actor.id)
    emails.password_changed(user)


def _of_staff(user: User) -> None:
    user.groups.add(Group.objects.get_or_create(name="support")[0])
    permission = Permission.objects.first()
    assert permission
    user.user_permissions.add(permission)
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr="x",
        action_flag=CHANGE,
    )


def _of_requests(user: User) -> None:
    values = {"channel": "portal", "language": "da", "received_at": build.NOW}
    request = Request.objects.create(person=user, **values)
    day = build.NOW.date()
    right = RequestedRight.objects.create(
        request=request, right="access", promised_on=day, due_on=day
    )
    actor = AuditActor.objects.get(user=user)
    Step.objects.create(right=right, kind="received", by="person", actor_id=actor.id, at=build.NOW)


PEOPLE = [
    (entry, path)
    for entry in inventory.entries_about(Whose.PERSON)
    for path in entry.for_subject(Whose.PERSON)
]


def named(case: tuple[Entry, SubjectPath]) -> str:
    return f"{case[0].model}-{case[1].lookup}"


# Erasures are filled by acts of their own, and events about a person by acts of others: every
# path is tried with both in tests/gdpr/erasing.
FILLED_ELSEWHERE = ("gdpr.Erasure", "gdpr.Ledger")
CASES = [
    (entry, path)
    for entry, path in PEOPLE
    if not entry.model.startswith(FILLED_ELSEWHERE) and not (path.through and path.through.here)
]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_path_finds_the_person_and_nobody_else(
    case: tuple[Entry, SubjectPath],
    anna: User,
    organisation: Organisation,
    carl: User,
    other_organisation: Organisation,
) -> None:
    entry, path = case
    everything_about(anna, organisation)
    everything_about(carl, other_organisation)
    with build.as_owner():
        ours = set(_keys(subjects.rows_by(entry, subjects.person(anna), path)))
        theirs = set(_keys(subjects.rows_by(entry, subjects.person(carl), path)))
    assert ours
    assert theirs
    assert not ours & theirs


def _keys(rows: Any) -> list[Any]:
    return list(rows.values_list("pk", flat=True))


def correspondent(address: str) -> Subject:
    return Subject(whose=Whose.CORRESPONDENT, address=address)


class TestCorrespondents:
    @pytest.fixture(autouse=True)
    def _mail(self, organisation: Organisation, other_organisation: Organisation) -> None:
        with build.as_owner():
            for house in (organisation, other_organisation):
                self._message(house, "shop@due.example", "erik@modtager.example")
                self._message(house, "other@due.example", "frida@modtager.example")

    def _message(self, house: Organisation, sender: str, recipient: str) -> None:
        message = build.message_id()
        at = uuid7_time(message)
        of: dict[str, Any] = {"organisation": house, "accepted_at": at}
        one = of | {"message_id": message, "position": 0}
        Message.objects.create(**of, id=message, sender=sender, size=1, recipients=1)
        Delivery.objects.create(**one, recipient=recipient)
        Attempt.objects.create(
            **one, number=1, started_at=at, finished_at=at, verdict="retry", remote_host="h"
        )
        queued = one | {"recipient": recipient.title(), "due_at": at, "expires_at": at}
        QueuedDelivery.objects.create(**queued)
        Content.objects.create(
            organisation=house,
            message_id=message,
            accepted_at=at,
            hour_key_id="x",
            wrapped_key=b"",
            ciphertext=b"",
            sender=sender.title(),
            open_deliveries=1,
        )

    @pytest.mark.parametrize(
        "model", ["Message", "Delivery", "Attempt", "Content", "QueuedDelivery"]
    )
    @pytest.mark.parametrize("address", ["erik@modtager.example", "shop@due.example"])
    def test_rows_of_an_address(self, model: str, address: str) -> None:
        entry = inventory.entry(f"relay.{model}")
        with build.as_owner():
            assert len(subjects.rows(entry, correspondent(address))) == 2
            stranger = correspondent("nobody@modtager.example")
            assert len(subjects.rows(entry, stranger)) == 0

    def test_user_name_of_a_route(self, organisation: Organisation) -> None:
        with build.as_owner():
            Route.objects.create(
                organisation=organisation,
                name="server",
                host="mail.example",
                username="Erik@modtager.example",
                created_at=build.NOW,
            )
            found = subjects.rows(
                inventory.entry("relay.Route"), correspondent("erik@modtager.example")
            )
            assert len(found) == 1

    def test_correspondent_is_no_person_with_an_account(self) -> None:
        stranger = correspondent("erik@modtager.example")
        with build.as_owner():
            assert not subjects.rows(USER, stranger).exists()


def test_domains_of_an_owner_are_found_and_of_a_developer_are_not(
    anna: User, bo: User, organisation: Organisation
) -> None:
    entry = inventory.entry("relay.SendingDomain")
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation, name="due.example", token="x", created_at=build.NOW
        )
        assert subjects.rows(entry, subjects.person(anna)).exists()
        assert not subjects.rows(entry, subjects.person(bo)).exists()


def test_mail_that_nobody_can_open_is_to_nobody(anna: User) -> None:
    with build.as_owner():
        OutgoingMail.objects.create(kind="x", sealed=b"x", created_at=build.NOW, due_at=build.NOW)
    assert emails.mails_to(anna.email) == []


def test_repr_of_a_subject_holds_no_address(anna: User) -> None:
    assert "@" not in repr(subjects.person(anna))
