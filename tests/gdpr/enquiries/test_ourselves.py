# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who has an account can ask the service itself by the form; the mails about it tell nobody so."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Organisation, User
from gdpr.models import Request, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.enquiries.desk import (
    ERIK,
    EVERYONE,
    ask,
    bare,
    forwarded,
    has_mailed,
    mails,
    prove,
    tokens,
    work,
)

pytestmark = pytest.mark.django_db

OURSELVES = {"whom": "ourselves", "sender": ""}


def asked_and_answered(clock: Clock, address: str, **changed: Any) -> None:
    ask(address=address, **changed)
    work(clock.now)
    prove(tokens(address)[-1])
    clock.forward(hours=1)
    work(clock.now)


def opened() -> list[Request]:
    with build.as_owner():
        return list(Request.objects.all())


def test_request_is_opened_as_received_by_the_form(clock: Clock, anna: User) -> None:
    received_at = clock.now
    said = {"rights": ["access", "objection"], "words": "Alt."}
    asked_and_answered(clock, "ANNA@due.example", **OURSELVES, **said)
    (made,) = opened()
    assert (made.person_id, made.channel) == (anna.id, Request.Channel.FORM)
    assert made.received_at == received_at
    assert made.language == "en"
    with build.as_owner():
        rights = dict(RequestedRight.objects.values_list("right", "details"))
    assert rights == {Right.ACCESS: "Alt.", Right.OBJECTION: "Alt."}


def test_same_mails_with_an_account_and_without(clock: Clock, anna: User) -> None:
    for address in ("anna@due.example", ERIK):
        asked_and_answered(clock, address, **OURSELVES)
    letters = [[mail for mail in mails("enquiry") if mail["to"] == to] for to in (anna.email, ERIK)]
    assert [len(each) for each in letters] == [2, 2]
    for number in (0, 1):
        assert len({bare(each[number]["text"]) for each in letters}) == 1
    assert len(opened()) == 1


def test_erasure_of_an_account_is_not_asked_for_by_asking_senders(clock: Clock, anna: User) -> None:
    asked_and_answered(clock, anna.email, rights=["erasure"], **EVERYONE)
    assert opened() == []


def test_customers_are_not_told_of_what_the_service_is_asked(
    clock: Clock, anna: User, organisation: Organisation
) -> None:
    has_mailed(organisation, anna.email)
    asked_and_answered(clock, anna.email, **OURSELVES)
    assert forwarded() == []


def test_what_is_under_way_is_not_opened_twice(clock: Clock, anna: User) -> None:
    for _ in range(2):
        asked_and_answered(clock, anna.email, **OURSELVES)
    assert len(opened()) == 1
    assert len([mail for mail in mails("enquiry_answered") if mail["to"] == anna.email]) == 2


def test_account_that_was_ended_opens_nothing(clock: Clock, anna: User) -> None:
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(is_active=False)
    asked_and_answered(clock, anna.email, **OURSELVES)
    assert opened() == []
