# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about agreements hold, and turn red when what keeps them is switched off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.db import connection

from accounts import standing
from accounts.models import AuditEvent, Membership, Organisation
from accounts.tenancy import organisation_context
from dpa import lineage, promises, sealing, terms
from dpa.models import Agreement, AgreementEvent, Document, OfferedText
from tests import build
from tests.dpa import papers

pytestmark = pytest.mark.django_db

Act = AgreementEvent.Act
Reason = Organisation.SendingReason
Standing = Organisation.Standing
CHECKS = {promise.id: promise.check for promise in promises.PROMISES}


@pytest.fixture(autouse=True)
def _in_force(by: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agreement that Anna and the service have signed; the test goes on as `duty`."""
    monkeypatch.setattr("accounts.clock.now", lambda: build.NOW)
    monkeypatch.setattr("gdpr.seals.seal", papers.seal_once)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        papers.sign(papers.offer(by), by)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE duty")
    assert sealing.countersign(build.NOW) == 1


def shorter_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("relay.models.messages.LOG_DAYS", 29)


def other_octets(_: pytest.MonkeyPatch) -> None:
    """What is kept as signed by both is something else, and so are its checksum and its event."""
    forged = b"%PDF-1.7 forged"
    with build.as_owner():
        row = Agreement.objects.get()
        row.documents.filter(kind=Document.Kind.COMPLETE).update(
            content=forged, sha256=sha256(forged).digest()
        )
        row.events.filter(act=Act.SEALED).delete()
        lineage.note(row, Act.SEALED, build.NOW, (lineage.document(forged),))


def other_words(_: pytest.MonkeyPatch) -> None:
    with build.as_owner():
        assert OfferedText.objects.update(digest="0" * 64)


def late_end(patch: pytest.MonkeyPatch) -> None:
    """Anna closes her organisation; its mail is not deleted until its last day is over."""
    with build.as_owner():
        organisation = Organisation.objects.get()
        build.mail_of(organisation)
        standing.change_standing(organisation, Organisation.Standing.CLOSING, by=None)
        closed_at = AuditEvent.objects.get(action="organisation.closing").at
    last = closed_at + timedelta(days=terms.DELETION_DAYS)
    patch.setattr("accounts.clock.now", lambda: last)
    assert CHECKS["D11.1"]().holds
    patch.setattr("accounts.clock.now", lambda: last + timedelta(seconds=1))


OFF: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "D1.1": shorter_log,
    "D11.1": late_end,
    "D13.1": other_octets,
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


def test_customer_that_leaves_is_not_held_against_what_is_offered_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It can get no new version, so nobody could put the difference right."""
    shorter_log(monkeypatch)
    assert not CHECKS["D1.1"]().holds
    with build.as_owner():
        Organisation.objects.update(standing=Standing.CLOSING)
    assert CHECKS["D1.1"]().holds


def missing(row: Agreement) -> None:
    row.documents.filter(kind=Document.Kind.SIGNED).delete()


def altered(row: Agreement) -> None:
    row.documents.filter(kind=Document.Kind.COMPLETE).update(content=b"%PDF-1.7 other")


def exchanged(row: Agreement) -> None:
    content = b"%PDF-1.7 other"
    row.documents.filter(kind=Document.Kind.SIGNED).update(
        content=content, sha256=sha256(content).digest()
    )


def signed_once(row: Agreement) -> None:
    """The customer's signature alone, kept as if the seal were there as well."""
    row.documents.filter(kind=Document.Kind.COMPLETE).delete()
    once = row.documents.get(kind=Document.Kind.SIGNED)
    content = bytes(once.content)
    row.documents.filter(pk=once.pk).update(content=b"x", sha256=sha256(b"x").digest())
    Document.objects.create(
        organisation_id=row.organisation_id,
        agreement=row,
        kind=Document.Kind.COMPLETE,
        content=content,
        sha256=sha256(content).digest(),
        created_at=build.NOW,
    )
    row.events.exclude(act=Act.OFFERED).delete()
    lineage.note(row, Act.SIGNED, build.NOW, (lineage.document(b"x"),))
    lineage.note(row, Act.SEALED, build.NOW, (lineage.document(content),))


def refilled(row: Agreement) -> None:
    row.facts["court"] = "Retten i Andeby"
    row.save()


FAULTS: dict[Callable[[Agreement], None], str] = {
    missing: "lacks what is signed",
    altered: "bytes complete were altered",
    exchanged: "document signed is not the one of its event",
    signed_once: "does not have two sound signatures",
    refilled: "what fills the text is not what was issued",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_an_agreement_is_named(fault: Callable[[Agreement], None]) -> None:
    with build.as_owner():
        fault(Agreement.objects.get())
    found = CHECKS["D13.1"]()
    assert not found.holds
    assert FAULTS[fault] in found.seen


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({"sending_reason": Reason.STAFF}, False),
        ({"sending_reason": Reason.AGREEMENT}, False),
        ({"sending_reason": Reason.NO_AGREEMENT}, False),
        ({"sending_reason": Reason.DEMONSTRATION}, True),
        ({"sending_reason": Reason.AGREEMENT, "standing": Standing.CLOSING}, True),
        ({"sending_reason": Reason.STAFF, "sending_allowed": False}, True),
    ],
)
def test_who_sends_without_an_agreement_is_named(fields: dict[str, Any], holds: bool) -> None:
    other = build.organisation("Andet Hus A/S", **fields)
    found = CHECKS["D13.1"]()
    assert found.holds == holds, found.seen
    assert (str(other.pk) in found.seen) == (not holds)
    as_demonstration = fields["sending_reason"] == Reason.DEMONSTRATION
    assert ("1 send as a demonstration" in found.seen) == as_demonstration
