# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every address there is, tried by everybody who must not open it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.translation import override

from accounts import limits
from accounts.models import Organisation, Role, User
from tests import build
from tests.accounts.visiting import at, leads_to, prove, visit
from tests.guards.places import CHOICE, MEMBER, OWN, PERSON, PUBLIC, Place

pytestmark = pytest.mark.django_db

STAFF = "admin"
WITH_ROW = {name: place for name, place in MEMBER.items() if place.row}
WITHOUT_ROW = {name: place for name, place in MEMBER.items() if not place.row}
SECRET = ("Duehuset", "@due.example", "Anna", "inviteret.example", "modtager.example")


@pytest.fixture(autouse=True)
def _fresh_limits() -> None:
    limits._redis(settings.REDIS_URL).flushdb()


def _walk(
    patterns: list[URLPattern | URLResolver], space: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _walk(pattern.url_patterns, inner)
        else:
            yield f"{space}{pattern.name}", pattern


def _names() -> dict[str, URLPattern]:
    return dict(_walk(get_resolver().url_patterns))


def _staff_paths() -> list[str]:
    """Every address of the staff's pages, with something in the place of its arguments."""
    named = {name: pattern for name, pattern in _names().items() if pattern.name}
    staff = {name: pattern for name, pattern in named.items() if name.startswith(f"{STAFF}:")}
    del staff[f"{STAFF}:logout"]  # shows nothing, and would end the session of the one who tries
    return [reverse(name, kwargs=_arguments(pattern)) for name, pattern in staff.items()]


def _arguments(pattern: URLPattern) -> dict[str, str]:
    label = re.search(r"app_label>(\w+)", str(pattern.pattern))
    given = {"app_label": label[1]} if label else {}
    return given | {name: _something(kind) for name, kind in pattern.pattern.converters.items()}


def _something(converter: Any) -> str:
    return "1" if type(converter).__name__ == "IntConverter" else str(uuid4())


def _row(place: Place, organisation: Organisation) -> UUID | str:
    assert place.row
    with build.as_owner():
        return place.row(organisation)


def _tries(client: Client, path: str) -> list[Any]:
    return [client.get(path), client.post(path)]


def _member(organisation: Organisation, role: Role) -> Client:
    person = build.person(role.value, "Medlem")
    build.member(organisation, person, role)
    client = visit(person, organisation)
    prove(client)
    return client


def test_every_address_is_in_the_table() -> None:
    names = {name for name in _names() if not name.startswith(f"{STAFF}:")}
    assert len(names) > 40
    assert names == PUBLIC | PERSON | set(OWN) | set(MEMBER) | {CHOICE}


@pytest.mark.parametrize("name", sorted([*PERSON, *MEMBER, CHOICE]))
def test_nobody_is_sent_to_sign_in(name: str, client: Client):
    path = at(name, uuid4()) if name in WITH_ROW or name == CHOICE else at(name)
    answers = _tries(client, path)
    assert {answer.status_code for answer in answers} in ({302}, {302, 405})
    sent = [answer for answer in answers if answer.status_code == 302]
    assert all(leads_to(answer, "accounts:sign-in") for answer in sent)


@pytest.mark.parametrize("name", OWN)
def test_own_rows_open_to_their_person_alone(name: str, anna: User, carl: User):
    path, absent = at(name, *OWN[name](anna)), at(name, *(_like(part) for part in OWN[name](anna)))
    own, stranger = visit(anna), visit(carl)
    for client in (own, stranger):
        prove(client)
    assert own.get(path).status_code in (200, 302, 405)
    theirs, nothing = _tries(stranger, path), _tries(stranger, absent)
    assert {answer.status_code for answer in theirs} in ({404}, {404, 405})
    for their, none in zip(theirs, nothing, strict=True):
        assert their.status_code == none.status_code
    for answer in _tries(Client(), path):
        assert answer.status_code == 405 or leads_to(answer, "accounts:sign-in")


def _like(part: object) -> object:
    """Another number in the place of a row's; words stay."""
    return uuid4() if isinstance(part, UUID) else part


@pytest.mark.parametrize("name", MEMBER)
def test_wrong_role_is_forbidden(name: str, organisation: Organisation):
    place = MEMBER[name]
    path = at(name, _row(place, organisation)) if place.row else at(name)
    for role in Role:
        if role not in place.roles:
            read, written = _tries(_member(organisation, role), path)
            assert {read.status_code, written.status_code} <= {403, 405}, role
            assert 403 in (read.status_code, written.status_code), role


@pytest.mark.parametrize("name", MEMBER)
def test_right_role_opens(name: str, organisation: Organisation):
    """So that the refusals are about the person, not about a row that is not there."""
    place = MEMBER[name]
    path = at(name, _row(place, organisation)) if place.row else at(name)
    for role in place.roles:
        answer = _member(organisation, role).get(path)
        assert answer.status_code in (200, 405), role


def _looks(answer: Any, identifier: UUID | str) -> tuple[int, str, dict[str, str]]:
    """What a stranger sees, without what differs between any two answers."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", answer.text)
    headers = {key: value for key, value in answer.headers.items() if key != "Content-Length"}
    return answer.status_code, text.replace(str(identifier), "ID"), headers


@pytest.mark.parametrize("name", [*WITH_ROW, CHOICE])
def test_foreign_row_looks_like_none(name: str, organisation: Organisation, carl: User):
    foreign = organisation.id if name == CHOICE else _row(MEMBER[name], organisation)
    absent = uuid4()
    client = visit(carl, organisation)
    prove(client)
    theirs, nothing = _tries(client, at(name, foreign)), _tries(client, at(name, absent))
    assert {answer.status_code for answer in theirs} in ({404}, {404, 405})
    for their, none in zip(theirs, nothing, strict=True):
        assert _looks(their, foreign) == _looks(none, absent)


@pytest.mark.parametrize("name", sorted([*PERSON, *WITHOUT_ROW, "home"]))
def test_stranger_sees_nothing_of_another_organisation(
    name: str, organisation: Organisation, anna: User, bo: User, carl: User
):
    with build.as_owner():
        for make_row in {place.row for place in WITH_ROW.values() if place.row}:
            make_row(organisation)
    client = visit(carl, organisation)
    prove(client)
    text = client.get(at(name)).text
    assert [mark for mark in SECRET if mark in text] == []


@pytest.mark.parametrize("name", MEMBER)
def test_staff_without_membership_open_no_members_page(
    name: str, organisation: Organisation, dorte: User
):
    build.second_factor(dorte)
    place = MEMBER[name]
    path = at(name, _row(place, organisation)) if place.row else at(name)
    client = visit(dorte, organisation)
    answers = _tries(client, path)
    assert {answer.status_code for answer in answers} in ({302}, {302, 405})
    sent = [answer for answer in answers if answer.status_code == 302]
    assert all(leads_to(answer, "accounts:organisations") for answer in sent)


class TestStaff:
    def test_nobody_is_sent_to_sign_in(self, client: Client):
        for path in self._paths():
            for answer in _tries(client, path):
                assert _refused(answer), (path, answer.status_code)

    def test_owner_of_an_organisation_is_refused(self, organisation: Organisation, anna: User):
        build.second_factor(anna)
        client = visit(anna)
        for path in self._paths():
            for answer in _tries(client, path):
                assert _refused(answer), (path, answer.status_code)

    def test_staff_without_second_factor_are_sent_to_set_it_up(self, dorte: User):
        client = visit(dorte)
        for path in self._paths():
            assert leads_to(client.get(path), "accounts:second-factor-enrol"), path
            assert leads_to(client.post(path), "accounts:second-factor-enrol"), path

    def test_staff_before_their_second_factor_are_asked_for_it(self, dorte: User):
        client = visit(dorte)
        build.second_factor(dorte)
        for path in self._paths():
            assert leads_to(client.get(path), "accounts:second-factor"), path

    def test_staff_with_second_factor_come_in(self, dorte: User):
        build.second_factor(dorte)
        client = visit(dorte)
        assert client.get(at("admin:index")).status_code == 200

    def _paths(self) -> list[str]:
        with override("en"):
            paths = _staff_paths()
        assert len(paths) > 10
        return paths


def _refused(answer: Any) -> bool:
    if answer.status_code == 302:
        return leads_to(answer, "accounts:sign-in") or "/staff/login/" in answer.headers["Location"]
    return answer.status_code in (403, 404, 405)
