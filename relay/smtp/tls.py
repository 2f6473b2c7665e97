# SPDX-License-Identifier: AGPL-3.0-or-later
"""TLS towards other servers: policies, contexts and the evidence that is kept. No sockets here."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import StrEnum

# RFC 8996: TLS 1.0 and 1.1 must not be negotiated, by whoever connects to us or we to them.
MINIMUM_VERSION = ssl.TLSVersion.TLSv1_2


class TlsPolicy(StrEnum):
    """TLS policy of a route; credentials travel over a verified channel whatever it says."""

    IMPLICIT = "tls"
    STARTTLS = "starttls"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"


class TlsDemand(StrEnum):
    """What an attempt asked of the channel, and who asked for it."""

    NONE = "none"  # the route wants no encryption
    MAY = "may"  # when offered (RFC 7435)
    MUST = "must"  # the route asks for a verified channel
    STS = "sts"  # the recipient's domain does (RFC 8461)
    STS_TESTING = "sts_testing"  # it would, and wants reports only
    MESSAGE = "message"  # the message itself does


class TlsResult(StrEnum):
    """What came of it."""

    UNKNOWN = ""  # the connection ended before
    PLAIN = "plain"  # not asked for
    NOT_OFFERED = "not_offered"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"


DEMAND_OF_POLICY = {
    TlsPolicy.IMPLICIT: TlsDemand.MUST,
    TlsPolicy.STARTTLS: TlsDemand.MUST,
    TlsPolicy.OPPORTUNISTIC: TlsDemand.MAY,
    TlsPolicy.NONE: TlsDemand.NONE,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What protected a connection; version and cipher are empty for one in clear."""

    version: str = ""
    cipher: str = ""
    verified: bool = False
    result: TlsResult = TlsResult.PLAIN


@dataclass(frozen=True, slots=True)
class Contexts:
    """The two client contexts; each reads the whole CA bundle, so a process makes them once."""

    verified: ssl.SSLContext
    unverified: ssl.SSLContext


def make_contexts(extra_ca_file: str = "") -> Contexts:
    """Build contexts that trust the system's CA bundle and, when named, one more file (PEM).

    Raises OSError or ssl.SSLError when the file cannot be read.
    """
    verified = ssl.create_default_context()
    # RFC 8461 §4.2, RFC 9525 §2: a name counts as a DNS-ID, never as a common name.
    verified.hostname_checks_common_name = False
    if extra_ca_file:
        verified.load_verify_locations(cafile=extra_ca_file)
    unverified = ssl.create_default_context()
    # RFC 7435 §3: opportunistic encryption does not fail over a certificate, and claims nothing.
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    for context in (verified, unverified):
        context.minimum_version = MINIMUM_VERSION
    return Contexts(verified, unverified)


def evidence(channel: ssl.SSLObject) -> Evidence:
    """Read version, cipher and whether the certificate was checked from an established channel."""
    cipher = channel.cipher()
    verified = channel.context.verify_mode is ssl.CERT_REQUIRED
    return Evidence(
        version=channel.version() or "",
        cipher=cipher[0] if cipher else "",
        verified=verified,
        result=TlsResult.VERIFIED if verified else TlsResult.UNVERIFIED,
    )
