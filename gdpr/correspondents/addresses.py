# SPDX-License-Identifier: AGPL-3.0-or-later
"""One address in all the ways in which mail may have written it. No I/O.

Upper and lower case, the domain as A-label or U-label (RFC 5891), a local part that is quoted
without need (RFC 5321 §4.1.2) and letters composed or taken apart (Unicode normalisation) are the
same address. One with a plus tag is another: only its own host knows what the tag means.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import product

from relay.smtp.addresses import AddressError, parse_address, spellings
from relay.suppressing import normalised

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'(["\\])')


def canonical(address: str) -> str:
    """Return the one form that all spellings of an address share."""
    local, at, domain = normalised(address).rpartition("@")
    return f"{_unquoted(local, domain)}{at}{domain}"


def written(address: str) -> tuple[str, ...]:
    """Return every spelling in lower case, as the log has addresses; the canonical one first."""
    local, _, domain = canonical(address).rpartition("@")
    quoted = local if local.startswith('"') else _quoted(local)
    forms = [unicodedata.normalize(form, one) for one in (local, quoted) for form in ("NFC", "NFD")]
    return tuple(dict.fromkeys(f"{one}@{name}" for one, name in product(forms, spellings(domain))))


def _unquoted(local: str, domain: str) -> str:
    """Return a local part without quotation marks, unless it needs them."""
    if not (local.startswith('"') and local.endswith('"') and len(local) > 1):
        return local
    inner = _ESCAPED.sub(r"\1", local[1:-1])
    try:
        parse_address(f"{inner}@{domain}", utf8=True)
    except AddressError:
        return _quoted(inner)
    return inner if not inner.startswith('"') else _quoted(inner)


def _quoted(inner: str) -> str:
    return '"' + _SPECIAL.sub(r"\\\1", inner) + '"'
