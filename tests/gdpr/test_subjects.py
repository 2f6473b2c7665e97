# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose a row is: of correspondents and owners. tests/gdpr/erasing tries each path to a person."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import emails
from accounts.ids import uuid7_time
from accounts.models import Organisation, OutgoingMail, User
from gdpr import inventory, subjects
from gdpr.inventory.accounts import USER
from gdpr.registry import Whose
from gdpr.subjects import Subject
from relay.models import Attempt, Content, Delivery, Message, QueuedDelivery, Route, SendingDomain
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


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
