# SPDX-License-Identifier: AGPL-3.0-or-later
"""Links in mails that carry their own sealed, expiring contents, so that no row waits for them."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import clock, vault
from accounts.refusals import Refused

LONGEST_TOKEN = 4000


class LinkInvalid(Refused):
    text: Promise = _("This link is not valid. Check that the whole of it was copied.")


class LinkExpired(Refused):
    text: Promise = _("This link has expired. Ask for a new one.")


def make(purpose: str, values: dict[str, str], until: datetime) -> str:
    """Return a token of letters, digits, "-" and "_" that `read` opens until then."""
    body = json.dumps([until.timestamp(), values], ensure_ascii=False, separators=(",", ":"))
    sealed = vault.seal(f"link|{purpose}", zlib.compress(body.encode(), 9))
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def read(purpose: str, token: str) -> dict[str, str]:
    """Return what a token carries. Raises LinkInvalid, LinkExpired."""
    until, values = _opened(purpose, token)
    if clock.now().timestamp() >= until:
        raise LinkExpired
    return values


def _opened(purpose: str, token: str) -> tuple[float, dict[str, Any]]:
    if len(token) > LONGEST_TOKEN:
        raise LinkInvalid
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        until, values = json.loads(zlib.decompress(vault.unseal(f"link|{purpose}", sealed)))
    except (vault.VaultError, binascii.Error, ValueError):
        raise LinkInvalid from None
    return float(until), dict(values)
