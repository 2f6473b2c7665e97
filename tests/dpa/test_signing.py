# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a version that is issued to one that both have signed, and everything that stops it."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import vault
from accounts.models import (
    Alert,
    AuditEvent,
    Membership,
    Organisation,
    OutgoingMail,
    Role,
    User,
)
from accounts.refusals import NotAllowed
from accounts.tenancy import organisation_context
from dpa import expiry, lineage, offering, signatories, signing, terms, texts
from dpa.models import Agreement, AgreementEvent, Document, OfferedText, Signatory
from gdpr import seals
from tests import build
from tests.dpa import papers
from tests.dpa.conftest import membership

pytestmark = pytest.mark.django_db

State = Agreement.State
Reason = Organisation.SendingReason
JUNK = b"%PDF-1.7 as issued"


def only() -> Agreement:
    return Agreement.objects.get()


def letters() -> list[dict[str, Any]]:
    rows = OutgoingMail.objects.filter(kind__startswith="dpa/")
    return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


@pytest.mark.usefixtures("inside")
class TestIssuing:
    def test_version_is_stored_with_its_bytes_and_their_hash(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        document = Document.objects.get()
        assert (row.number, row.state, row.signatory_id) == (1, State.OFFERED, by.user_id)
        assert bytes(document.content) == JUNK
        assert bytes(document.sha256) == sha256(JUNK).digest()
        assert list(lineage.faults(row)) == []

    def test_unsigned_version_goes_when_a_new_one_is_issued(self, by: Membership) -> None:
        first = papers.offer(by, JUNK)
        second = papers.offer(by, JUNK + b"2")
        first.refresh_from_db()
        assert (first.state, first.closed_at) == (State.WITHDRAWN, build.NOW)
        assert (second.number, offering.open_version(by.organisation_id)) == (2, second)

    def test_same_words_for_the_same_person_are_not_issued_twice(
        self, by: Membership, settings: Any
    ) -> None:
        row = papers.offer(by, JUNK)
        assert offering.reusable(by, offering.draft(by, build.NOW)) == row
        settings.VAT_PERCENT = 24
        assert offering.reusable(by, offering.draft(by, build.NOW)) is None

    def test_two_at_once_make_one(self, by: Membership) -> None:
        first, second = (offering.draft(by, build.NOW) for _ in range(2))
        offering.issue(first, JUNK, by=by, now=build.NOW)
        with pytest.raises(offering.Overtaken):
            offering.issue(second, JUNK + b"2", by=by, now=build.NOW)
        assert only().number == 1

    def test_nothing_is_issued_while_our_seal_is_awaited(self, by: Membership) -> None:
        papers.sign(papers.offer(by, JUNK), by, JUNK)
        with pytest.raises(offering.Overtaken):
            papers.offer(by, JUNK + b"2")

    def test_text_that_was_offered_cannot_be_changed(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        papers.offer(by, JUNK)
        OfferedText.objects.get(language="da", version="1", digest=texts.digest("da", "1"))
        monkeypatch.setattr("dpa.texts.digest", lambda *_: "0" * 64)
        texts.load.cache_clear()
        with pytest.raises(offering.TextChanged):
            papers.offer(by, JUNK + b"2")
        texts.load.cache_clear()

    def test_without_an_address_nothing_can_be_agreed(self, by: Membership) -> None:
        by.organisation.city = ""
        with pytest.raises(offering.Incomplete):
            offering.demand_possible(by)

    @pytest.mark.parametrize("standing", ["closing", "closed"])
    def test_who_is_leaving_agrees_on_nothing_new(self, by: Membership, standing: str) -> None:
        by.organisation.standing = Organisation.Standing(standing)
        with pytest.raises(offering.Ending):
            offering.demand_possible(by)


class TestWhoMaySign:
    def test_owner_may_others_may_not(self, organisation: Organisation, by: Membership) -> None:
        roles = {}
        for role in Role:
            person = build.person(role.value, "Medlem")
            roles[role] = build.member(organisation, person, role)
        with organisation_context(organisation.id):
            may = {role for role, row in roles.items() if signatories.may_sign(row)}
            reads = {role for role, row in roles.items() if signatories.may_read(row)}
        assert may == {Role.OWNER}
        assert reads == {Role.OWNER, Role.ADMIN, Role.PRIVACY}

    def test_member_whom_an_owner_named_may(self, by: Membership, bo: User) -> None:
        member = membership(bo)
        with organisation_context(by.organisation_id, person_id=by.user_id):
            assert list(signatories.nameable(by)) == [member]
            signatories.name(member, by=by)
            signatories.name(member, by=by)
            assert signatories.may_sign(member)
            assert list(signatories.nameable(by)) == []
            signatories.withdraw(Signatory.objects.get(), by=by)
            assert not signatories.may_sign(member)

    def test_only_an_owner_names(self, by: Membership, bo: User) -> None:
        member = membership(bo)
        with organisation_context(by.organisation_id), pytest.raises(NotAllowed):
            signatories.name(member, by=member)
        with organisation_context(by.organisation_id, person_id=by.user_id):
            signatories.name(member, by=by)
            with pytest.raises(NotAllowed):
                signatories.withdraw(Signatory.objects.get(), by=member)

    def test_right_goes_with_the_membership(self, by: Membership, bo: User) -> None:
        member = membership(bo)
        with organisation_context(by.organisation_id, person_id=by.user_id):
            signatories.name(member, by=by)
        with build.as_owner():
            member.delete()
            assert not Signatory.objects.exists()

    def test_whoever_waits_to_be_let_in_cannot_be_named(
        self, organisation: Organisation, by: Membership
    ) -> None:
        ida = build.person("Ida", "Venter")
        member = build.member(organisation, ida, Role.VIEWER, approved_at=None)
        with organisation_context(organisation.id, person_id=by.user_id):
            assert not signatories.nameable(by).exists()
            with pytest.raises(NotAllowed):
                signatories.name(member, by=by)


@pytest.mark.usefixtures("inside")
class TestSigning:
    def test_gives_the_bytes_that_the_person_saw(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        words = papers.declaration(JUNK)
        assert signing.content_to_sign(row, words, by=by, now=build.NOW) == JUNK

    def test_another_hash_signs_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with pytest.raises(signing.OtherDocument):
            signing.content_to_sign(row, papers.declaration(b"other"), by=by, now=build.NOW)

    def test_bytes_that_changed_on_the_disk_sign_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with build.as_owner():
            Document.objects.update(content=b"%PDF- forged")
        for seen in (JUNK, b"%PDF- forged"):
            with pytest.raises(signing.OtherDocument):
                signing.content_to_sign(row, papers.declaration(seen), by=by, now=build.NOW)

    def test_what_is_out_of_date_is_not_signed(self, by: Membership, settings: Any) -> None:
        row = papers.offer(by, JUNK)
        settings.VAT_PERCENT = 24
        with pytest.raises(signing.OutOfDate):
            signing.content_to_sign(row, papers.declaration(JUNK), by=by, now=build.NOW)

    def test_another_person_does_not_sign_in_this_ones_name(
        self, by: Membership, organisation: Organisation
    ) -> None:
        row = papers.offer(by, JUNK)
        second = build.person("Sara", "Ejer")
        other = build.member(organisation, second, Role.OWNER)
        with pytest.raises(signing.OtherSignatory):
            signing.demand_signable(row, by=other)

    def test_evidence_is_kept_without_a_value_of_a_person(self, by: Membership) -> None:
        row = papers.sign(papers.offer(by, JUNK), by, JUNK)
        event = AgreementEvent.objects.get(act=AgreementEvent.Act.SIGNED)
        digest = texts.signing_digest("da")
        assert (row.state, row.signed_at) == (State.SIGNED, build.NOW)
        assert event.evidence == [
            f"seen:{sha256(JUNK).hexdigest()}",
            f"terms:da/1/{digest}",
            "authority:stated",
            "authenticated:password",
            f"document:{sha256(JUNK + b'signed').hexdigest()}",
        ]

    def test_is_done_once(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        papers.sign(row, by, JUNK)
        with pytest.raises(signing.AlreadySigned):
            papers.sign(row, by, JUNK + b"2")

    def test_is_audited(self, by: Membership) -> None:
        papers.sign(papers.offer(by, JUNK), by, JUNK)
        acts = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
        assert acts == ["agreement.offered", "agreement.signed"]

    def test_signature_names_person_position_and_organisation(self, by: Membership) -> None:
        by.user.title = "Direktør"
        row = papers.offer(by, papers.issued())
        signed = signing.set_signature(row, papers.issued(), build.NOW)
        (found,) = seals.verify(signed, now=build.NOW).signatures
        assert (found.signer, found.title, found.organisation) == (
            "Anna Due", "Direktør", "Duehuset ApS",
        )  # fmt: skip
        assert found.certifies
        assert found.sound


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
        assert signing.countersign(build.NOW) == 1
        row = only()
        organisation = Organisation.objects.get(pk=row.organisation_id)
        assert (row.state, row.in_force_at) == (State.IN_FORCE, build.NOW)
        assert (organisation.sending_allowed, organisation.sending_reason) == (
            True, Reason.AGREEMENT,
        )  # fmt: skip
        assert list(lineage.faults(row)) == []

    def test_document_carries_both_signatures_and_holds_its_predecessors(self) -> None:
        signing.countersign(build.NOW)
        kept = {row.kind: bytes(row.content) for row in Document.objects.all()}
        assert kept["complete"].startswith(kept["signed"])
        assert kept["signed"].startswith(kept["offered"])
        found = seals.verify(kept["complete"], now=build.NOW)
        assert found.sound
        assert [s.field for s in found.signatures] == ["controller", "processor"]
        assert found.awaiting == ("Tidsstempel",)

    def test_both_parties_get_it_by_mail(self) -> None:
        signing.countersign(build.NOW)
        sent = {letter["to"]: letter for letter in letters()}
        assert set(sent) == {"anna@due.example", "privacy@brevdue.example"}
        (name, kind, content) = sent["anna@due.example"]["enclosures"][0]
        assert (name, kind) == ("databehandleraftale.pdf", "application/pdf")
        complete = bytes(Document.objects.get(kind="complete").content)
        assert base64.b64decode(content) == complete

    def test_is_done_once(self) -> None:
        assert [signing.countersign(build.NOW) for _ in range(2)] == [1, 0]
        assert Document.objects.filter(kind="complete").count() == 1

    def test_what_staff_stopped_stays_stopped(self) -> None:
        Organisation.objects.update(sending_reason=Reason.STAFF, sending_allowed=False)
        signing.countersign(build.NOW)
        assert not Organisation.objects.get(pk=self.row.organisation_id).sending_allowed

    def test_waits_for_staff_where_settings_say_so(self, settings: Any) -> None:
        settings.AGREEMENT_COUNTERSIGNING = "staff"
        assert signing.countersign(build.NOW) == 0
        row = only()
        assert signing.awaits_release(row)
        signing.release(row, build.NOW)
        assert not signing.awaits_release(row)
        assert signing.countersign(build.NOW) == 1

    def test_seal_that_cannot_be_set_raises_an_alert_and_is_tried_again(
        self, settings: Any
    ) -> None:
        settings.SEAL_PKCS12 = "/no/such/file.p12"
        assert signing.countersign(build.NOW) == 0
        assert (only().state, Alert.objects.get().kind) == (State.SIGNED, "agreement-unsealed")
        settings.SEAL_PKCS12 = ""
        assert signing.countersign(build.NOW) == 1
        assert Alert.objects.get().resolved_at is not None

    def test_later_version_replaces_the_one_in_force(self, by: Membership) -> None:
        signing.countersign(build.NOW)
        first = only()
        again = papers.complete() + b"\n%again\n"
        with organisation_context(by.organisation_id, person_id=by.user_id):
            second = papers.offer(by, again)
        # The bytes of a second version differ, or they could not be told apart.
        with build.as_owner():
            Agreement.objects.filter(pk=second.pk).update(state=State.SIGNED)
            signing._bring_into_force(second.pk, again + b"sealed", build.NOW)
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.state, second.state) == (State.SUPERSEDED, State.IN_FORCE)
        assert first.closed_at == build.NOW


class TestKeeping:
    @pytest.mark.parametrize("role", ["web", "staff", "duty"])
    def test_nobody_changes_bytes_or_events(
        self, role: str, organisation: Organisation, anna: User
    ) -> None:
        build.everything_of(organisation, anna)
        with organisation_context(organisation.id), connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")
            for model, change in ((Document, {"kind": "x"}), (AgreementEvent, {"act": "x"})):
                assert model.objects.count() == 1
                with pytest.raises(DatabaseError), transaction.atomic():
                    model.objects.update(**change)

    @pytest.mark.usefixtures("inside")
    def test_altered_or_missing_event_shows(self, by: Membership) -> None:
        row = papers.sign(papers.offer(by, JUNK), by, JUNK)
        with build.as_owner():
            AgreementEvent.objects.filter(sequence=1).update(at=build.NOW + timedelta(seconds=1))
        assert list(lineage.faults(row)) == ["event 1 was altered"]
        with build.as_owner():
            AgreementEvent.objects.filter(sequence=1).delete()
        assert list(lineage.faults(row)) == ["event 2 does not follow the one before"]

    @pytest.mark.as_role("duty")
    @pytest.mark.parametrize(
        ("state", "days"),
        [("withdrawn", terms.UNSIGNED_KEPT_DAYS), ("superseded", terms.KEPT_DAYS)],
    )
    def test_forgotten_at_the_end_of_its_period_and_not_before(
        self, organisation: Organisation, state: str, days: int
    ) -> None:
        with build.as_owner():
            build.agreement(organisation, state=state)
        end = build.NOW + timedelta(days=days)
        assert expiry.forget(end - timedelta(seconds=1)) == 0
        assert (expiry.count_due(end), expiry.forget(end)) == (1, 1)
        assert not Agreement.objects.exists()
        assert not Document.objects.exists()

    @pytest.mark.as_role("duty")
    def test_agreement_in_force_is_kept(self, organisation: Organisation) -> None:
        with build.as_owner():
            build.agreement(organisation, state="in_force", closed_at=None)
        assert expiry.forget(build.NOW + timedelta(days=100_000)) == 0
