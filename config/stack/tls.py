# SPDX-License-Identifier: AGPL-3.0-or-later
"""A certificate authority of this checkout, for loopback only: var/tls/ca.pem signs server.pem."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.stack.state import write_private

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)


def ensure_certificates(directory: Path, hostname: str) -> None:
    """Make what is missing or about to expire; an authority is kept: people may trust it."""
    directory.mkdir(parents=True, exist_ok=True)
    if not _serves(directory / "ca.pem", hostname=None):
        _make_authority(directory)
    if not _serves(directory / "server.pem", hostname):
        _make_server(directory, hostname)


def _serves(path: Path, hostname: str | None) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.not_valid_after_utc - datetime.now(UTC) < RENEW_BEFORE:
        return False
    if hostname is None:
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return hostname in names.get_values_for_type(x509.DNSName)


def _make_authority(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Brevdue development authority {x509.random_serial_number() % 10**6:06}")
    usage = x509.KeyUsage(
        **dict.fromkeys(USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
    )
    builder = (
        _builder(name, name, key, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    _write(directory, "ca", builder.sign(key, hashes.SHA256()), key)
    # Whatever the old authority signed is of no use now.
    (directory / "server.pem").unlink(missing_ok=True)


def _make_server(directory: Path, hostname: str) -> None:
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    signer = load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    dns = [x509.DNSName(name) for name in dict.fromkeys(("localhost", hostname))]
    loopback = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    builder = (
        _builder(_name(hostname), authority.subject, key, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([*dns, *loopback]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    _write(directory, "server", builder.sign(signer, hashes.SHA256()), key)


USAGES = (
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


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _write(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(directory / f"{name}.key", private.decode())
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
