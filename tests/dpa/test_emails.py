# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mails about agreements, in both languages and with the file."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from django.core import mail

from accounts import emails as own_mails
from accounts import vault
from accounts.models import Membership, Organisation, OutgoingMail, User
from dpa import emails
from dpa.models import Agreement
from tests import build

pytestmark = pytest.mark.django_db

HOSTILE = "<b>Duehuset</b>\r\nBcc: x & Co"
PDF = b"%PDF-1.7 of both"

KINDS: dict[str, Callable[[Agreement, User], None]] = {
    "complete": lambda row, user: emails.complete(row, user, PDF),
    "complete_for_operator": lambda row, _: emails.complete_for_operator(row, PDF),
}


@pytest.mark.parametrize("language", ["da", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_mail_renders_with_its_file(
    kind: str, language: str, organisation: Organisation, by: Membership
) -> None:
    organisation.name, by.user.language = HOSTILE, language
    with build.as_owner():
        KINDS[kind](Agreement(organisation=organisation, number=3), by.user)
        row = OutgoingMail.objects.get()
    letter = json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))
    assert "\n" not in letter["subject"]
    assert "3" in letter["text"]
    assert "<b>Duehuset" not in letter["html"]
    assert "&lt;b&gt;" not in letter["text"]
    for part in ("subject", "text", "html"):
        assert "{%" not in letter[part]
        assert "None" not in letter[part]
    ((name, _, content),) = letter["enclosures"]
    assert (name, base64.b64decode(content)) == ("databehandleraftale.pdf", PDF)


@pytest.mark.as_role("duty")
def test_file_arrives_as_an_attachment(by: Membership, organisation: Organisation) -> None:
    emails.complete(Agreement(organisation=organisation, number=1), by.user, PDF)
    assert own_mails.send_due(build.NOW.replace(year=2100)) == 1
    (sent,) = mail.outbox
    assert sent.attachments[0] == ("databehandleraftale.pdf", PDF, "application/pdf")
