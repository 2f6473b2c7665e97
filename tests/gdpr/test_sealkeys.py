# SPDX-License-Identifier: AGPL-3.0-or-later
"""The keys that sign: where they lie, who opens them, when they end, and who is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from django.core.management import call_command

from accounts import vault
from accounts.models import Alert
from gdpr import sealkeys, seals, sealwatch
from gdpr.certificates import Subject, certify, make_authority
from gdpr.sealkeys import SealKeysError
from tests.gdpr.paper import NOW, SIGNATORY, signed

PASSWORD = "hemmeligt"


@pytest.fixture
def place(settings, tmp_path):
    """A directory of keys of its own, empty yet."""
    settings.SEAL_KEYS_URL = (tmp_path / "seal").as_uri()
    return tmp_path / "seal"


@pytest.fixture
def pkcs12(settings, tmp_path, place):
    """A seal of the operator's, from an authority that others know."""
    authority = make_authority("Kendt Udsteder", NOW)
    subject = Subject("Brevdue ApS", "Brevdue ApS")
    identity = certify(authority, subject, NOW, NOW + timedelta(days=40))
    (tmp_path / "seal.p12").write_bytes(
        serialize_key_and_certificates(
            b"seal",
            identity.key,
            identity.certificate,
            [authority.certificate],
            BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    (tmp_path / "roots.pem").write_bytes(authority.pem())
    settings.SEAL_PKCS12 = str(tmp_path / "seal.p12")
    settings.SEAL_PKCS12_PASSWORD = PASSWORD
    settings.SEAL_TRUST = str(tmp_path / "roots.pem")


def _seal(now: datetime) -> Any:
    return sealkeys.signer_for_seal(now).signing_cert


def _root(place: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((place / "authority.pem").read_bytes())


def test_first_use_makes_an_authority_and_a_seal(place):
    root = seals.trust_root(NOW)
    assert seals.trust_root(NOW) == root
    assert sorted(file.name for file in place.iterdir()) == ["authority.pem", "seal.pem"]
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}
    assert b"PRIVATE KEY" not in root


def test_private_keys_do_not_open_without_the_vault(place, settings, tmp_path):
    sealkeys.make_keys(NOW)
    assert b"ENCRYPTED PRIVATE KEY" in (place / "seal.pem").read_bytes()
    settings.VAULT_URL = (tmp_path / "other-vault").as_uri()
    with pytest.raises(SealKeysError, match="does not open"):
        sealkeys.signer_for_seal(NOW)


def test_lost_directory_does_not_look_like_a_new_installation(place, settings):
    vault.keyed_hash("any", b"")
    settings.VAULT_MAKE_KEYS = False
    with pytest.raises(SealKeysError, match="make_seal"):
        sealkeys.signer_for_seal(NOW)
    told = StringIO()
    call_command("make_seal", stdout=told)
    assert "authority: good until 20" in told.getvalue()
    assert sealkeys.signer_for_seal(NOW)


def test_damaged_file_is_told_and_not_replaced(place):
    sealkeys.make_keys(NOW)
    (place / "authority.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(SealKeysError):
        sealkeys.signer_for_person(SIGNATORY, NOW)


def test_seal_renews_itself_before_it_ends_and_the_authority_stays(place):
    sealkeys.make_keys(NOW)
    root = _root(place)
    before = _seal(NOW)
    almost = before.not_valid_after - timedelta(days=29)
    after = _seal(almost)
    assert after.serial_number != before.serial_number
    assert _seal(almost).serial_number == after.serial_number
    assert _root(place) == root


def test_certificates_say_what_they_are_for(place):
    sealkeys.make_keys(NOW)
    root = _root(place)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    signer = sealkeys.signer_for_person(SIGNATORY, NOW).signing_cert
    assert signer is not None
    assert signer.key_usage_value.native == {"digital_signature", "non_repudiation"}
    assert signer.not_valid_after == root.not_valid_after_utc
    assert "email_address" not in signer.subject.native


def test_operators_own_seal_is_used_and_trusted(pkcs12):
    octets = seals.seal(signed()[0], field="processor", reason="Udstedt", language="da", now=NOW)
    (seal,) = seals.verify(octets, now=NOW).signatures
    assert (seal.signer, seal.sound) == ("Brevdue ApS", True)


def test_operators_own_seal_needs_its_password_and_its_root(pkcs12, settings):
    sealwatch.probe(NOW)
    settings.SEAL_TRUST = ""
    with pytest.raises(SealKeysError, match="not trusted"):
        sealwatch.probe(NOW)
    settings.SEAL_PKCS12_PASSWORD = "forkert"
    with pytest.raises(SealKeysError, match="cannot be opened"):
        sealwatch.probe(NOW)
    settings.SEAL_PKCS12 = "/nowhere.p12"
    with pytest.raises(SealKeysError, match="cannot read"):
        sealwatch.probe(NOW)


def _found(now: datetime) -> list[str]:
    return [str(message.id) for message in sealwatch._faults(now)]


def test_deploy_check_warns_thirty_days_before_the_end(pkcs12, settings):
    assert _found(NOW) == []
    assert _found(NOW + timedelta(days=9)) == []
    assert _found(NOW + timedelta(days=11)) == ["gdpr.W101"]
    assert _found(NOW + timedelta(days=41)) == ["gdpr.E101"]


@pytest.mark.as_role("duty")
@pytest.mark.django_db
def test_worker_raises_an_alert_and_closes_it(pkcs12, settings):
    sealkeys.make_keys(NOW)
    sealwatch.watch(NOW + timedelta(days=11))
    assert _open() == {sealwatch.ENDING}
    sealwatch.watch(NOW + timedelta(days=41))
    assert _open() == {sealwatch.ENDING, sealwatch.UNUSABLE}
    settings.SEAL_PKCS12 = ""
    sealwatch.watch(NOW)
    assert _open() == set()


def _open() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))
