# SPDX-License-Identifier: AGPL-3.0-or-later
"""Agreements through their pages: read, issued, signed, downloaded, in every standing."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client

from accounts import stepup
from accounts.limits import Limit
from accounts.models import AuditEvent, Membership, Organisation, Role, User
from accounts.tenancy import organisation_context
from dpa import offering, press, sealing, signatories, texts
from dpa.models import Agreement, AgreementEvent, Document, Signatory
from gdpr.documents import BoundedError
from tests import build
from tests.accounts.visiting import at, leads_to, prove, visit
from tests.dpa import papers
from tests.dpa.conftest import membership

pytestmark = pytest.mark.django_db

State = Agreement.State


@pytest.fixture(autouse=True)
def _quick_press(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is set once for all tests; what it is filled with is tested by itself."""
    papers.issued()
    monkeypatch.setattr(press, "make_pdf", lambda facts: papers.issued() + _mark(facts))


def _mark(facts: dict[str, Any]) -> bytes:
    return f"%{facts['id']}\n".encode()


@pytest.fixture
def browser(by: Membership, anna: User) -> Client:
    client = visit(anna)
    prove(client)
    return client


def issued(browser: Client) -> Agreement:
    browser.post(at("dpa:issue"))
    with build.as_owner():
        return Agreement.objects.latest("number")


def signed(browser: Client) -> Agreement:
    row = issued(browser)
    browser.post(at("dpa:sign", row.id), declared(row))
    return row


def declared(row: Agreement, **fields: str) -> dict[str, str]:
    with build.as_owner():
        digest = bytes(row.documents.get(kind="offered").sha256).hex()
    shown = {"document": digest, "declared": texts.signing_reference("en")}
    return shown | {"authority": "on", "terms": "on"} | fields


def state(row: Agreement) -> str:
    with build.as_owner():
        row.refresh_from_db()
    return str(row.state)


@pytest.fixture
def worker() -> Callable[[], int]:
    """Does what the worker does, as its role."""

    def countersign() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE duty")
            done = sealing.countersign(build.NOW)
            cursor.execute("SET ROLE web")
        return done

    return countersign


class TestSigning:
    def test_from_reading_to_in_force(self, browser: Client, worker: Any) -> None:
        page = browser.get(at("dpa:agreements")).text
        assert "No agreement is in force yet." in page
        answer = browser.post(at("dpa:issue"))
        with build.as_owner():
            row = Agreement.objects.get()
        assert leads_to(answer, "dpa:sign", row.id)
        digest = sha256(papers.issued() + _mark(row.facts)).hexdigest()
        page = browser.get(at("dpa:sign", row.id)).text
        assert page.count(digest) == 2  # to read, and to be posted back
        answer = browser.post(at("dpa:sign", row.id), declared(row))
        assert leads_to(answer, "dpa:agreements")
        assert "Our seal follows" in browser.get(at("dpa:agreements")).text
        assert worker() == 1
        page = browser.get(at("dpa:agreements")).text
        assert "Version 1 is in force" in page
        assert state(row) == State.IN_FORCE

    def test_press_that_stands_still_is_told_and_changes_nothing(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stand(*args: object, **kwargs: object) -> bytes:
            raise BoundedError("took too long", spent=True)

        monkeypatch.setattr(press, "make_pdf", stand)
        answer = browser.post(at("dpa:issue"), follow=True)
        assert "could not be made just now" in answer.text
        with build.as_owner():
            assert not Agreement.objects.exists()
        monkeypatch.undo()
        papers.issued()
        monkeypatch.setattr(press, "make_pdf", lambda facts: papers.issued() + _mark(facts))
        row = issued(browser)
        monkeypatch.setattr("gdpr.seals.sign_as_person", stand)
        answer = browser.post(at("dpa:sign", row.id), declared(row), follow=True)
        assert "could not be made just now" in answer.text
        assert state(row) == State.OFFERED

    def test_same_version_is_issued_once(self, browser: Client) -> None:
        assert issued(browser) == issued(browser)

    @pytest.mark.parametrize("missing", ["authority", "terms", "document", "declared"])
    def test_nothing_is_signed_without_every_declaration(
        self, browser: Client, missing: str
    ) -> None:
        row = issued(browser)
        fields = declared(row)
        del fields[missing]
        assert browser.post(at("dpa:sign", row.id), fields).status_code == 200
        assert state(row) == State.OFFERED

    def test_hash_of_another_document_signs_nothing(self, browser: Client) -> None:
        row = issued(browser)
        answer = browser.post(at("dpa:sign", row.id), declared(row, document="0" * 64), follow=True)
        assert "not the document that you saw" in answer.text
        assert state(row) == State.OFFERED

    def test_step_up_comes_first(self, by: Membership, anna: User, browser: Client) -> None:
        row = issued(browser)
        stale = visit(anna)
        for answer in (
            stale.get(at("dpa:sign", row.id)),
            stale.post(at("dpa:sign", row.id), declared(row)),
        ):
            assert leads_to(answer, "accounts:step-up")
        assert state(row) == State.OFFERED

    def test_accepted_terms_and_proof_are_in_the_evidence(
        self, browser: Client, anna: User
    ) -> None:
        build.second_factor(anna)
        client = visit(anna)
        prove(client, stepup.SECOND_FACTOR)
        row = signed(client)
        with build.as_owner():
            event = AgreementEvent.objects.get(agreement=row, act="signed")
        assert "authenticated:second-factor" in event.evidence
        assert f"terms:{texts.signing_reference('en')}" in event.evidence
        assert any(word.startswith("proved:") for word in event.evidence)

    def test_version_of_somebody_else_says_so(
        self, browser: Client, organisation: Organisation
    ) -> None:
        row = issued(browser)
        second = build.person("Sara", "Ejer")
        build.member(organisation, second, Role.OWNER)
        client = visit(second)
        prove(client)
        page = client.get(at("dpa:sign", row.id)).text
        assert "made for somebody else to sign" in page
        assert "Issue it in my name" in client.get(at("dpa:agreements")).text
        assert issued(client).signatory_id == second.id
        assert state(row) == State.WITHDRAWN

    def test_member_named_by_an_owner_signs(
        self, by: Membership, bo: User, browser: Client
    ) -> None:
        member = membership(bo)
        assert visit(bo).get(at("dpa:agreements")).status_code == 403
        browser.post(at("dpa:signatories"), {"member": member.id})
        client = visit(bo)
        prove(client)
        row = signed(client)
        assert (state(row), row.signatory_name) == (State.SIGNED, "Bo Krog")

    def test_it_is_audited(self, browser: Client, worker: Any) -> None:
        signed(browser)
        worker()
        with build.as_owner():
            acts = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
        assert acts == [
            "agreement.offered",
            "agreement.signed",
            "organisation.sending-allowed",
            "agreement.in-force",
        ]
        page = browser.get(at("accounts:audit-trail")).text
        for words in ("Agreement: issued", "Agreement: signed", "Agreement: in force"):
            assert words in page

    def test_version_that_is_out_of_date_is_issued_anew_and_signed(
        self, browser: Client, anna: User
    ) -> None:
        first = issued(browser)
        assert at("dpa:issue") not in browser.get(at("dpa:agreements")).text
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(title="Direktør")
        assert "Issue it anew" in browser.get(at("dpa:agreements")).text
        for answer in (
            browser.get(at("dpa:sign", first.id)),
            browser.post(at("dpa:sign", first.id), declared(first)),
        ):
            assert "Something in the agreement has changed" in answer.text
            assert at("dpa:issue") in answer.text
        second = signed(browser)
        assert (state(first), state(second)) == (State.WITHDRAWN, State.SIGNED)
        assert second.signatory_title == "Direktør"

    def test_declarations_that_were_not_shown_sign_nothing(self, browser: Client) -> None:
        row = issued(browser)
        other = declared(row, declared=texts.signing_reference("da"))
        answer = browser.post(at("dpa:sign", row.id), other, follow=True)
        assert "declarations are not the ones that you saw" in answer.text
        assert texts.signing_reference("en") in answer.text
        assert state(row) == State.OFFERED

    @pytest.mark.parametrize("name", ["document", "declared"])
    @pytest.mark.parametrize("value", ["0" * 65, "é", "0" * 64 + "\n"])
    def test_whatever_a_browser_posts_is_answered(
        self, browser: Client, name: str, value: str
    ) -> None:
        row = issued(browser)
        answer = browser.post(at("dpa:sign", row.id), declared(row, **{name: value}), follow=True)
        assert answer.status_code == 200
        assert state(row) == State.OFFERED

    def test_signed_version_is_taken_back_and_another_made(self, browser: Client) -> None:
        row = signed(browser)
        answer = browser.post(at("dpa:issue"), follow=True)
        assert "awaits our seal" in answer.text
        assert at("dpa:withdraw", row.id) in answer.text
        assert "Take version 1 back?" in browser.get(at("dpa:withdraw", row.id)).text
        answer = browser.post(at("dpa:withdraw", row.id), follow=True)
        assert "Version 1 is taken back." in answer.text
        assert state(row) == State.WITHDRAWN
        assert "cannot be signed any more" in browser.get(at("dpa:sign", row.id)).text
        assert issued(browser).number == 2

    def test_how_long_the_seal_takes_is_said_as_it_is(self, browser: Client, settings: Any) -> None:
        settings.AGREEMENT_COUNTERSIGNING = "staff"
        assert "our seal follows by itself" not in browser.get(at("dpa:agreements")).text
        row = issued(browser)
        answer = browser.post(at("dpa:sign", row.id), declared(row), follow=True)
        assert "Signed. A person at our end sets our seal" in answer.text
        assert "follows by itself" not in answer.text
        assert "follows by itself" not in browser.get(at("home")).text

    def test_so_many_versions_are_issued_in_an_hour(
        self, browser: Client, anna: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(offering, "ISSUES", Limit("agreement-issues", ((1, 3600),)))
        issued(browser)
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(title="Direktør")
        assert "Too many tries" in browser.post(at("dpa:issue"), follow=True).text
        with build.as_owner():
            assert Agreement.objects.count() == 1


class TestReading:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"facts": {**build.AGREED, "court": "Retten i Andeby"}}, "what fills the text"),
            ({"signatory_name": "Andrea And"}, "the signatory is not"),
        ],
    )
    def test_version_that_says_something_else_than_was_issued_is_told(
        self, browser: Client, change: dict[str, Any], words: str
    ) -> None:
        row = issued(browser)
        assert "does not add up" not in browser.get(at("dpa:agreement", row.id)).text
        with build.as_owner():
            Agreement.objects.update(**change)
        page = browser.get(at("dpa:agreement", row.id)).text
        assert "does not add up" in page
        assert words in page

    def test_version_whose_text_was_changed_is_told(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = issued(browser)
        monkeypatch.setattr("dpa.texts.digest", lambda *_: "0" * 64)
        page = browser.get(at("dpa:agreement", row.id)).text
        assert "the text is not the one that was issued" in page

    def test_page_and_pdf_have_the_same_words(self, browser: Client) -> None:
        page = browser.get(at("dpa:draft")).text
        assert "Duehuset ApS" in page
        assert "senest 24 timer" in page
        assert page.count('class="clause"') == 14
        assert 'lang="da"' in page
        row = issued(browser)
        assert 'class="clause"' in browser.get(at("dpa:agreement", row.id)).text

    def test_missing_address_is_asked_for(self, browser: Client) -> None:
        with build.as_owner():
            Organisation.objects.filter(name="Duehuset ApS").update(city="")
        assert at("accounts:organisation") in browser.get(at("dpa:agreements")).text
        browser.post(at("dpa:issue"))
        with build.as_owner():
            assert not Agreement.objects.exists()

    def test_change_of_a_figure_is_told(self, browser: Client, worker: Any, settings: Any) -> None:
        signed(browser)
        worker()
        assert "no longer says all that is so" not in browser.get(at("dpa:agreements")).text
        settings.VAT_PERCENT = 24
        page = browser.get(at("dpa:agreements")).text
        assert "no longer says all that is so" in page
        assert "the price of assistance" in page

    def test_altered_record_is_shown(self, browser: Client) -> None:
        row = issued(browser)
        with build.as_owner():
            AgreementEvent.objects.update(evidence=["document:0"])
        assert "does not add up" in browser.get(at("dpa:agreement", row.id)).text

    def test_hostile_names_appear_literally(self, browser: Client) -> None:
        with build.as_owner():
            Organisation.objects.update(name="<script>alert(1)</script>")
        page = browser.get(at("dpa:draft")).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


class TestDownload:
    def test_is_there_in_every_standing(self, browser: Client, worker: Any) -> None:
        row = signed(browser)
        worker()
        with build.as_owner():
            content = bytes(Document.objects.get(agreement=row, kind="complete").content)
        for standing in Organisation.Standing.values:
            with build.as_owner():
                Organisation.objects.update(standing=standing)
            answer = browser.get(at("dpa:document", row.id))
            assert answer.content == content, standing
            assert browser.get(at("dpa:agreements")).status_code == 200, standing
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"].startswith("attachment")

    @pytest.mark.parametrize("standing", ["closing", "closed"])
    def test_is_reached_when_the_last_owner_of_a_closing_organisation_has_left(
        self, browser: Client, worker: Any, organisation: Organisation, standing: str
    ) -> None:
        row = signed(browser)
        worker()
        admin = build.person("Sara", "Bestyrer")
        build.member(organisation, admin, Role.ADMIN)
        with build.as_owner():
            Organisation.objects.update(standing=standing)
            Membership.objects.filter(role="owner").delete()
        client = visit(admin)
        assert at("dpa:document", row.id) in client.get(at("dpa:agreements")).text
        answer = client.get(at("dpa:draft"), follow=True)
        assert "nothing more to agree on" in answer.text

    def test_owner_of_another_organisation_finds_nothing(self, browser: Client, carl: User) -> None:
        row = signed(browser)
        client = visit(carl)
        prove(client)
        for name in ("dpa:agreement", "dpa:document", "dpa:sign"):
            assert client.get(at(name, row.id)).status_code == 404
        assert "Version 1" not in client.get(at("dpa:agreements")).text


class TestSignatories:
    def test_withdrawn_may_not_sign(self, by: Membership, bo: User, browser: Client) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id):
            signatories.name(membership(bo), by=by)
        row = _only_signatory()
        assert visit(bo).get(at("dpa:agreements")).status_code == 200
        browser.post(at("dpa:signatory-withdraw", row))
        assert visit(bo).get(at("dpa:agreements")).status_code == 403

    def test_step_up_comes_before_a_right_is_taken_away(
        self, by: Membership, anna: User, bo: User
    ) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id):
            signatories.name(membership(bo), by=by)
        row = _only_signatory()
        answer = visit(anna).post(at("dpa:signatory-withdraw", row))
        assert leads_to(answer, "accounts:step-up")
        assert _only_signatory() == row

    def test_member_of_another_organisation_cannot_be_named(
        self, browser: Client, carl: User
    ) -> None:
        other = membership(carl)
        assert browser.post(at("dpa:signatories"), {"member": other.id}).status_code == 200
        with build.as_owner():
            assert not Signatory.objects.exists()


def _only_signatory() -> UUID:
    with build.as_owner():
        return Signatory.objects.get().id
