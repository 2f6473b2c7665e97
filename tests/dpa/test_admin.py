# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff do to agreements that wait for the seal, each act with its event."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts.models import AuditEvent, Organisation, User
from dpa.models import Agreement
from tests import build
from tests.accounts.test_staffsite import verified

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(organisation: Organisation, settings: Any) -> Agreement:
    settings.AGREEMENT_COUNTERSIGNING = "staff"
    with build.as_owner():
        return build.agreement(organisation, state="signed", signed_at=build.NOW, closed_at=None)


@pytest.fixture
def page(dorte: User) -> Client:
    return verified(dorte)


def act(page: Client, row: Agreement, action: str) -> str:
    with override("en"):
        address = reverse("admin:dpa_agreement_changelist")
    chosen = {"action": action, "_selected_action": str(row.pk)}
    text: str = page.post(address, chosen, follow=True).text
    return text


@pytest.mark.parametrize(
    ("action", "field", "event"),
    [
        ("countersign", "released_at", "agreement.released"),
        ("refuse", "refused_at", "agreement.seal-refused"),
    ],
)
def test_staff_decide_once_and_it_is_recorded(
    page: Client, waiting: Agreement, action: str, field: str, event: str
) -> None:
    assert "The worker" in act(page, waiting, action)
    assert "does not wait for" in act(page, waiting, action)
    with build.as_owner():
        waiting.refresh_from_db()
        assert getattr(waiting, field) is not None
        assert list(AuditEvent.objects.values_list("action", flat=True)).count(event) == 1


@pytest.mark.parametrize("action", ["countersign", "refuse"])
def test_what_waits_for_nobody_is_not_decided(
    page: Client, organisation: Organisation, action: str
) -> None:
    with build.as_owner():
        row = build.agreement(organisation)
    assert "does not wait for" in act(page, row, action)
