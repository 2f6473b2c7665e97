# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing, sealing, and what is found when a signed document is read again."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from datetime import timedelta
from io import BytesIO

import pytest
from pikepdf import Pdf
from pyhanko.pdf_utils.generic import NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, sign_pdf
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from gdpr import sealkeys, seals
from gdpr.seals import Changes, Coverage, Subject, Trust
from gdpr.verifying.findings import Timestamp
from tests.gdpr.paper import NOW, SIGNATORY, examined, flipped, flips, signed

FLIPS = 6


def _sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def test_person_and_operator_sign_one_after_the_other():
    plain, once, twice = signed()
    assert once.startswith(plain)
    assert twice.startswith(once)
    found = seals.verify(twice, now=NOW)
    assert found.sound
    assert found.awaiting == ("Tidsstempel",)
    assert found.sha256 == _sha256(twice)
    person, operator = found.signatures
    assert (person.field, person.signer, person.organisation, person.title) == (
        "controller",
        *(SIGNATORY.name, SIGNATORY.organisation, SIGNATORY.title),
    )
    assert (operator.field, operator.signer) == ("processor", "Brevdue ApS segl")
    assert (person.certifies, operator.certifies) == (True, False)
    assert (person.changes, operator.changes) == (Changes.FORM_FILLING, Changes.NONE)
    assert (person.coverage, operator.coverage) == (Coverage.REVISION, Coverage.WHOLE_FILE)
    assert person.signed_at == operator.signed_at == NOW


def test_time_of_a_signature_is_what_we_say_and_is_called_so():
    assert {s.timestamp for s in examined(signed()[2]).signatures} == {Timestamp.PENDING}


def test_key_of_a_person_signs_once_and_is_new_each_time():
    first = sealkeys.signer_for_person(SIGNATORY, NOW).signing_cert
    second = sealkeys.signer_for_person(SIGNATORY, NOW).signing_cert
    assert first is not None
    assert second is not None
    assert first.public_key.native != second.public_key.native


def test_unsigned_document_has_nothing_that_holds():
    found = examined(signed()[0])
    assert found.readable
    assert found.signatures == ()
    assert not found.sound
    assert found.awaiting == ("controller", "processor", "Tidsstempel")


def test_file_that_is_no_pdf_is_unreadable():
    found = seals.verify(b"%PDF-1.7 and then nothing", now=NOW)
    assert not found.readable
    assert not found.sound


def test_field_is_signed_once_and_must_be_there():
    with pytest.raises(seals.FieldError):
        seals.seal(signed()[2], field="processor", reason="", language="da", now=NOW)
    with pytest.raises(seals.FieldError):
        seals.seal(signed()[0], field="other", reason="", language="da", now=NOW)


def test_certificate_sealed_by_the_operator_alone_forbids_every_change():
    sealed = seals.seal(signed()[0], field="processor", reason="Udstedt", language="da", now=NOW)
    (seal,) = examined(sealed).signatures
    assert seal.sound
    assert seal.certifies
    (changed,) = examined(_turned(sealed)).signatures
    assert changed.changes is Changes.OTHER
    assert not changed.sound


def test_flipped_octets_are_noticed_where_a_signature_covers_them():
    """Elsewhere the digest tells: tests/dpa/test_checking.py has fifty, and what the page says."""
    for altered, covered in flips(signed()[2], FLIPS, random.Random(20261122)):
        found = examined(altered)
        assert found.sha256 != _sha256(signed()[2])
        assert not (covered and found.sound)


def _turned(octets):
    """Append a revision that is a legal PDF and shows the first page on its side."""
    writer = IncrementalPdfFileWriter(BytesIO(octets))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Rotate"] = NumberObject(90)
    writer.mark_update(page.container_ref)
    output = BytesIO()
    writer.write(output)
    return output.getvalue()


def test_appended_revision_leaves_the_cryptography_whole_and_is_told_as_a_change():
    altered = _turned(signed()[2])
    found = seals.verify(altered, now=NOW)
    assert [s.intact for s in found.signatures] == [True, True]
    assert [s.changes for s in found.signatures] == [Changes.OTHER, Changes.OTHER]
    assert not found.sound


@pytest.mark.parametrize("name", ["Tidsstempel", "another"])
def test_third_signature_is_noticed_unless_its_field_was_left_free(name):
    writer = IncrementalPdfFileWriter(BytesIO(signed()[2]))
    if name == "another":
        append_signature_field(writer, SigFieldSpec(name, box=(10, 10, 90, 60)))
    signer = sealkeys.signer_for_person(Subject("Fremmed", "Andet Hus A/S"), NOW)
    third = sign_pdf(writer, PdfSignatureMetadata(field_name=name), signer).getvalue()
    operator = examined(third).signatures[1]
    assert operator.intact
    assert operator.sound is False


def test_swapped_attachment_is_noticed():
    writer = IncrementalPdfFileWriter(BytesIO(signed()[2]))
    file = writer.root["/Names"]["/EmbeddedFiles"]["/Names"][1]["/EF"]["/F"]
    file._data, file._encoded_data = b"{}", None
    writer.mark_update(file.container_ref)
    output = BytesIO()
    writer.write(output)
    with Pdf.open(BytesIO(output.getvalue())) as pdf:
        assert pdf.attachments["aftale.json"].get_file().read_bytes() == b"{}"
    assert not examined(output.getvalue()).sound


def test_stripped_signature_is_noticed():
    _, once, twice = signed()
    found = examined(once)
    assert found.sound
    assert found.awaiting == ("processor", "Tidsstempel")
    assert found.sha256 != _sha256(twice)


def test_signature_of_a_stranger_is_intact_and_unknown(settings, tmp_path):
    octets = signed()[2]
    settings.SEAL_KEYS_URL = (tmp_path / "elsewhere").as_uri()
    found = seals.verify(octets, now=NOW)
    assert {s.trust for s in found.signatures} == {Trust.UNKNOWN}
    assert all(s.intact for s in found.signatures)
    assert not found.sound


def test_expired_certificate_is_told_apart_from_an_unknown_one():
    later = NOW + timedelta(days=11 * 365)
    person, operator = examined(signed()[2], later).signatures
    assert person.trust is Trust.TRUSTED
    assert operator.trust is Trust.EXPIRED


def test_long_and_hostile_names_stay_on_their_card():
    subject = Subject("<b>" + "Å" * 120, "Due\u202e & Søn " * 20, "Direktør " * 20)
    once = seals.sign_as_person(
        signed()[0], field="controller", subject=subject, reason="x", language="da", now=NOW
    )
    (person,) = examined(once).signatures
    assert person.sound
    assert person.signer.startswith("<b>ÅÅÅ")


@pytest.fixture
def readers_trust(tmp_path):
    """A directory of NSS, as Firefox and poppler have one, that knows our trust root."""
    if not (shutil.which("pdfsig") and shutil.which("certutil")):
        pytest.skip("poppler-utils or libnss3-tools is not installed")
    root = tmp_path / "root.pem"
    root.write_bytes(seals.trust_root(NOW))
    place = f"sql:{tmp_path}"
    for words in (["-N", "--empty-password"], ["-A", "-n", "root", "-t", ",C,C", "-i", str(root)]):
        subprocess.run(["certutil", *words, "-d", place], check=True, capture_output=True)
    return place


def _pdfsig(octets, place, tmp_path):
    file = tmp_path / "document.pdf"
    file.write_bytes(octets)
    command = ["pdfsig", "-nssdir", place, str(file)]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_another_reader_finds_both_signatures_valid_and_trusted(readers_trust, tmp_path):
    told = _pdfsig(signed()[2], readers_trust, tmp_path)
    assert told.count("Signature is Valid.") == 2
    assert told.count("Certificate is Trusted.") == 2
    assert "Common Name: Åse Ærø" in told
    assert "Total document signed" in told


def test_another_reader_does_not_trust_without_our_root_or_after_a_change(
    readers_trust, tmp_path, tmp_path_factory
):
    empty = tmp_path_factory.mktemp("nss")
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{empty}"], check=True)
    assert "Certificate is Trusted." not in _pdfsig(signed()[2], f"sql:{empty}", tmp_path)
    altered = flipped(signed()[2], 5000, 1)
    assert "Signature is Valid." not in _pdfsig(altered, readers_trust, tmp_path)
