# SPDX-License-Identifier: AGPL-3.0-or-later
"""DKIM signatures (RFC 6376; Ed25519: RFC 8463): fields in front of a message, its bytes as they
came. Keys are handed in; the record that goes with one is in published.py.

relaxed/relaxed, because servers on the way fold fields anew and take spaces from line ends. No l=,
which lets anybody append to a signed message (RFC 6376 §8.2); no i=, which is the domain by itself.

A signature holds for one state of the message: it is made for each attempt, so that no mail that
waited goes out under a key that was withdrawn meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

Secret = RSAPrivateKey | Ed25519PrivateKey

# RFC 8301 §3.2: 1024 at least, 2048 should be used; more does not fit one DNS answer over UDP.
RSA_BITS = 2048
# Longer than any message waits here and at the next servers; a copy found later proves nothing.
VALID = timedelta(days=7)
# What is replaced holds up everybody else of the process: so much at a time.
PIECE = 262_144

# What people see of a message and what programs read it by (RFC 6376 §5.4.1).
SIGNED = (
    b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"sender",
    b"in-reply-to", b"references", b"mime-version", b"content-type", b"content-transfer-encoding",
    b"list-unsubscribe", b"list-unsubscribe-post", b"auto-submitted",
)  # fmt: skip
# Named once more than they stand, so that none can be added on the way (RFC 6376 §8.15).
OVERSIGNED = frozenset(
    {b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"content-type"}
)  # fmt: skip

FIELD = b"DKIM-Signature"
_NEXT_FIELD = re.compile(rb"\r\n(?![ \t])")
_WIDTH = 70
_NAMES_A_LINE = 4


class Algorithm(StrEnum):
    """Kinds of keys, as k= of a key record names them."""

    RSA = "rsa"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, and the names under which its public half is published."""

    domain: str  # A-label; d= of the signature
    selector: str
    secret: Secret = field(repr=False)

    @property
    def algorithm(self) -> Algorithm:
        """Which kind it is."""
        return algorithm_of(self.secret)


def algorithm_of(secret: Secret) -> Algorithm:
    """Return which kind a private key is."""
    return Algorithm.ED25519 if isinstance(secret, Ed25519PrivateKey) else Algorithm.RSA


def new_secret(algorithm: Algorithm) -> Secret:
    """Make a private key; RSA takes a tenth of a second and more."""
    if algorithm is Algorithm.ED25519:
        return Ed25519PrivateKey.generate()
    return generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def written(secret: Secret) -> bytes:
    """Return a private key as PKCS #8 in DER, in clear: seal it."""
    return secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def read(octets: bytes) -> Secret:
    """Read what `written` wrote. Raises ValueError."""
    secret = load_der_private_key(octets, password=None)
    if not isinstance(secret, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("no key that DKIM knows")
    return secret


def public_text(secret: Secret) -> str:
    """Return p= of the key record: the DER structure of RSA, the bare octets of Ed25519."""
    public = secret.public_key()
    if isinstance(secret, Ed25519PrivateKey):
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)  # RFC 8463 §4
    else:
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(octets).decode()


async def signed(content: bytes, keys: Sequence[SigningKey], at: datetime) -> bytes:
    """Return the content with a signature by each key in front, in the order of the keys.

    `content` has CRLF line ends only (headers.check_lines): what changes a line end after this
    breaks the signature. `at` is aware.
    """
    header, start = _split(content)
    names, text = _chosen(header)
    body = b64encode(await _body_hash(content, start)).decode()
    fields = [_field(key, names, text, body, int(at.timestamp())) for key in keys]
    return b"".join((*fields, content))


def _split(content: bytes) -> tuple[bytes, int]:
    """Return the header without its last CRLF, and where the body begins."""
    if content.startswith(b"\r\n"):
        return b"", 2
    end = content.find(b"\r\n\r\n")
    if end < 0:
        return content.removesuffix(b"\r\n"), len(content)
    return content[:end], end + 4


def _chosen(header: bytes) -> tuple[list[bytes], bytes]:
    """Return the names for h=, and the fields they stand for as they are hashed.

    Of several fields with one name the last is taken first (RFC 6376 §5.4.2).
    """
    standing: dict[bytes, list[bytes]] = {name: [] for name in SIGNED}
    for one in _NEXT_FIELD.split(header):
        name, _, value = one.partition(b":")
        name = name.rstrip(b" \t").lower()
        if name in standing:
            standing[name].append(_relaxed_field(name, value))
    names: list[bytes] = []
    fields: list[bytes] = []
    for name, found in standing.items():
        names += [name] * (len(found) + (name in OVERSIGNED))
        fields += reversed(found)
    return names, b"".join(fields)


def _relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 §3.4.2; `name` is in lower case."""
    return name + b":" + _spaced(value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"


def _spaced(text: bytes) -> bytes:
    """Make one space of each run of spaces and tabs."""
    # Halving runs costs a fortieth of a regular expression's time.
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


async def _body_hash(content: bytes, start: int) -> bytes:
    """RFC 6376 §3.4.4 and §3.7, on the body that begins at `start`."""
    digest, is_empty, empty_lines = hashlib.sha256(), True, 0
    for piece in _pieces(content, start):
        text = _spaced(piece).replace(b" \r\n", b"\r\n")
        kept = text.rstrip(b"\r\n")
        if kept:
            # Empty lines count only once something follows them.
            digest.update(b"\r\n" * empty_lines + kept)
            is_empty, empty_lines = False, 0
        empty_lines += (len(text) - len(kept)) // 2
        if len(piece) >= PIECE:
            await asyncio.sleep(0)
    if not is_empty:
        digest.update(b"\r\n")
    return digest.digest()


def _pieces(content: bytes, start: int) -> Iterator[bytes]:
    """Yield whole lines, about PIECE octets at a time; the last one has its CRLF in any case."""
    while start < len(content):
        end = content.find(b"\r\n", start + PIECE)
        end = len(content) if end < 0 else end + 2
        piece = content[start:end]
        yield piece if piece.endswith(b"\r\n") else piece + b"\r\n"
        start = end


def _field(key: SigningKey, names: Sequence[bytes], text: bytes, body: str, at: int) -> bytes:
    """Return the signature's field; it signs itself as well, with nothing behind b=."""
    lines = [
        b":".join(names[place : place + _NAMES_A_LINE]).decode()
        for place in range(0, len(names), _NAMES_A_LINE)
    ]
    value = (
        f" v=1; a={key.algorithm}-sha256; c=relaxed/relaxed; d={key.domain};\r\n"
        f"\ts={key.selector}; t={at}; x={at + int(VALID.total_seconds())};\r\n"
        f"\th={_folded(lines, ':')};\r\n"
        f"\tbh={body};\r\n\tb="
    ).encode()
    itself = _relaxed_field(FIELD.lower(), value).removesuffix(b"\r\n")  # RFC 6376 §3.7
    signature = b64encode(_signature(key.secret, text + itself)).decode()
    cut = [signature[place : place + _WIDTH] for place in range(0, len(signature), _WIDTH)]
    return b"%b:%b%b\r\n" % (FIELD, value, _folded(cut).encode())


def _folded(lines: Sequence[str], between: str = "") -> str:
    return f"{between}\r\n\t ".join(lines)


def _signature(secret: Secret, text: bytes) -> bytes:
    if isinstance(secret, Ed25519PrivateKey):
        # RFC 8463 §3: the hash of the text is signed, not the text.
        return secret.sign(hashlib.sha256(text).digest())
    return secret.sign(text, PKCS1v15(), SHA256())
