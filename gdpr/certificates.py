# SPDX-License-Identifier: AGPL-3.0-or-later
"""X.509 certificates of the installation: its own authority, its seal, one for each act of signing.

Pure: keys and instants come in, keys and certificates go out. Elliptic keys on P-256 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from asn1crypto import pem
from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=40 * 365)
SEAL_LIFE = timedelta(days=10 * 365)
# Clocks of readers differ: a certificate is good from a little before it is used.
BACKDATED = timedelta(minutes=10)
ELLIPSIS = "…"
DIVIDER = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
LONGEST_NAME = 64  # octets; RFC 5280, appendix A: ub-common-name and others

# RFC 9336: for signing documents; S/MIME is what NSS (poppler, Firefox) knows of signatures.
PURPOSES = (
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
)
USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names. `title` is a person's position, empty for an organisation."""

    name: str
    organisation: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def read(cls, content: bytes, password: bytes) -> Self:
        """Return what `locked` wrote. Raises ValueError for a wrong password or a damaged file."""
        certificate, divider, key = content.partition(DIVIDER)
        private = load_pem_private_key(divider + key, password)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("not a key on an elliptic curve")
        return cls(x509.load_pem_x509_certificate(certificate), private)

    def pem(self) -> bytes:
        """Return the certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def locked(self, password: bytes) -> bytes:
        """Return the certificate, and the key as PKCS #8 encrypted under the password, in PEM."""
        closed = BestAvailableEncryption(password)
        return self.pem() + self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed)

    def open_key(self) -> bytes:
        """Return the key as PKCS #8 in DER, for the memory of this process only."""
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def loaded(content: bytes) -> Certificate:
    """Return a certificate in PEM as pyHanko takes it. Raises ValueError."""
    _, _, octets = pem.unarmor(content)
    return Certificate.load(octets)


def make_authority(operator: str, now: datetime) -> Identity:
    """Return a new authority that certifies signers and nothing above them."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A number tells the authority of one installation from that of the next.
    number = f"{x509.random_serial_number() % 16**8:08x}"
    name = _name(Subject(f"Brevdue installation {number}", operator))
    builder = _builder(name, name, key, now, now + AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    return Identity(builder.sign(key, hashes.SHA256()), key)


def certify(authority: Identity, subject: Subject, now: datetime, until: datetime) -> Identity:
    """Return a new key with a certificate for signatures, good as long as the authority at most."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    until = min(until, issuer.not_valid_after_utc)
    builder = _builder(_name(subject), issuer.subject, key, now, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage("digital_signature", "content_commitment"), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(PURPOSES), critical=False)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(above, critical=False)
    return Identity(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*granted: str) -> x509.KeyUsage:
    return x509.KeyUsage(**dict.fromkeys(USES, False) | dict.fromkeys(granted, True))


def _name(subject: Subject) -> x509.Name:
    parts = (
        (NameOID.COMMON_NAME, subject.name),
        (NameOID.TITLE, subject.title),
        (NameOID.ORGANIZATION_NAME, subject.organisation),
    )
    return x509.Name([x509.NameAttribute(kind, _cut(text)) for kind, text in parts if text])


def _cut(text: str) -> str:
    """Return what fits; the document itself has the whole name."""
    octets = text.encode()
    if len(octets) <= LONGEST_NAME:
        return text
    return octets[: LONGEST_NAME - len(ELLIPSIS.encode())].decode(errors="ignore") + ELLIPSIS
