# SPDX-License-Identifier: AGPL-3.0-or-later
"""The keys that sign: files in a directory outside the database, or a PKCS#12 file of the operator.

Private keys lie encrypted under a key of the vault, so neither the directory nor a copy of the
database opens them alone. The authority made here vouches for integrity, not for who somebody is;
a PKCS#12 file with a certificate of a known authority does that for the operator's seal.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from asn1crypto import pem
from asn1crypto.keys import PrivateKeyInfo
from django.conf import settings
from pyhanko.sign.signers import SimpleSigner
from pyhanko_certvalidator.registry import SimpleCertificateStore

from accounts import vault
from accounts.keyfiles import directory_of
from gdpr.certificates import SEAL_LIFE, Identity, Subject, certify, loaded, make_authority

AUTHORITY = "authority"
SEAL = "seal"
PURPOSE = "seal-keys"
RENEW_BEFORE = timedelta(days=30)


class SealKeysError(Exception):
    """There is no usable key to sign with; the words say what is missing, never the key."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A certificate that signs now, and when it ends."""

    name: str
    not_after: datetime


def signer_for_person(subject: Subject, now: datetime) -> SimpleSigner:
    """Return a signer with a key of its own, which is gone when the signer is.

    Raises SealKeysError. The certificate lasts as long as the authority: nobody holds the key
    that could misuse it.
    """
    authority = _authority(now)
    until = authority.certificate.not_valid_after_utc
    return _signer(certify(authority, subject, now, until), authority)


def signer_for_seal(now: datetime) -> SimpleSigner:
    """Return the operator's seal. Raises SealKeysError."""
    if settings.SEAL_PKCS12:
        return _operators_seal()
    authority = _authority(now)
    return _signer(_seal(authority, now), authority)


def trust_root(now: datetime) -> bytes:
    """Return the certificate of the installation's authority as PEM. Raises SealKeysError."""
    return _authority(now).pem()


def trust_roots(now: datetime) -> list[bytes]:
    """Return every certificate (PEM) that signatures are trusted under: ours and SEAL_TRUST."""
    roots = [trust_root(now)]
    if settings.SEAL_TRUST:
        blocks = pem.unarmor(_read(Path(settings.SEAL_TRUST)), multiple=True)
        roots += [pem.armor("CERTIFICATE", octets) for _, _, octets in blocks]
    return roots


def expiries(now: datetime) -> list[Expiry]:
    """Return the certificates that sign now. Raises SealKeysError."""
    authority = _authority(now).certificate
    seal = signer_for_seal(now).signing_cert
    assert seal is not None
    return [
        Expiry("authority", authority.not_valid_after_utc),
        Expiry("seal", seal.not_valid_after),
    ]


def make_keys(now: datetime) -> None:
    """Make the authority if there is none, and a new seal under it."""
    with _locked() as directory:
        if not _is_there(directory, AUTHORITY):
            _write(directory, AUTHORITY, make_authority(settings.OPERATOR_NAME, now))
        _renew_seal(directory, _load(directory, AUTHORITY), now)


def _authority(now: datetime) -> Identity:
    directory = _directory()
    if not _is_there(directory, AUTHORITY):
        _make_first(now)
    return _load(directory, AUTHORITY)


def _make_first(now: datetime) -> None:
    # A lost mount must not look like a new installation: production makes its keys by command.
    if not settings.VAULT_MAKE_KEYS:
        raise SealKeysError("no authority; `manage.py make_seal` makes the first one")
    make_keys(now)


def _seal(authority: Identity, now: datetime) -> Identity:
    directory = _directory()
    if not _is_there(directory, SEAL):
        raise SealKeysError("no seal; `manage.py make_seal` makes one")
    seal = _load(directory, SEAL)
    if seal.certificate.not_valid_after_utc - now > RENEW_BEFORE:
        return seal
    with _locked():
        return _renew_seal(directory, authority, now)


def _renew_seal(directory: Path, authority: Identity, now: datetime) -> Identity:
    subject = Subject(f"{settings.OPERATOR_NAME} segl", settings.OPERATOR_NAME)
    seal = certify(authority, subject, now, now + SEAL_LIFE)
    _write(directory, SEAL, seal)
    return seal


def _signer(identity: Identity, authority: Identity) -> SimpleSigner:
    above = SimpleCertificateStore()
    above.register(loaded(authority.pem()))
    return SimpleSigner(
        signing_cert=loaded(identity.pem()),
        signing_key=PrivateKeyInfo.load(identity.open_key()),
        cert_registry=above,
    )


def _operators_seal() -> SimpleSigner:
    content = _read(Path(settings.SEAL_PKCS12))
    try:
        signer: SimpleSigner = SimpleSigner.load_pkcs12_data(
            content, other_certs=[], passphrase=settings.SEAL_PKCS12_PASSWORD.encode()
        )
    except ValueError:
        raise SealKeysError("SEAL_PKCS12 cannot be opened with SEAL_PKCS12_PASSWORD") from None
    return signer


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise SealKeysError(f"cannot read {path.name}: {problem.strerror}") from None


def _directory() -> Path:
    return directory_of(settings.SEAL_KEYS_URL)


def _is_there(directory: Path, name: str) -> bool:
    return (directory / f"{name}.pem").exists()


def _load(directory: Path, name: str) -> Identity:
    # Opening a key takes a while on purpose; the file is read each time, so a new one counts.
    return _opened(_read(directory / f"{name}.pem"), settings.VAULT_URL)


@lru_cache(maxsize=8)
def _opened(content: bytes, vault_url: str) -> Identity:
    try:
        return Identity.read(content, _password())
    except (ValueError, TypeError):
        raise SealKeysError("the seal's key does not open with this vault") from None


def _password() -> bytes:
    # The keyed hash stays the same when installation keys rotate, so these files need no rotation.
    return vault.keyed_hash(PURPOSE, b"").hex().encode()


def _write(directory: Path, name: str, identity: Identity) -> None:
    """Certificate and key are one file, so that nobody ever reads one of two that fit."""
    draft = directory / f".{name}.pem"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(identity.locked(_password()))
        file.flush()
        os.fsync(descriptor)
    draft.replace(directory / f"{name}.pem")


@contextmanager
def _locked() -> Iterator[Path]:
    """One process at a time makes keys."""
    directory = _directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(descriptor)
