# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about agreements hold, and turn red when what keeps them is switched off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from accounts import standing
from accounts.models import AuditEvent, Membership, Organisation
from accounts.tenancy import organisation_context
from dpa import promises, signing, terms
from dpa.models import Document, OfferedText
from tests import build
from tests.dpa import papers

pytestmark = pytest.mark.django_db

CHECKS = {promise.id: promise.check for promise in promises.PROMISES}


@pytest.fixture(autouse=True)
def _in_force(by: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agreement that Anna and the service have signed; the test goes on as `duty`."""
    monkeypatch.setattr("accounts.clock.now", lambda: build.NOW)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        papers.sign(papers.offer(by), by)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE duty")
    assert signing.countersign(build.NOW) == 1


def shorter_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("relay.models.messages.LOG_DAYS", 29)


def no_signature(_: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert Document.objects.filter(kind=Document.Kind.COMPLETE).delete()[0]


def other_words(_: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert OfferedText.objects.update(digest="0" * 64)


def late_end(patch: pytest.MonkeyPatch) -> None:
    """Anna closes her organisation; nobody deletes anything until its last day is over."""
    with build.as_owner():
        organisation = Organisation.objects.get()
        standing.change_standing(organisation, Organisation.Standing.CLOSING, by=None)
        closed_at = AuditEvent.objects.get(action="organisation.closing").at
    last = closed_at + timedelta(days=terms.DELETION_DAYS)
    patch.setattr("accounts.clock.now", lambda: last)
    assert CHECKS["D11.1"]().holds
    patch.setattr("accounts.clock.now", lambda: last + timedelta(seconds=1))


OFF: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "D1.1": shorter_log,
    "D11.1": late_end,
    "D13.1": no_signature,
    "D-g": other_words,
}


@pytest.mark.parametrize("number", OFF)
def test_promise_holds_until_it_is_switched_off(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = CHECKS[number]()
    assert before.holds, before.seen
    OFF[number](monkeypatch)
    assert not CHECKS[number]().holds
