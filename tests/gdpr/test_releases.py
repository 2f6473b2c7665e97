# SPDX-License-Identifier: AGPL-3.0-or-later
"""Staff decide whom a person's packages show beside them: recorded, never about themselves."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts.models import AuditEvent, User
from gdpr.models import Release
from tests import build
from tests.accounts.test_staffsite import verified

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(dorte: User) -> Client:
    return verified(dorte)


def address(name: str, *args: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_release_{name}", args=args)


def post(page: Client, owner: str, other: str, reason: str = "Bo has agreed.") -> str:
    values = {"owner": owner, "address": other, "reason": reason}
    return page.post(address("add"), values, follow=True).text


def rows() -> list[tuple[str, str]]:
    with build.as_owner():
        return [(row.person.email, row.address) for row in Release.objects.order_by("pk")]


def acts() -> list[str]:
    with build.as_owner():
        found = AuditEvent.objects.filter(action__startswith="release.").order_by("id")
        return list(found.values_list("action", flat=True))


def test_decided_and_taken_back_and_both_are_recorded(page: Client, anna: User) -> None:
    assert page.get(address("add")).status_code == 200
    post(page, "Anna@Due.example", "Bo@Krog.example")
    assert rows() == [("anna@due.example", "bo@krog.example")]
    with build.as_owner():
        row = Release.objects.get()
    listed = page.get(address("changelist")).text
    assert "bo@krog.example" not in listed
    assert page.get(address("change", row.pk)).status_code == 200
    done = {"action": "take_back", "_selected_action": [row.pk]}
    assert "Hidden again" in page.post(address("changelist"), done, follow=True).text
    assert rows() == []
    assert acts() == ["release.decided", "release.taken-back"]


@pytest.mark.parametrize(
    ("owner", "other", "words"),
    [
        ("nobody@due.example", "bo@krog.example", "Nobody has an account"),
        ("dorte@drift.example", "bo@krog.example", "your own packages"),
        ("anna@due.example", "ANNA@due.example", "never hidden from them"),
    ],
)
def test_what_cannot_be_decided(
    page: Client, anna: User, owner: str, other: str, words: str
) -> None:
    assert words in post(page, owner, other)
    assert (rows(), acts()) == ([], [])


def test_reasons_are_asked_for_and_the_same_is_decided_once(page: Client, anna: User) -> None:
    post(page, anna.email, "bo@krog.example", reason=" ")
    assert rows() == []
    post(page, anna.email, "bo@krog.example")
    assert "decided already" in post(page, anna.email, "bo@krog.example")
    assert len(rows()) == 1


def test_own_is_not_taken_back_by_oneself(page: Client, dorte: User) -> None:
    with build.as_owner():
        row = Release.objects.create(
            person=dorte, address="x@y.example", reason="-", decided_at=build.NOW
        )
    done = {"action": "take_back", "_selected_action": [row.pk]}
    assert "your own packages" in page.post(address("changelist"), done, follow=True).text
    assert len(rows()) == 1
