# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from celery.signals import worker_init
from pytest_django.fixtures import Settings

from accounts import checks, tasks
from accounts.audit import anchors
from accounts.models import Alert, AuditEvent, Organisation
from accounts.standing import allow_sending
from tests import build
from tests.accounts.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _own_anchors(settings: Settings, tmp_path: Path) -> None:
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")


def test_night_anchors_the_audit_trail(organisation: Organisation, clock: Clock) -> None:
    allow_sending(organisation, Organisation.SendingReason.DEMONSTRATION, by=None)
    tasks.anchor_audit()
    (anchor,) = anchors.read(build.NOW - timedelta(days=1))
    assert (anchor.organisation_id, anchor.head.sequence) == (organisation.id, 1)
    assert not Alert.objects.exists()


def test_broken_audit_trail_raises_an_alert(organisation: Organisation, clock: Clock) -> None:
    allow_sending(organisation, Organisation.SendingReason.DEMONSTRATION, by=None)
    with build.as_owner():
        AuditEvent.objects.update(action="x.made")
    tasks.anchor_audit()
    assert Alert.objects.get().kind == "audit-trail-broken"


def test_worker_refuses_to_start_as_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="superuser, owns tables"):
        worker_init.send(sender="worker")
    monkeypatch.setattr(checks, "unsafe_role", lambda: False)
    worker_init.send(sender="worker")
