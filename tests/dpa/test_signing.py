# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a version that is issued to one that both have signed, and everything that stops it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts import vault
from accounts.models import (
    AuditEvent,
    Membership,
    Organisation,
    Role,
    User,
)
from accounts.refusals import NotAllowed
from accounts.tenancy import organisation_context
from dpa import lineage, offering, signatories, signing, texts
from dpa.models import Agreement, AgreementEvent, Document, OfferedText, Signatory
from gdpr import seals
from tests import build
from tests.dpa import papers
from tests.dpa.conftest import membership

pytestmark = pytest.mark.django_db

State = Agreement.State
JUNK = b"%PDF-1.7 as issued"


def only() -> Agreement:
    return Agreement.objects.get()


def to_sign(row: Agreement, words: signing.Declaration, by: Membership) -> bytes:
    return signing.content_to_sign(row, words, language="da", by=by, now=build.NOW)


@pytest.mark.usefixtures("inside")
class TestIssuing:
    def test_version_is_stored_with_its_bytes_and_their_hash(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        document = Document.objects.get()
        assert (row.number, row.state, row.signatory_id) == (1, State.OFFERED, by.user_id)
        assert bytes(document.content) == JUNK
        assert bytes(document.sha256) == sha256(JUNK).digest()
        assert list(lineage.faults(row)) == []

    def test_owner_whom_it_says_to_write_to_is_known_where_another_signs(
        self, by: Membership, bo: User
    ) -> None:
        """Or nobody would find her when she asks what is kept of her."""
        assert papers.offer(by, JUNK).contact is None
        member = membership(bo)
        signatories.name(member, by=by)
        with organisation_context(by.organisation_id, person_id=bo.pk):
            row = papers.offer(member, JUNK + b"2")
        assert row.facts["contacts"]["controller"]["name"] == "Anna Due"
        assert (row.signatory, row.contact) == (bo, by.user)

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
        with pytest.raises(offering.SealAwaited):
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
        assert to_sign(row, words, by) == JUNK

    def test_another_hash_signs_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with pytest.raises(signing.OtherDocument):
            to_sign(row, papers.declaration(b"other"), by)

    def test_bytes_that_changed_on_the_disk_sign_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with build.as_owner():
            Document.objects.update(content=b"%PDF- forged")
        for seen in (JUNK, b"%PDF- forged"):
            with pytest.raises(signing.OtherDocument):
                to_sign(row, papers.declaration(seen), by)

    def test_what_is_out_of_date_is_not_signed(self, by: Membership, settings: Any) -> None:
        row = papers.offer(by, JUNK)
        settings.VAT_PERCENT = 24
        with pytest.raises(signing.OutOfDate):
            to_sign(row, papers.declaration(JUNK), by)

    def test_what_went_out_of_date_while_the_signature_was_set_is_not_recorded(
        self, by: Membership, settings: Any
    ) -> None:
        row = papers.offer(by, JUNK)
        settings.VAT_PERCENT = 24
        with pytest.raises(signing.OutOfDate):
            papers.sign(row, by, JUNK)
        assert only().state == State.OFFERED

    def test_right_that_was_taken_away_meanwhile_signs_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with build.as_owner():
            Membership.objects.filter(pk=by.pk).update(role=Role.VIEWER)
        with pytest.raises(NotAllowed):
            papers.sign(row, by, JUNK)

    def test_organisation_that_began_to_leave_meanwhile_signs_nothing(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with build.as_owner():
            Organisation.objects.update(standing=Organisation.Standing.CLOSING)
        with pytest.raises(offering.Ending):
            papers.sign(row, by, JUNK)

    @pytest.mark.parametrize("terms", ["en/1/{}", "da/2/{}", "da/1/" + "0" * 64])
    def test_other_declarations_than_those_shown_sign_nothing(
        self, by: Membership, terms: str
    ) -> None:
        row = papers.offer(by, JUNK)
        words = papers.declaration(JUNK, terms=terms.format(texts.signing_digest("da")))
        with pytest.raises(signing.OtherTerms):
            to_sign(row, words, by)

    def test_version_is_taken_back_before_and_after_the_signature(self, by: Membership) -> None:
        for content in (JUNK, JUNK + b"2"):
            row = papers.offer(by, content)
            if content != JUNK:
                papers.sign(row, by, content)
            taken = signing.withdraw(row.id, by=by, now=build.NOW)
            assert (taken.state, taken.closed_at) == (State.WITHDRAWN, build.NOW)
            assert list(lineage.faults(taken)) == []
        assert offering.open_version(by.organisation_id) is None

    def test_what_is_in_force_is_not_taken_back(self, by: Membership) -> None:
        row = papers.offer(by, JUNK)
        with build.as_owner():
            Agreement.objects.update(state=State.IN_FORCE)
        with pytest.raises(signing.TooLate):
            signing.withdraw(row.id, by=by, now=build.NOW)

    def test_only_who_may_sign_takes_back(self, by: Membership, bo: User) -> None:
        row = papers.offer(by, JUNK)
        with pytest.raises(NotAllowed):
            signing.withdraw(row.id, by=membership(bo), now=build.NOW)

    @pytest.mark.parametrize("fault", [seals.FieldError, vault.VaultError, seals.SealKeysError])
    def test_fault_of_the_keys_is_told_without_its_words(
        self, fault: type[Exception], caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(signing.NotNow), signing.unless_the_press_stands():
            raise fault("Anna Due")
        assert fault.__name__ in caplog.text
        assert "Anna" not in caplog.text

    def test_another_person_does_not_sign_in_this_ones_name(
        self, by: Membership, organisation: Organisation
    ) -> None:
        row = papers.offer(by, JUNK)
        second = build.person("Sara", "Ejer")
        other = build.member(organisation, second, Role.OWNER)
        with pytest.raises(signing.OtherSignatory):
            signing.demand_signable(row, by=other, now=build.NOW)

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
            f"proved:{build.NOW.isoformat(timespec='seconds')}",
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


class TestKeeping:
    @pytest.mark.parametrize("role", ["web", "staff", "duty"])
    def test_nobody_changes_what_a_version_says(
        self, role: str, organisation: Organisation, anna: User
    ) -> None:
        build.everything_of(organisation, anna)
        with organisation_context(organisation.id), connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")
            changes: list[dict[str, Any]] = [{"facts": {}}, {"signatory_name": "x"}, {"number": 7}]
            for change in changes:
                with pytest.raises(DatabaseError), transaction.atomic():
                    Agreement.objects.update(**change)

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


@pytest.mark.django_db(transaction=True)
def test_signature_and_new_version_at_once_wait_for_each_other(
    by: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new version comes first by a second; the signature finds its own withdrawn."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        first = papers.offer(by, JUNK)
    begun, answers, withdraw_open = threading.Event(), list[Exception](), offering._withdraw_open

    def slowly(*values: Any) -> None:
        begun.set()
        time.sleep(1)
        withdraw_open(*values)

    def sign() -> None:
        begun.wait(60)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE web")
            with organisation_context(by.organisation_id, person_id=by.user_id):
                papers.sign(first, by, JUNK)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is looked at below
            answers.append(fault)
        finally:
            connections.close_all()

    monkeypatch.setattr(offering, "_withdraw_open", slowly)
    other = threading.Thread(target=sign)
    other.start()
    with organisation_context(by.organisation_id, person_id=by.user_id):
        second = papers.offer(by, JUNK + b"2")
    other.join()
    assert [type(fault) for fault in answers] == [signing.Withdrawn]
    with build.as_owner():
        assert list(Agreement.objects.filter(state=State.OFFERED)) == [second]
