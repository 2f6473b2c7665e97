# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keys made once, and two judges of signatures that are not ours: dkimpy and OpenDKIM."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import dkim
import pytest

from relay.smtp import published
from relay.smtp.dkim import Algorithm, SigningKey, new_secret, public_text

RSA, ED25519 = Algorithm
needs_opendkim = pytest.mark.skipif(
    not shutil.which("opendkim"), reason="Not run: OpenDKIM is not installed"
)


@cache
def key(algorithm: Algorithm = RSA, domain: str = "kunde.example") -> SigningKey:
    """A key of the run: making one takes long."""
    selector = {RSA: "bdr", ED25519: "bde"}[algorithm]
    return SigningKey(domain=domain, selector=selector, secret=_secret(algorithm))


@cache
def _secret(algorithm: Algorithm):
    return new_secret(algorithm)


def record_of(of: SigningKey) -> tuple[str, str]:
    """The name and the value that the owner publishes."""
    name = f"{of.selector}._domainkey.{of.domain}"
    return name, published.key_record(of.algorithm, public_text(of.secret))


def verifies(message: bytes, *keys: SigningKey) -> list[bool]:
    """What dkimpy says of each signature, from the top, when these keys are published."""
    known = {f"{name}.".encode(): value.encode() for name, value in map(record_of, keys)}
    count = len(re.findall(rb"^dkim-signature:", message, re.IGNORECASE | re.MULTILINE))
    return [_verifies(message, place, known) for place in range(count)]


def _verifies(message: bytes, place: int, known: dict[bytes, bytes]) -> bool:
    try:
        judge = dkim.DKIM(message, minkey=1024)
        return bool(judge.verify(place, dnsfunc=lambda name, timeout=5: known.get(name)))
    except dkim.DKIMException:
        return False


def opendkim_verifies(messages: list[bytes], directory: Path, *keys: SigningKey) -> list[bool]:
    """What OpenDKIM says of each message when these keys are published."""
    public, config = directory / "keys", directory / "opendkim.conf"
    public.write_text("".join(f"{name} {value}\n" for name, value in map(record_of, keys)))
    config.write_text(f"Mode v\nTestPublicKeys {public}\nBackground no\nSyslog no\n")
    paths = []
    for number, message in enumerate(messages):
        paths.append(directory / f"{number}.eml")
        paths[-1].write_bytes(message)
    return [_opendkim_verifies(path, config) for path in paths]


def _opendkim_verifies(path: Path, config: Path) -> bool:
    done = subprocess.run(
        ["opendkim", "-x", str(config), "-t", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout or done.stderr, "OpenDKIM said nothing"
    return "verification (s=" in done.stdout and "succeeded" in done.stdout
