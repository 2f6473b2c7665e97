# SPDX-License-Identifier: AGPL-3.0-or-later
"""The seal: what it brings into force, what stands in its way, and who is told."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from accounts import turns, vault
from accounts.models import (
    Alert,
    Membership,
    Organisation,
    OutgoingMail,
    Role,
)
from accounts.tenancy import organisation_context
from dpa import lineage, sealing
from dpa.models import Agreement, AgreementEvent, Document
from dpa.terms import UNSEALED_DAYS
from gdpr import seals
from tests import build
from tests.dpa import papers
from tests.dpa.conftest import ADDRESS, membership

pytestmark = pytest.mark.django_db

State = Agreement.State
Reason = Organisation.SendingReason
LATER = build.NOW + sealing.PATIENCE


def only() -> Agreement:
    return Agreement.objects.get()


def only_of(organisation: str) -> Agreement:
    return Agreement.objects.get(organisation__name=organisation)


def letters() -> list[dict[str, Any]]:
    rows = OutgoingMail.objects.filter(kind__startswith="dpa/")
    return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


def as_duty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE duty")


def signed_by(by: Membership) -> Agreement:
    """A version that Anna has signed, made in her context."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        return papers.sign(papers.offer(by), by)


class TestCountersigning:
    @pytest.fixture(autouse=True)
    def _as_duty(self, by: Membership) -> None:
        """What the worker does, it does as `duty`; who signs, signs as `web`."""
        self.row = signed_by(by)
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE duty")

    def test_brings_the_agreement_into_force_and_opens_for_live_mail(self) -> None:
        assert not Organisation.objects.get(pk=self.row.organisation_id).sending_allowed
        assert sealing.countersign(build.NOW) == 1
        row = only()
        organisation = Organisation.objects.get(pk=row.organisation_id)
        assert (row.state, row.in_force_at) == (State.IN_FORCE, build.NOW)
        assert (organisation.sending_allowed, organisation.sending_reason) == (
            True, Reason.AGREEMENT,
        )  # fmt: skip
        assert list(lineage.faults(row)) == []

    def test_document_carries_both_signatures_and_holds_its_predecessors(self) -> None:
        sealing.countersign(build.NOW)
        kept = {row.kind: bytes(row.content) for row in Document.objects.all()}
        assert kept["complete"].startswith(kept["signed"])
        assert kept["signed"].startswith(kept["offered"])
        found = seals.verify(kept["complete"], now=build.NOW)
        assert found.sound
        assert [s.field for s in found.signatures] == ["controller", "processor"]
        assert found.awaiting == ("Tidsstempel",)

    def test_both_parties_get_it_by_mail(self) -> None:
        sealing.countersign(build.NOW)
        sent = {letter["to"]: letter for letter in letters()}
        assert set(sent) == {"anna@due.example", "privacy@brevdue.example"}
        (name, kind, content) = sent["anna@due.example"]["enclosures"][0]
        assert (name, kind) == ("databehandleraftale.pdf", "application/pdf")
        complete = bytes(Document.objects.get(kind="complete").content)
        assert base64.b64decode(content) == complete

    def test_is_done_once(self) -> None:
        assert [sealing.countersign(build.NOW) for _ in range(2)] == [1, 0]
        assert Document.objects.filter(kind="complete").count() == 1

    def test_what_staff_stopped_stays_stopped(self) -> None:
        Organisation.objects.update(sending_reason=Reason.STAFF, sending_allowed=False)
        sealing.countersign(build.NOW)
        assert not Organisation.objects.get(pk=self.row.organisation_id).sending_allowed

    def test_waits_for_staff_where_settings_say_so(self, settings: Any) -> None:
        settings.AGREEMENT_COUNTERSIGNING = "staff"
        assert sealing.countersign(build.NOW) == 0
        row = only()
        assert sealing.awaits_release(row)
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE staff")
        sealing.release(row, build.NOW)
        as_duty()
        assert not sealing.awaits_release(row)
        assert sealing.countersign(build.NOW) == 1

    def test_seal_that_cannot_be_set_raises_an_alert_and_is_tried_again(
        self, settings: Any
    ) -> None:
        settings.SEAL_PKCS12 = "/no/such/file.p12"
        assert sealing.countersign(build.NOW) == 0
        assert (only().state, Alert.objects.get().kind) == (State.SIGNED, "agreement-unsealed")
        settings.SEAL_PKCS12 = ""
        assert sealing.countersign(build.NOW) == 1
        assert Alert.objects.get().resolved_at is not None

    def test_later_version_replaces_the_one_in_force(self, by: Membership) -> None:
        sealing.countersign(build.NOW)
        first = only()
        again = papers.complete() + b"\n%again\n"
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE web")
        with organisation_context(by.organisation_id, person_id=by.user_id):
            second = papers.offer(by, again)
        as_duty()
        # The bytes of a second version differ, or they could not be told apart.
        with build.as_owner():
            Agreement.objects.filter(pk=second.pk).update(state=State.SIGNED, signed_at=build.NOW)
            sealing._bring_into_force(second.pk, again + b"sealed", build.NOW)
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.state, second.state) == (State.SUPERSEDED, State.IN_FORCE)
        assert first.closed_at == build.NOW


def other_agreement() -> Agreement:
    """Another organisation's version, signed an hour before Anna's; its bytes cannot be sealed."""
    sara = build.person("Sara", "Ejer")
    organisation = build.organisation("Andet Hus A/S", **ADDRESS, sending_allowed=False)
    build.member(organisation, sara, Role.OWNER)
    by = membership(sara)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        return papers.sign(papers.offer(by, b"junk"), by, b"junk")


class TestObstacles:
    @pytest.fixture(autouse=True)
    def row(self, by: Membership) -> Agreement:
        return signed_by(by)

    def closed(self, reason: str) -> None:
        as_duty()
        assert sealing.countersign(build.NOW) == 0
        row = only()
        event = AgreementEvent.objects.get(act=AgreementEvent.Act.REFUSED)
        assert (row.state, row.closed_at) == (State.WITHDRAWN, build.NOW)
        assert event.evidence == [f"reason:{reason}"]
        assert list(lineage.faults(row)) == []
        assert [letter["to"] for letter in letters()] == ["anna@due.example"]
        assert not Organisation.objects.get(pk=row.organisation_id).sending_allowed

    def test_figure_that_changed_between_the_signatures(self, settings: Any) -> None:
        settings.VAT_PERCENT = 24
        self.closed("changed")

    def test_organisation_that_is_leaving(self) -> None:
        with build.as_owner():
            Organisation.objects.update(standing=Organisation.Standing.CLOSING)
        self.closed("ending")

    def test_signature_that_is_too_old(self, settings: Any) -> None:
        settings.AGREEMENT_COUNTERSIGNING = "staff"
        with build.as_owner():
            long_ago = build.NOW - timedelta(days=UNSEALED_DAYS)
            Agreement.objects.update(signed_at=long_ago)
        self.closed("too-old")

    @pytest.mark.parametrize("policy", ["staff", "automatic"])
    def test_refusal_by_staff(self, row: Agreement, settings: Any, policy: str) -> None:
        settings.AGREEMENT_COUNTERSIGNING = policy
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE staff")
        assert sealing.may_refuse(row)
        sealing.refuse(row, build.NOW)
        assert not sealing.may_refuse(row)
        self.closed("staff")

    def test_change_while_the_seal_was_set(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def seal(content: bytes, **kwargs: Any) -> bytes:
            settings.VAT_PERCENT = 24
            return content + b"sealed"

        monkeypatch.setattr(seals, "seal", seal)
        self.closed("changed")


class TestOthers:
    @pytest.mark.parametrize(
        "fault",
        [
            vault.VaultError,
            seals.FieldError,
            Document.DoesNotExist,
            seals.SealKeysError,
        ],
    )
    def test_version_that_cannot_be_sealed_keeps_no_other_waiting(
        self,
        fault: type[Exception],
        by: Membership,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        broken, mine, seal = other_agreement(), signed_by(by), seals.seal
        with build.as_owner():
            earlier = build.NOW - timedelta(minutes=1)
            Agreement.objects.filter(pk=broken.pk).update(signed_at=earlier)

        def sometimes(content: bytes, **kwargs: Any) -> bytes:
            if content == b"junksigned":
                raise fault("Sara Ejer")
            return seal(content, **kwargs)

        monkeypatch.setattr(seals, "seal", sometimes)
        as_duty()
        assert sealing.countersign(build.NOW) == 1
        assert Agreement.objects.get(state=State.IN_FORCE) == mine
        alert = Alert.objects.get()
        assert (alert.kind, alert.subject) == (sealing.UNSEALED, str(broken.pk))
        assert "Sara" not in caplog.text

    def test_octets_that_are_no_pdf_keep_no_other_waiting(self, by: Membership) -> None:
        other_agreement()
        mine = signed_by(by)
        as_duty()
        assert sealing.countersign(build.NOW) == 1
        assert Agreement.objects.get(state=State.IN_FORCE) == mine

    def test_of_those_that_failed_before_one_is_tried_in_a_run(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In turn, and after all others; once what was wrong is mended, one run seals them all."""
        other_agreement()
        signed_by(by)
        broken = {b"junksigned", papers.signed()}
        tried: list[bytes] = []

        def refuse(content: bytes, **kwargs: Any) -> bytes:
            tried.append(content)
            raise seals.SealKeysError

        monkeypatch.setattr(seals, "seal", refuse)
        as_duty()
        runs = []
        for _ in range(3):
            assert sealing.countersign(build.NOW) == 0
            runs.append(set(tried))
            tried.clear()
        assert [len(run) for run in runs] == [2, 1, 1]
        assert runs[0] == runs[1] | runs[2] == broken
        with build.as_owner():
            Alert.objects.filter(subject=str(only_of("Duehuset ApS").pk)).delete()
        sealing.countersign(build.NOW)
        assert [content == papers.signed() for content in tried] == [True, False]
        monkeypatch.setattr(seals, "seal", lambda content, **_: content + b"sealed")
        assert sealing.countersign(build.NOW) == 2

    def test_run_seals_so_many_the_oldest_first(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, _ = signed_by(by), other_agreement()
        with build.as_owner():
            earlier = build.NOW - timedelta(minutes=1)
            Agreement.objects.filter(pk=first.pk).update(signed_at=earlier)
        monkeypatch.setattr(sealing, "MOST_IN_A_RUN", 1)
        as_duty()
        assert sealing.countersign(build.NOW) == 1
        assert Agreement.objects.get(state=State.IN_FORCE) == first

    def test_two_runs_at_once_are_one(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        signed_by(by)
        monkeypatch.setattr(turns, "_ask", lambda *_: False)
        as_duty()
        assert sealing.countersign(build.NOW) == 0
        assert only().state == State.SIGNED


class TestAlert:
    """Whatever the reason, somebody is told of a version that waits."""

    def test_held_version_is_told_once_and_closed_when_it_waits_no_more(
        self, by: Membership, settings: Any
    ) -> None:
        settings.AGREEMENT_COUNTERSIGNING = "staff"
        row = signed_by(by)
        as_duty()
        sealing.countersign(LATER - timedelta(seconds=1))
        assert not Alert.objects.exists()
        for _ in range(2):
            sealing.countersign(LATER)
        alert = Alert.objects.get()
        assert (alert.kind, alert.subject, alert.count) == (sealing.UNSEALED, str(row.pk), 1)
        with build.as_owner():
            Agreement.objects.update(state=State.WITHDRAWN, closed_at=LATER)
        sealing.countersign(LATER)
        alert.refresh_from_db()
        assert alert.resolved_at is not None
