# SPDX-License-Identifier: AGPL-3.0-or-later
"""Anna's organisation, named well enough to agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings

from accounts import limits
from accounts.models import Membership, Organisation, Role, User
from accounts.tenancy import organisation_context
from tests import build
from tests.accounts.conftest import Clock

ADDRESS = {"address": "Dueslaget 7, 2. th.", "postcode": "8000", "city": "Aarhus C"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr("accounts.clock.now", moved)
    return moved


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    limits._redis(django_settings.REDIS_URL).flushdb()
    yield
    limits._without_redis.clear()


@pytest.fixture
def organisation(anna: User) -> Organisation:
    """Anna's organisation with an address and a number; it may not send yet."""
    made = build.organisation(
        "Duehuset ApS", **ADDRESS, vat_number="20000007", sending_allowed=False
    )
    build.member(made, anna, Role.OWNER)
    return made


@pytest.fixture
def by(organisation: Organisation, anna: User) -> Membership:
    """Anna's place in it."""
    return membership(anna)


@pytest.fixture
def inside(by: Membership) -> Iterator[Membership]:
    """The test runs in the context of Anna's organisation."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        yield by


def membership(user: User) -> Membership:
    with build.as_owner():
        return Membership.objects.select_related("organisation", "user").get(user=user)
