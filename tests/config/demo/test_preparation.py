# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demo's cast, made by the role of the worker."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accounts import vault
from accounts.models import Membership, Organisation, Role, User
from config.demo.preparation import prepare
from relay.models import Credential, Route, SendingDomain

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def test_prepare_keeps_what_it_told_the_last_time():
    first = prepare({}, NOW)
    assert prepare(first, NOW) == first
    assert User.objects.count() == 3
    assert Organisation.objects.count() == 2
    assert Credential.objects.count() == 2


def test_prepare_without_memory_makes_secrets_that_work_and_no_second_cast():
    prepare({}, NOW)
    again = prepare({}, NOW)
    owner, smtp = again["owner"], again["smtp"]

    assert User.objects.count() == 3
    assert User.objects.get(email=owner["email"]).check_password(owner["password"])
    hashed = Credential.objects.get(username=smtp["username"]).secret_hash
    assert bytes(hashed) == vault.keyed_hash("smtp-credential", smtp["password"].encode())


def test_prepare_mends_a_password_that_somebody_changed():
    first = prepare({}, NOW)
    user = User.objects.get(email=first["owner"]["email"])
    user.set_password("something else 11")
    user.save()

    again = prepare(first, NOW)

    user.refresh_from_db()
    assert user.check_password(again["owner"]["password"])
    assert again["other"] == first["other"]


def test_prepare_gives_each_customer_an_owner_a_domain_and_the_right_to_send():
    facts = prepare({}, NOW)
    for found in (facts, facts["other"]):
        member = Membership.objects.get(user__email=found["owner"]["email"])
        domain = SendingDomain.objects.get(organisation=member.organisation)
        assert member.role == Role.OWNER
        assert member.organisation.sending_allowed
        assert domain.state == SendingDomain.State.VERIFIED
        assert found["smtp"]["sender"].endswith(f"@{domain.name}")


def test_route_follows_the_mailbox_to_another_port(settings):
    prepare({}, NOW)
    settings.MAILBOX_PORT = 1030
    prepare({}, NOW)
    assert set(Route.objects.values_list("port", "version")) == {(1030, 2)}
