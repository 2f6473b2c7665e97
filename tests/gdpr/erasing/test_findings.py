# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a scan stops at, and the words of whoever has looked and says that it is somebody else."""

from __future__ import annotations

import pytest
from django.db import connection

from accounts.models import AuditEvent, User
from accounts.tenancy import person_context
from gdpr import requests
from gdpr.erasing import findings, run
from gdpr.models import Erasure
from gdpr.scan import Finding, Kind
from tests import build, poppler
from tests.gdpr.erasing.conftest import later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

WORDS = "A leaflet of the printer's; it was sent to everybody."


def _plant(text: str) -> None:
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS stray (word text)")
        cursor.execute("GRANT SELECT ON stray TO duty")
        cursor.execute("INSERT INTO stray VALUES (%s)", [text])


@pytest.fixture
def stuck(asked: Erasure, gone: User) -> Erasure:
    _plant(gone.email)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    return asked


def _accept(erasure: Erasure, by: User, words: str = WORDS) -> None:
    with build.as_role("staff"), person_context(by.pk):
        findings.accept(erasure, words, by, later(minutes=1))
    erasure.refresh_from_db()


def test_places_are_told_and_nobody(stuck: Erasure, gone: User) -> None:
    assert findings.of(stuck) == [Finding(place="stray.word", kind=Kind.ADDRESS, count=1)]
    assert gone.email not in str(stuck.report)


def test_accepted_finding_lets_it_go_on_and_is_on_the_certificate(
    stuck: Erasure, dorte: User
) -> None:
    _accept(stuck, dorte)
    assert run.due(later(minutes=1)) == [stuck.pk]
    event = AuditEvent.objects.get(action="erasure.findings-accepted")
    assert event.target_id == str(stuck.pk)
    assert run.carry_out(stuck.pk, later(minutes=1))
    stuck.refresh_from_db()
    pdf = bytes(stuck.certificate or b"")
    words = poppler.words(pdf)
    assert "stray.word" in words
    assert "leaflet of the printer" in words


def test_more_of_them_are_another_finding(stuck: Erasure, gone: User, dorte: User) -> None:
    _accept(stuck, dorte)
    _plant(f"{gone.email} again")
    assert not run.carry_out(stuck.pk, later(minutes=1))
    stuck.refresh_from_db()
    assert [finding.count for finding in findings.of(stuck)] == [2]


def test_kept_rows_that_have_gone_make_no_room_for_others(asked: Erasure, dorte: User) -> None:
    def found(count: int, kept: int) -> Finding:
        return Finding(place="stray.word", kind=Kind.ADDRESS, count=count, kept=kept)

    findings.tell(asked.pk, [found(3, kept=2)])
    Erasure.objects.filter(pk=asked.pk).update(fault=Erasure.Fault.LEFTOVER)
    _accept(asked, dorte)
    known = findings.accepted(asked)
    assert findings.are_accepted(found(3, kept=2), known)
    assert findings.are_accepted(found(1, kept=0), known)
    assert not findings.are_accepted(found(3, kept=0), known)


def test_without_reasons_nothing_is_accepted(stuck: Erasure, dorte: User) -> None:
    with pytest.raises(requests.ReasonMissing):
        _accept(stuck, dorte, " ")
    assert findings.accepted(stuck) == []


def test_only_what_a_scan_has_found_can_be_accepted(asked: Erasure, dorte: User) -> None:
    with pytest.raises(findings.NothingFound):
        _accept(asked, dorte)
