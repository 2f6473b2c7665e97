# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demo's suppliers go through the pages of the staff, as an operator enters them."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accounts.models import AuditEvent, User
from config.demo import register
from config.demo.register import SUPPLIERS, fill_register
from config.demo.steps import Journey, StepFailed
from gdpr import recipients
from gdpr.models import Recipient
from gdpr.registry import Audience
from tests import build
from tests.browser.portal import running_portal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.as_role("duty")]


@pytest.fixture
def journey(dorte: User, tmp_path: Path) -> Iterator[Journey]:
    secret = build.second_factor(dorte)
    staff = {"email": dorte.email, "password": build.PASSWORD}
    with running_portal() as site:
        facts = {"web": site, "staff": staff | {"totp_secret": b32encode(secret).decode()}}
        yield Journey(tmp_path, facts)


def test_register_is_filled_once_and_refusals_are_told(
    journey: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_register(journey)
    fill_register(journey)
    today = datetime.now(UTC).date()
    assert {row.name for row in recipients.in_force(today)} == {row.name for row in SUPPLIERS}
    assert not recipients.outside_eea(today).exists()
    served = {service for row in Recipient.objects.all() for service in row.services}
    assert served == {Audience.HOSTING, Audience.BACKUP, Audience.MAIL, Audience.SUPPORT}
    with build.as_owner():
        assert AuditEvent.objects.filter(action="recipient.entered").count() == len(SUPPLIERS)
    abroad = replace(SUPPLIERS[0], name="Elsewhere Inc.", country="US")
    monkeypatch.setattr(register, "SUPPLIERS", (abroad,))
    build.forget_used_values()
    with pytest.raises(StepFailed, match=r"does not take Elsewhere Inc\."):
        fill_register(journey)
