# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Organisation, User
from tests import build
from tests.accounts.visiting import at, open_contexts, visit

pytestmark = pytest.mark.django_db


def _posted_without_token(user: User | None) -> Client:
    client = Client(enforce_csrf_checks=True)
    if user is not None:
        client.cookies["sessionid"] = build.session(user)
    return client


def test_nothing_at_the_address_shows_a_person_their_own_frame(
    organisation: Organisation, anna: User
) -> None:
    response = visit(anna).get("/en/nothing-here/")
    assert response.status_code == 404
    assert organisation.name in response.text
    assert at("accounts:sign-out") in response.text
    assert at("relay:log") in response.text
    assert open_contexts() == ("", "", "web")


def test_form_without_token_shows_a_person_their_own_frame(
    organisation: Organisation, anna: User
) -> None:
    response = _posted_without_token(anna).post(at("accounts:profile"), {})
    assert response.status_code == 403
    assert "The form was not sent" in response.text
    assert organisation.name in response.text
    assert at("accounts:sign-out") in response.text


@pytest.mark.parametrize("path", ["/en/nothing-here/", "/nothing-here/"])
def test_stranger_sees_the_open_frame(path: str) -> None:
    response = visit().get(path)
    assert response.status_code == 404
    assert at("accounts:sign-out") not in response.text
    refused = _posted_without_token(None).post(at("accounts:sign-in"), {})
    assert (refused.status_code, at("accounts:sign-out") in refused.text) == (403, False)


def test_organisation_is_not_shown_before_the_second_factor(
    organisation: Organisation, anna: User
) -> None:
    client = visit(anna)
    build.second_factor(anna)
    response = client.get("/en/nothing-here/")
    assert response.status_code == 404
    assert organisation.name not in response.text
