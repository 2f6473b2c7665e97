# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing, sealing, and what is found when a signed document is read again."""

from __future__ import annotations

import base64
import hashlib
import random
import re
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
from gdpr.verifying.reading import Order, examine
from tests.gdpr.paper import NOW, SIGNATORY, signed

FLIPS = 50


def _examine(octets, now=NOW):
    """Read in this process what the child would read: fifty files would be fifty processes."""
    roots = [root.decode() for root in sealkeys.trust_roots(now)]
    pdf = base64.b64encode(octets).decode()
    return examine(Order.read({"pdf": pdf, "roots": roots, "now": now.isoformat()}))


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
    assert {s.timestamp for s in _examine(signed()[2]).signatures} == {Timestamp.PENDING}


def test_key_of_a_person_signs_once_and_is_new_each_time():
    first = sealkeys.signer_for_person(SIGNATORY, NOW).signing_cert
    second = sealkeys.signer_for_person(SIGNATORY, NOW).signing_cert
    assert first is not None
    assert second is not None
    assert first.public_key.native != second.public_key.native


def test_unsigned_document_has_nothing_that_holds():
    found = _examine(signed()[0])
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
    (seal,) = _examine(sealed).signatures
    assert seal.sound
    assert seal.certifies
    (changed,) = _examine(_turned(sealed)).signatures
    assert changed.changes is Changes.OTHER
    assert not changed.sound


@pytest.mark.timeout(400)
def test_flipped_octets_are_noticed_and_it_is_known_by_what():
    """By the signatures; by the digest alone where they do not look, in their own envelope."""
    octets = signed()[2]
    chance = random.Random(20261122)
    covered = set(range(len(octets))) - set(_unsigned(octets))
    places = chance.sample(sorted(covered), FLIPS // 2)
    places += chance.sample(_unsigned(octets), FLIPS // 2)
    for place in places:
        found = _examine(_flipped(octets, place, 1 << chance.randrange(8)))
        assert found.sha256 != _sha256(octets)
        assert not found.sound or place not in covered


def _flipped(octets, place, bit):
    altered = bytearray(octets)
    altered[place] ^= bit
    return bytes(altered)


def _ranges(octets):
    found = re.findall(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)\s*\]", octets)
    assert len(found) == 2
    return [tuple(map(int, range_)) for range_ in found]


def _unsigned(octets):
    """The places of the last signature's own envelope: no signature covers them."""
    _, first, second, _ = _ranges(octets)[-1]
    return range(first, second)


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
    operator = _examine(third).signatures[1]
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
    assert not _examine(output.getvalue()).sound


def test_stripped_signature_is_noticed():
    _, once, twice = signed()
    found = _examine(once)
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
    person, operator = _examine(signed()[2], later).signatures
    assert person.trust is Trust.TRUSTED
    assert operator.trust is Trust.EXPIRED


def test_long_and_hostile_names_stay_on_their_card():
    subject = Subject("<b>" + "Å" * 120, "Due\u202e & Søn " * 20, "Direktør " * 20)
    once = seals.sign_as_person(
        signed()[0], field="controller", subject=subject, reason="x", language="da", now=NOW
    )
    (person,) = _examine(once).signatures
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
    altered = _flipped(signed()[2], 5000, 1)
    assert "Signature is Valid." not in _pdfsig(altered, readers_trust, tmp_path)
