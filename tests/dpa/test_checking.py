# SPDX-License-Identifier: AGPL-3.0-or-later
"""A file that somebody holds is judged: genuine, changed, appended to, stripped, or never ours."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO, StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from pyhanko.pdf_utils.generic import NameObject, NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from accounts import limits, turns
from accounts.limits import Limit
from accounts.models import Organisation, User
from dpa import checking
from dpa.checking import Judgement, judge
from dpa.models import Agreement, Document
from dpa.words import finding, verdict
from gdpr import seals
from gdpr.bounded import BoundedError
from gdpr.erasing import certificate
from gdpr.letters import drafts, gallery
from gdpr.models import Erasure, Letter
from tests import build
from tests.accounts.visiting import at
from tests.dpa import papers
from tests.gdpr.paper import NOW, examined, flipped, flips, sample, unsigned

pytestmark = pytest.mark.django_db

# So many in what was issued, in the customer's signature, and in the seal.
FLIPS = (20, 15, 15)
# What is still on file of a file that was altered in each of them.
BEGINS = (None, Document.Kind.OFFERED, Document.Kind.SIGNED)


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
    return _written(writer)


def _revised(pdf: bytes) -> bytes:
    """The file with a revision appended that changes nothing."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    writer.update_root()
    return _written(writer)


def _written(writer: IncrementalPdfFileWriter) -> bytes:
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

    @pytest.mark.timeout(600)
    # All but the time is in others: coverage would double it.
    @pytest.mark.no_cover
    def test_fifty_flipped_octets_are_found_and_the_page_says_by_what(
        self, on_file: Agreement
    ) -> None:
        """By the signature that covers the place, or by the digest of what is on file alone."""
        parts = _small(on_file)
        pdf, chance, told = parts[-1], random.Random(20261122), 0
        assert checking.judged(pdf, examined(pdf)).genuine
        for part, (start, end) in enumerate(pairwise([0, *map(len, parts)])):
            for place in chance.sample(range(start, end), FLIPS[part]):
                altered = flipped(pdf, place, 1 << chance.randrange(8))
                found = checking.judged(altered, examined(altered))
                begins = found.begins_with.kind if found.begins_with else None
                assert (found.on_file, begins) == (None, BEGINS[part]), place
                assert verdict(found).tone == "error", place
                assert place in unsigned(pdf) or not found.verification.sound, place
                told += _says_broken(found)
        # The others cannot be read any more, lost a signature, or lie where no signature looks.
        assert told > sum(FLIPS) / 2

    def test_stripped_signatures(self) -> None:
        """What is left is what was issued, and the answer says that nobody has signed it."""
        found = judge(papers.issued(), build.NOW)
        assert found.on_file is not None
        assert found.on_file.kind == Document.Kind.OFFERED
        assert found.verification.signatures == ()
        assert not found.genuine

    def test_seal_of_another_installation(self, settings, tmp_path: Path) -> None:
        content = papers.complete()
        settings.SEAL_KEYS_URL = tmp_path.as_uri()
        found = judge(content, build.NOW)
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

    def test_file_that_never_was_ours(self) -> None:
        found = judge(b"%PDF-1.7\n%nothing\n%%EOF\n", build.NOW)
        assert not found.verification.readable
        assert verdict(found).tone == "error"

    def test_search_for_revisions_ends_with_the_last_that_could_be_ours(self) -> None:
        pdf = b"%PDF-1.7\n" + b"%%EOF\n" * 1_000_000
        tracemalloc.start()
        try:
            digests = list(checking._revisions(pdf))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(digests) == 2 * checking.MOST_REVISIONS
        assert peak < len(pdf)

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


def _small(row: Agreement) -> tuple[bytes, ...]:
    """A short document on file in the place of the agreement: fifty long ones take minutes."""
    plain = sample()
    once = seals.sign_as_person(
        plain, field="controller", subject=papers.SUBJECT, reason="x", language="da", now=NOW
    )
    parts = (plain, once, seals.seal(once, field="processor", reason="x", language="da", now=NOW))
    kinds = (Document.Kind.OFFERED, Document.Kind.SIGNED, Document.Kind.COMPLETE)
    with build.as_owner():
        Document.objects.filter(agreement=row).delete()
        for kind, content in zip(kinds, parts, strict=True):
            Document.objects.create(
                organisation=row.organisation, agreement=row, kind=kind, content=content,
                sha256=sha256(content).digest(), created_at=build.NOW,
            )  # fmt: skip
    return parts


def _says_broken(found: Judgement) -> bool:
    said = [line for s in found.verification.signatures for line in finding(s).sentences]
    return any("the signature is broken" in line for line in said)


@pytest.fixture
def attest() -> bytes:
    """A certificate of an erasure that is done, short, and on file."""
    plain = sample("sealed.html")
    pdf = seals.seal(plain, field=certificate.FIELD, reason="x", language="da", now=NOW)
    with build.as_owner():
        Erasure.objects.create(
            language="da", state="done", asked_at=NOW, due_at=NOW, ended_at=NOW,
            certificate=pdf, certificate_digest=sha256(pdf).hexdigest(),
        )  # fmt: skip
    return pdf


def _padded(pdf: bytes) -> bytes:
    """The file with a digit changed in the zeros that fill up the place of the signature."""
    altered: bytes = flipped(pdf, unsigned(pdf)[-10], 7)
    return altered


class TestCertificate:
    def test_on_file_is_said_to_be_and_to_be_kept(self, attest: bytes) -> None:
        found = judge(attest, NOW)
        assert (found.certified, found.genuine) == (True, False)
        assert verdict(found).tone == "success"
        assert "kept here: 5" in verdict(found).why

    @pytest.mark.parametrize(
        "add", [b"\n", b"%junk", b"<html>This person was NOT erased</html>", _revised, rotated]
    )
    def test_what_was_added_is_found_by_its_digest(
        self, attest: bytes, add: bytes | Callable[[bytes], bytes]
    ) -> None:
        altered = add(attest) if callable(add) else attest + add
        found = checking.judged(altered, examined(altered))
        assert found.certificate is checking.Extent.START
        assert verdict(found).tone == "error"
        assert "It begins with a certificate of erasure on file" in verdict(found).why

    def test_padding_that_no_signature_covers_is_found_by_its_digest(self, attest: bytes) -> None:
        found = judge(_padded(attest), NOW)
        assert found.verification.sound
        assert (found.certified, verdict(found).tone) == (False, "warning")
        assert "changed where no seal looks" in verdict(found).why

    @pytest.mark.timeout(600)
    def test_flipped_octets_are_found(self, attest: bytes) -> None:
        """By the seal where it looks, by the digest everywhere."""
        for altered, covered in flips(attest, 30, random.Random(20261122)):
            found = checking.judged(altered, examined(altered))
            assert found.certificate is not checking.Extent.WHOLE
            assert verdict(found).tone in ("error", "warning")
            assert not (covered and found.verification.sound)

    def test_sound_one_that_is_not_on_file_is_not_said_to_be_unchanged(self, attest: bytes) -> None:
        """The time to keep it may be over; a seal beside another is none of ours at all."""
        with build.as_owner():
            Erasure.objects.all().delete()
        found = judge(attest, NOW)
        assert found.verification.sound
        assert verdict(found).tone == "warning"
        twice = replace(found.verification, signatures=found.verification.signatures * 2)
        assert verdict(Judgement(twice, None, None)).tone == "error"

    def test_seal_of_another_installation(self, attest: bytes, settings, tmp_path: Path) -> None:
        settings.SEAL_KEYS_URL = tmp_path.as_uri()
        found = judge(attest, NOW)
        assert (found.certified, verdict(found).tone) == (False, "warning")
        assert "not trusted here" in verdict(found).words

    def test_of_an_erasure_that_is_not_done_is_on_file_for_nobody(self, attest: bytes) -> None:
        with build.as_owner():
            Erasure.objects.update(state="running", ended_at=None)
        assert judge(attest, NOW).certificate is checking.Extent.NONE

    def test_page_says_it(self, attest: bytes) -> None:
        assert "This is the very certificate on file" in upload(attest)
        assert "It begins with a certificate of erasure on file" in upload(attest + b"\n")

    def test_command_succeeds_for_the_very_file_alone(self, attest: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(attest)
        call_command("verify_agreement", str(path), stdout=StringIO())
        for altered in (attest + b"\n", _padded(attest)):
            path.write_bytes(altered)
            with pytest.raises(CommandError):
                call_command("verify_agreement", str(path), stdout=StringIO())


class TestLetter:
    @pytest.fixture
    def letter(self, anna: User) -> bytes:
        """A sealed letter about a request of Anna's, on file."""
        pdf = drafts.sealed(gallery.sample("refused", "da"), NOW, NOW)
        with build.as_owner():
            build.letter_of(build.request_of(anna).rights.get(), pdf)
        return pdf

    def test_on_file_is_said_to_be_and_how_long(self, letter: bytes) -> None:
        found = judge(letter, NOW)
        assert (found.certified, found.genuine) == (True, False)
        assert verdict(found).words == "This is the very letter on file, and its seal holds."
        assert "as long as the request" in verdict(found).why
        assert "very letter on file" in upload(letter)

    def test_what_was_added_is_found(self, letter: bytes) -> None:
        altered = letter + b"\n"
        found = checking.judged(altered, examined(altered))
        assert (found.letter, verdict(found).tone) == (checking.Extent.START, "error")
        assert "It begins with a letter on file" in verdict(found).why

    def test_of_somebody_erased_is_no_longer_on_file(self, letter: bytes) -> None:
        with build.as_owner():
            Letter.objects.all().delete()
        found = judge(letter, NOW)
        assert (found.certified, verdict(found).tone) == (False, "warning")
        assert "no longer kept. Letters" in verdict(found).why


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

    def test_keeps_nothing(
        self, settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
        secret = b"%PDF-1.7 " + b"Kun til Anna " * 300_000  # large enough to be spooled to disk
        upload(secret)
        with build.as_owner():
            assert Document.objects.count() == 3
        assert not any(tmp_path.rglob("*"))
        assert "Anna" not in caplog.text

    def test_form_that_may_not_be_read_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither one that is too long nor one too many; not even for its token."""

        def read(*_: object) -> None:
            raise AssertionError("the form was read")

        monkeypatch.setattr("django.core.handlers.wsgi.WSGIRequest._load_post_and_files", read)
        monkeypatch.setattr(checking, "CHECKS", Limit("agreement-checks", ((1, 300),)))
        limits.check_address(checking.CHECKS, "127.0.0.1")
        client = Client(enforce_csrf_checks=True)
        file = SimpleUploadedFile("a.pdf", b"%PDF-")
        assert client.post(at("dpa:verify"), {"file": file}).status_code == 429
        long = b"x" * (settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1)
        answer = client.post(at("dpa:verify"), long, content_type="multipart/form-data; boundary=b")
        assert "larger than any of our documents" in answer.text

    def test_form_needs_its_token(self) -> None:
        file = SimpleUploadedFile("a.pdf", b"%PDF-")
        answer = Client(enforce_csrf_checks=True).post(at("dpa:verify"), {"file": file})
        assert answer.status_code == 403

    def test_two_are_checked_at_once_and_no_third(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The places are locks of sessions of the database: the other two hold theirs in others."""
        asked = []

        def ask(sql: str, lock: list[int]) -> bool:
            asked.append(lock[1])
            return False

        monkeypatch.setattr(turns, "_ask", ask)
        file = SimpleUploadedFile("a.pdf", b"%PDF-1.7 other")
        answer = Client().post(at("dpa:verify"), {"file": file})
        assert len(set(asked)) == len(asked) == checking.AT_ONCE
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == str(checking.BUSY_SECONDS)
        assert "Other files are being checked" in answer.text

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


def test_a_check_waits_no_longer_than_its_own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def run(module: str, order: bytes, *, patience: float) -> bytes:
        asked.append(patience)
        raise BoundedError("took too long", spent=True)

    monkeypatch.setattr(seals, "run", run)
    with pytest.raises(checking.TooHard):
        judge(papers.complete(), NOW)
    assert asked == [checking.PATIENCE_SECONDS]
