# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a server's certificate says of itself, for people to read. Proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from relay.smtp.replies import bounded_text

# A certificate of a large provider bears hundreds; these are enough to see whose it is.
MOST_NAMES = 10
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Names that it is for, at most MOST_NAMES, who issued it, and when it is valid (UTC)."""

    names: tuple[str, ...]
    issuer: str
    begins_at: datetime
    ends_at: datetime


def read(encoded: bytes) -> Certificate | None:
    """Read a certificate (DER); None where it cannot be read, because anybody may have made it."""
    try:
        found = x509.load_der_x509_certificate(encoded)
        return Certificate(
            names=tuple(map(bounded_text, _names(found)[:MOST_NAMES])),
            issuer=bounded_text(found.issuer.rfc4514_string()),
            begins_at=found.not_valid_before_utc,
            ends_at=found.not_valid_after_utc,
        )
    except _UNREADABLE:
        return None


def _names(found: x509.Certificate) -> list[str]:
    """RFC 6125 §6.4.4: the common name counts only where there are no others."""
    try:
        others = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(name.value) for name in common]
    names = others.get_values_for_type(x509.DNSName)
    return [*names, *map(str, others.get_values_for_type(x509.IPAddress))]
