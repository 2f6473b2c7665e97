# SPDX-License-Identifier: AGPL-3.0-or-later
"""A corrected address: accepted by staff, proven by the link that was mailed to it."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import vault
from accounts.models import AuditEvent, OutgoingMail, Session, User
from gdpr.forms import CorrectionForm
from gdpr.models import Correction, RequestedRight, Right
from gdpr.rights import rectification
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import asks_to_sign_in, at, visit

pytestmark = pytest.mark.django_db

State = RequestedRight.State
NEW = "anne@due.example"


def mailed(kind: str) -> list[dict[str, str]]:
    with build.as_owner():
        rows = OutgoingMail.objects.filter(kind=f"gdpr/{kind}").order_by("created_at")
        return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


@pytest.fixture
def wish(clock: Clock, anna: User) -> Correction:
    with build.as_owner():
        right = build.request_of(anna, Right.RECTIFICATION).rights.get()
        return Correction.objects.create(
            right=right, field=rectification.ADDRESS, value="Anne@due.example", evidence="Pas"
        )


def accept(wish: Correction, dorte: User, clock: Clock) -> str:
    """Accept as staff do; return where the link leads."""
    with build.as_owner():
        wish.right.refresh_from_db()
        rectification.accept(wish, dorte, clock.now)
    letter = mailed("address_proof")[-1]
    assert letter["to"] == NEW
    (link,) = [word for word in letter["text"].split() if "/correction/" in word]
    return link.removeprefix(settings.SITE_URL)


@pytest.fixture
def link(wish: Correction, dorte: User, clock: Clock) -> str:
    return accept(wish, dorte, clock)


def row(anna: User) -> User:
    with build.as_owner():
        return User.objects.get(pk=anna.pk)


def state(wish: Correction) -> str:
    with build.as_owner():
        return RequestedRight.objects.get(pk=wish.pk).state


def test_link_writes_the_address_and_signs_every_browser_out(
    link: str, wish: Correction, anna: User, clock: Clock
) -> None:
    build.session(anna)
    stranger = Client()
    assert stranger.get(link).status_code == 200
    assert row(anna).email == anna.email
    clock.forward(hours=1)
    assert "/sign-in/" in stranger.post(link).headers["Location"]
    assert (row(anna).email, row(anna).confirmed_at) == (NEW, clock.now)
    assert state(wish) == State.DONE
    with build.as_owner():
        wish.refresh_from_db()
        assert not Session.objects.filter(user_id=anna.pk).exists()
        event = AuditEvent.objects.get(action="person.rectified")
    assert (wish.value, wish.evidence) == ("", "")
    assert event.fields == ["email", "confirmed_at"]
    # Whoever did not ask for it hears of it at the old address, before and after.
    assert [letter["to"] for letter in mailed("address_change")] == [anna.email]
    assert [letter["to"] for letter in mailed("letter")] == [anna.email]
    assert stranger.post(link).status_code == 404


def test_link_locks_in_the_order_in_which_staff_decide(link: str, anna: User) -> None:
    with CaptureQueriesContext(connection) as asked:
        Client().post(link)
    locked = [one["sql"] for one in asked if "FOR UPDATE" in one["sql"]]
    tables = [sql.partition(" FROM ")[2].split()[0].strip('"') for sql in locked]
    assert tables[:3] == ["gdpr_request", "gdpr_requestedright", "gdpr_correction"]


def test_link_ends_by_itself(link: str, anna: User, clock: Clock) -> None:
    clock.forward(days=rectification.LINK_DAYS)
    assert Client().get(link).status_code == 404
    assert Client().post(link).status_code == 404
    assert row(anna).email == anna.email


def test_link_of_a_correction_that_was_refused_writes_nothing(
    link: str, wish: Correction, anna: User
) -> None:
    with build.as_owner():
        RequestedRight.objects.filter(pk=wish.pk).update(
            state=State.REFUSED, resolution="x", closed_at=build.NOW
        )
    assert Client().post(link).status_code == 404
    assert row(anna).email == anna.email


def test_link_to_another_address_than_the_one_that_is_wished_writes_nothing(
    link: str, wish: Correction, anna: User
) -> None:
    with build.as_owner():
        Correction.objects.filter(pk=wish.pk).update(value="anni@due.example")
    assert Client().post(link).status_code == 404
    assert row(anna).email == anna.email


def test_address_that_somebody_signed_up_with_meanwhile_is_refused(
    link: str, wish: Correction, anna: User
) -> None:
    build.person("Anne", "Due")
    answer = Client().post(link)
    assert answer.status_code == 404
    assert row(anna).email == anna.email
    assert state(wish) == State.ACT
    assert mailed("letter") == []


def test_longer_address_than_an_account_can_have_is_not_asked_for() -> None:
    value = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 30}.example"
    form = CorrectionForm({"field": rectification.ADDRESS, "value": value})
    assert "value" in form.errors


def test_browser_that_follows_the_link_is_signed_out_too(link: str, anna: User) -> None:
    browser = visit(anna)
    assert browser.post(link).status_code == 302
    page = at("accounts:profile")
    assert asks_to_sign_in(browser.get(page), page)
