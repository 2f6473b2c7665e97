# SPDX-License-Identifier: AGPL-3.0-or-later
"""The dry run and the register of recipients, as staff see and change them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from pytest_django.fixtures import Settings

from accounts import clock
from accounts.models import AuditEvent, User
from gdpr.deadlines import day_of
from gdpr.models import Recipient, RetentionGauge, RetentionRun
from tests import build
from tests.accounts.test_staffsite import verified

pytestmark = pytest.mark.django_db

HOST = {
    "name": "Værtshuset A/S",
    "address": "Serverstræde 1, 2620 Albertslund",
    "country": "DK",
    "company_number": "20000007",
    "contact": "gdpr@vaertshuset.example",
    "services": ["hosting", "backup"],
    "transfer": "none",
    "starts_on": "2026-01-01",
    "contract_on": "2025-12-01",
    "reviewed_on": "2025-12-01",
}


@pytest.fixture
def page(dorte: User) -> Client:
    return verified(dorte)


def address(name: str, *args: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_{name}", args=args)


def post(page: Client, **changed: Any) -> Any:
    return page.post(address("recipient_add"), HOST | changed)


def recorded() -> list[tuple[str, list[str]]]:
    with build.as_owner():
        events = AuditEvent.objects.filter(action__startswith="recipient.").order_by("id")
        return [(event.action, sorted(event.fields)) for event in events]


def test_dry_run_says_what_the_next_run_deletes(page: Client) -> None:
    with build.as_owner():
        RetentionGauge.objects.create(
            what="accounts.Alert",
            measured_at=build.NOW,
            oldest_at=build.NOW,
            due=17,
            over_seconds=5,
        )
        RetentionRun.objects.create(
            what="accounts.Session", started_at=build.NOW, finished_at=build.NOW, rows=4711
        )
    answer = page.get(address("retentionrun_changelist"))
    assert answer.status_code == 200
    for words in ("accounts.Alert", "17", "90 days", "something older", "next night", "4711"):
        assert words in answer.text


def test_dry_run_before_anything_was_measured(page: Client) -> None:
    assert "Nothing was measured yet" in page.get(address("retentionrun_changelist")).text


def test_recipient_is_entered_changed_and_never_deleted(page: Client) -> None:
    assert page.get(address("recipient_add")).status_code == 200
    assert post(page).status_code == 302
    row = Recipient.objects.get()
    assert (row.name, row.services, row.level) == ("Værtshuset A/S", ["hosting", "backup"], 1)
    path = address("recipient_change", row.pk)
    assert page.post(path, HOST | {"ends_on": "2026-12-31"}).status_code == 302
    assert Recipient.objects.get().ends_on is not None
    assert [act for act, _ in recorded()] == ["recipient.entered", "recipient.changed"]
    assert recorded()[1] == ("recipient.changed", ["ends_on"])
    assert page.post(address("recipient_delete", row.pk), {"post": "yes"}).status_code == 403


def test_place_outside_the_eea_is_refused(page: Client, settings: Settings) -> None:
    assert "EEA_ONLY" in post(page, country="US", transfer="clauses").text
    settings.EEA_ONLY = False
    assert "chapter V" in post(page, country="US").text
    assert not Recipient.objects.exists()
    assert post(page, country="US", transfer="clauses").status_code == 302


def test_number_and_review_are_asked_for(page: Client) -> None:
    for name in ("company_number", "reviewed_on"):
        post(page, **{name: ""})
        assert not Recipient.objects.exists(), name


def test_new_one_starts_when_customers_have_had_their_time(page: Client) -> None:
    """A day before it ends is refused on the page; what runs already may still be corrected."""
    post(page)
    with build.as_owner():
        build.agreement(build.organisation("Duehuset ApS"), state="in_force")
    today = day_of(clock.now())
    days = build.AGREED["periods"]["objection_days"]
    new = {"name": "Kælderen", "starts_on": str(today + timedelta(days=days - 1))}
    assert "may object" in post(page, **new).text
    assert "may object" not in post(page, **new | {"services": ["mail"]}).text
    assert post(page, **new | {"starts_on": str(today + timedelta(days=days))}).status_code == 302
    row = Recipient.objects.get(name="Værtshuset A/S")
    path = address("recipient_change", row.pk)
    assert page.post(path, HOST | {"contact": "+45 70 10 20 30"}).status_code == 302
    assert "may object" in page.post(path, HOST | {"services": ["hosting", "support"]}).text


def test_ended_one_is_not_brought_back_on_the_page(page: Client) -> None:
    post(page, ends_on="2026-06-01")
    with build.as_owner():
        build.agreement(build.organisation("Duehuset ApS"), state="in_force")
    path = address("recipient_change", Recipient.objects.get().pk)
    assert "may object" in page.post(path, HOST | {"ends_on": ""}).text
    assert page.post(path, HOST | {"ends_on": "2026-05-01"}).status_code == 302


def test_recipient_engaged_by_itself_is_refused(page: Client) -> None:
    post(page)
    row = Recipient.objects.get()
    path = address("recipient_change", row.pk)
    assert "by itself" in page.post(path, HOST | {"engaged_by": str(row.pk)}).text
