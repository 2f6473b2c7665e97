# SPDX-License-Identifier: AGPL-3.0-or-later
"""Organisations whose owners are all restricted: mail goes on, and staff know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Alert, Membership, Organisation, Role, User
from gdpr import tasks
from gdpr.rights import restriction
from gdpr.rights.restriction import Ground
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, prove, visit

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

ASK = {"ground": "claims", "words": ""}
WARNING, KNOWN = "the only owner here", "our staff know"


@pytest.fixture
def other_owner(organisation: Organisation) -> User:
    person = build.person("Ejnar", "Ejer")
    build.member(organisation, person, Role.OWNER)
    return person


def alerted() -> list[str]:
    tasks.tell_recipients()
    rows = Alert.objects.filter(kind=restriction.SILENCED, resolved_at=None)
    return list(rows.values_list("subject", flat=True))


def restrict(person: User, clock: Clock) -> None:
    restriction.impose(person, Ground.CLAIMS, clock.now)


def test_staff_hear_of_it_once_the_last_owner_is_restricted_and_until_one_can_act(
    anna: User, bo: User, other_owner: User, organisation: Organisation, clock: Clock
) -> None:
    # Who owns nothing is missed by no mail to the owners.
    restrict(bo, clock)
    restrict(anna, clock)
    assert alerted() == []
    restrict(other_owner, clock)
    assert alerted() == [str(organisation.pk)]
    restriction.lift_own(anna, clock.now)
    assert alerted() == []


def shut_out(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def not_let_in(person: User) -> None:
    Membership.objects.filter(user=person).update(approved_at=None)


@pytest.mark.parametrize("change", [shut_out, not_let_in])
def test_owner_who_cannot_act_is_not_counted(
    anna: User,
    other_owner: User,
    organisation: Organisation,
    clock: Clock,
    change: Callable[[User], None],
) -> None:
    with build.as_owner():
        change(other_owner)
    restrict(anna, clock)
    assert alerted() == [str(organisation.pk)]


@pytest.mark.parametrize("standing", sorted(Organisation.ENDING))
def test_organisation_that_ends_needs_no_owner(
    anna: User, organisation: Organisation, clock: Clock, standing: str
) -> None:
    with build.as_owner():
        Organisation.objects.update(standing=standing)
    restrict(anna, clock)
    assert alerted() == []


@pytest.fixture
def browser(anna: User, organisation: Organisation) -> Client:
    """Anna's, who has just proved that it is her."""
    client = visit(anna, organisation)
    prove(client)
    return client


@pytest.mark.as_role("web")
def test_only_owner_is_told_what_it_means_and_is_not_refused(
    browser: Client, anna: User, organisation: Organisation
) -> None:
    for page in ("restriction", "restriction-ask", "objection", "correction", "request-new"):
        text = browser.get(at(f"gdpr:{page}")).text
        assert WARNING in text, page
        assert organisation.name in text
    assert leads_to(browser.post(at("gdpr:restriction-ask"), ASK), "gdpr:restriction")
    text = browser.get(at("gdpr:restriction")).text
    assert KNOWN in text
    assert WARNING not in text
    # The organisation's mail does not hang on who looks after it.
    with build.as_owner():
        organisation.refresh_from_db()
    assert (organisation.standing, organisation.sending_allowed) == ("good", True)
    with build.as_role("duty"):
        assert alerted() == [str(organisation.pk)]


@pytest.mark.as_role("web")
def test_one_owner_of_several_is_not_warned(browser: Client, other_owner: User) -> None:
    for page in ("restriction", "restriction-ask", "objection", "correction", "request-new"):
        assert WARNING not in browser.get(at(f"gdpr:{page}")).text, page
