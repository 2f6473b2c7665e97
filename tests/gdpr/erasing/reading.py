# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure has written to people, and what its certificates carry for machines."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from pikepdf import Pdf

from accounts import vault
from accounts.models import OutgoingMail
from tests import build


def sent() -> list[dict[str, str]]:
    """The service's own mails in their order, opened; without those that only stand there."""
    with build.as_owner():
        rows = OutgoingMail.objects.exclude(kind="test").order_by("created_at")
        return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


def attached(pdf: bytes) -> dict[str, Any]:
    with Pdf.open(BytesIO(pdf)) as opened:
        values: dict[str, Any] = json.loads(
            opened.attachments["erasure.json"].get_file().read_bytes()
        )
    return values
