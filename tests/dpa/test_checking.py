# SPDX-License-Identifier: AGPL-3.0-or-later
"""A file that somebody holds is judged: genuine, changed, appended to, stripped, or never ours."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from pyhanko.pdf_utils.generic import NameObject, NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from accounts.limits import Limit
from accounts.models import Organisation
from dpa import checking
from dpa.checking import Judgement, judge
from dpa.models import Agreement, Document
from dpa.words import verdict
from gdpr import seals
from gdpr.erasing import certificate
from tests import build
from tests.accounts.visiting import at
from tests.dpa import papers

pytestmark = pytest.mark.django_db

FLIPS = 12


@pytest.fixture(autouse=True)
def on_file(organisation: Organisation) -> Agreement:
    """The agreement is on file as issued, signed and sealed."""
    with build.as_owner():
        row = build.agreement(organisation, state="in_force", closed_at=None)
        Document.objects.all().delete()
        for kind, content in (
            ("offered", papers.issued()),
            ("signed", papers.signed()),
            ("complete", papers.complete()),
        ):
            Document.objects.create(
                organisation=organisation,
                agreement=row,
                kind=kind,
                content=content,
                sha256=sha256(content).digest(),
                created_at=build.NOW,
            )
    return row


def rotated(pdf: bytes) -> bytes:
    """The file with a revision appended that turns a page, as any editor could."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    page, _ = writer.find_page_for_modification(0)
    page.get_object()[NameObject("/Rotate")] = NumberObject(180)
    writer.update_container(page.get_object())
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


class TestJudgement:
    def test_genuine_file(self) -> None:
        found = judge(papers.complete(), build.NOW)
        assert found.genuine
        assert verdict(found).tone == "success"

    def test_file_saved_before_our_seal(self) -> None:
        found = judge(papers.signed(), build.NOW)
        assert found.on_file is not None
        assert (found.on_file.kind, found.genuine) == (Document.Kind.SIGNED, False)
        assert verdict(found).tone == "warning"

    def test_appended_revision_is_found_by_signature_and_by_hash(self) -> None:
        found = judge(rotated(papers.complete()), build.NOW)
        assert not found.verification.sound
        assert all(signature.intact for signature in found.verification.signatures)
        assert found.on_file is None
        assert found.begins_with is not None
        assert found.begins_with.kind == Document.Kind.COMPLETE
        assert "changed or added after" in verdict(found).words

    def test_flipped_octets_are_found_wherever_they_are(self) -> None:
        """By hash always; by signature where one covers them."""
        pdf = papers.complete()
        places = random.Random(7).sample(range(len(pdf)), FLIPS)
        for place in places:
            altered = bytearray(pdf)
            altered[place] ^= 0x01
            found = checking._look_up(sha256(altered).digest())
            assert found is None, place

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
    def test_flipped_octet_says_which_signature_is_broken(self, share: float) -> None:
        altered = bytearray(papers.complete())
        start = int(len(papers.issued()) * share)
        altered[start] ^= 0x01
        found = judge(bytes(altered), build.NOW)
        assert not found.genuine
        assert not found.verification.sound
        assert verdict(found).tone == "error"

    def test_stripped_signatures(self) -> None:
        """What is left is what was issued, and the answer says that nobody has signed it."""
        found = judge(papers.issued(), build.NOW)
        assert found.on_file is not None
        assert found.on_file.kind == Document.Kind.OFFERED
        assert found.verification.signatures == ()
        assert not found.genuine

    def test_seal_of_another_installation(self, settings, tmp_path: Path) -> None:
        settings.SEAL_KEYS_URL = tmp_path.as_uri()
        found = judge(papers.complete(), build.NOW)
        assert not found.genuine
        assert found.on_file is not None
        assert verdict(found).tone == "warning"
        assert {signature.trust for signature in found.verification.signatures} == {
            seals.Trust.UNKNOWN
        }

    def test_same_words_signed_elsewhere_are_not_on_file(self) -> None:
        again = seals.sign_as_person(
            papers.issued(),
            field="controller",
            subject=papers.SUBJECT,
            reason="x",
            language="da",
            now=build.NOW,
        )
        found = judge(again, build.NOW)
        assert found.verification.sound
        assert found.on_file is None
        assert not found.genuine
        assert verdict(found).tone == "error"
        _judge_as_certificate(found)

    def test_file_that_never_was_ours(self) -> None:
        found = judge(b"%PDF-1.7\n%nothing\n%%EOF\n", build.NOW)
        assert not found.verification.readable
        assert verdict(found).tone == "error"

    @pytest.mark.parametrize(
        ("content", "refusal"),
        [
            (b"PK\x03\x04", checking.NoPdf),
            (b"", checking.NoPdf),
            (b"%PDF-" + bytes(checking.LARGEST), checking.TooLarge),
        ],
    )
    def test_what_cannot_be_ours_is_not_even_read(
        self, content: bytes, refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            judge(content, build.NOW)


def _judge_as_certificate(found: Judgement) -> None:
    """A sound seal in the field of certificates is good news; beside another it is none."""
    (signature,) = found.verification.signatures
    seal = replace(signature, field=certificate.FIELD)
    for signatures, tone in (((seal,), "success"), ((seal, signature), "error")):
        verification = replace(found.verification, signatures=signatures)
        assert verdict(Judgement(verification, None, None)).tone == tone


def upload(content: bytes) -> str:
    file = SimpleUploadedFile("aftale.pdf", content, "application/pdf")
    return Client().post(at("dpa:verify"), {"file": file}).text


class TestPage:
    def test_names_who_signed_and_says_that_it_is_on_file(self) -> None:
        page = upload(papers.complete())
        assert "This is the very document on file" in page
        for words in ("Anna Due", "Brevdue ApS segl", "Signature of the data controller"):
            assert words in page

    def test_says_of_a_changed_file_what_was_changed(self) -> None:
        page = upload(rotated(papers.complete()))
        assert "Something was changed or added" in page
        assert "something was added that it forbids" in page

    def test_refuses_what_is_no_pdf(self) -> None:
        assert "This is not a PDF" in upload(b"hello")

    def test_refuses_what_is_too_large(self) -> None:
        assert "larger than any of our documents" in upload(b"%PDF-" + bytes(checking.LARGEST))

    def test_keeps_nothing(self) -> None:
        upload(b"%PDF-1.7 other")
        with build.as_owner():
            assert Document.objects.count() == 3

    def test_slows_down_who_asks_too_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = Limit("agreement-checks", ((1, 300),))
        monkeypatch.setattr(checking, "CHECKS", limit)
        file = b"%PDF-1.7 other"
        upload(file)
        again = Client().post(at("dpa:verify"), {"file": SimpleUploadedFile("a.pdf", file)})
        assert again.status_code == 429
        assert int(again.headers["Retry-After"]) > 0

    def test_says_how_large_a_file_may_be_in_the_language_of_the_page(self) -> None:
        english, danish = (Client().get(f"{way}/agreements/verify/").text for way in ("/en", ""))
        assert "At most 5.0" in english
        assert "Højst 5,0" in danish

    def test_reading_sets_only_the_token(self) -> None:
        answer = Client().get(at("dpa:verify"))
        assert set(answer.cookies) <= {"csrftoken"}

    def test_gives_out_what_other_readers_need(self) -> None:
        root = Client().get(at("dpa:trust-root"))
        assert root.content.startswith(b"-----BEGIN CERTIFICATE-----")
        assert Client().get(at("dpa:schema")).headers["Content-Type"] == "application/schema+json"


class TestCommand:
    def test_succeeds_for_a_genuine_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(papers.complete())
        said = StringIO()
        call_command("verify_agreement", str(path), stdout=said)
        assert "Anna Due" in said.getvalue()
        assert sha256(papers.complete()).hexdigest() in said.getvalue()

    @pytest.mark.parametrize("content", [b"no pdf", b"%PDF-1.7 other"])
    def test_fails_for_anything_else(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(content)
        with pytest.raises(CommandError):
            call_command("verify_agreement", str(path), stdout=StringIO())

    def test_says_that_there_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="No such file"):
            call_command("verify_agreement", str(tmp_path / "none.pdf"), stdout=StringIO())
