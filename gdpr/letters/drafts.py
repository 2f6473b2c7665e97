# SPDX-License-Identifier: AGPL-3.0-or-later
"""A complete letter in its three forms, with the same words in each: text, HTML, PDF.

The PDF of a kind that matters is sealed, goes with the mail and is kept, encrypted, with the
request, for the person and for staff. Setting and sealing one takes seconds, so that who decides
does not wait for it: such a letter is kept as a draft, and leaves by `sealing`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from django.db import connection
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import clock, vault
from gdpr import documents, seals
from gdpr.letters import posting
from gdpr.letters.filling import Filled, Paragraph
from gdpr.letters.kinds import Kind, Style
from gdpr.letters.wording import KINDS
from gdpr.models import Letter, RequestedRight

DOCUMENT = "gdpr/documents/letter.html"
FIELD = "letter"
PDF_TYPE = "application/pdf"


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter that could leave as it is."""

    kind: Kind
    filled: Filled
    language: str
    name: str
    address: str = field(repr=False)
    right: RequestedRight | None = None
    id: UUID = field(default_factory=uuid4)


def typeset(draft: Draft, issued_at: datetime) -> bytes:
    """Return the PDF without its seal, as a preview shows it. Raises BoundedError."""
    return documents.render(
        DOCUMENT,
        {"letter": draft.filled, "name": draft.name, "field": FIELD},
        language=draft.language,
        title=draft.filled.title,
        identifier=f"letter-{draft.id}",
        issued_at=issued_at,
    )


def sealed(draft: Draft, issued_at: datetime, now: datetime) -> bytes:
    """Return the PDF with its seal. It takes seconds. Raises BoundedError, SealKeysError."""
    with translation.override(draft.language):
        reason = _("Certifies the letter")
    pdf = typeset(draft, issued_at)
    return seals.seal(pdf, field=FIELD, reason=reason, language=draft.language, now=now)


def send(draft: Draft | None) -> None:
    """Post the letter, or keep it until it is sealed. Nothing where nobody is left to write to:
    the account was erased, and the certificate is the answer.
    """
    if draft is None:
        return
    if draft.kind.is_sealed:
        _keep(draft, clock.now())
    else:
        posting.letter(draft.address, draft.language, draft.filled)


def opened(letter: Letter) -> Draft:
    """Return the draft of a letter that waits for its seal. Raises vault.VaultError."""
    assert letter.sealed_draft is not None, "it has left"
    values = json.loads(vault.unseal(_draft_purpose(letter.pk), letter.sealed_draft))
    paragraphs = (
        Paragraph(one["text"], Style(one["style"]), one["url"]) for one in values["paragraphs"]
    )
    return Draft(
        KINDS[letter.kind],
        Filled(values["title"], values["subject"], tuple(paragraphs)),
        letter.language,
        values["name"],
        values["address"],
        letter.right,
        letter.pk,
    )


def content(letter: Letter) -> bytes:
    """Return the PDF of a letter that has left. Raises vault.VaultError."""
    assert letter.sealed is not None, "it is not sealed yet"
    return vault.unseal(purpose(letter.pk), letter.sealed)


def is_on_file(digest: bytes) -> bool:
    """Return whether a file of this sha256 is a letter that is kept here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT gdpr_is_letter(%s)", [digest.hex()])
        (found,) = cursor.fetchone()
    return bool(found)


def title(letter: Letter) -> str:
    """Return what a letter that is kept is called, in the active language."""
    return str(KINDS[letter.kind].title)


def file_name(right: RequestedRight, kind: str) -> str:
    return f"brevdue-{right.request.reference}-{kind}.pdf"


def purpose(letter_id: UUID) -> str:
    return f"letter|{letter_id}"


def _keep(draft: Draft, now: datetime) -> None:
    assert draft.right is not None, "what is sealed is an answer"
    values = asdict(draft.filled) | {"name": draft.name, "address": draft.address}
    for paragraph in values["paragraphs"]:
        paragraph["style"] = paragraph["style"].value
    Letter.objects.create(
        id=draft.id,
        right=draft.right,
        kind=draft.kind.name,
        language=draft.language,
        issued_at=now,
        due_at=now,
        sealed_draft=vault.seal(_draft_purpose(draft.id), json.dumps(values).encode()),
    )


def _draft_purpose(letter_id: UUID) -> str:
    return f"letter-draft|{letter_id}"
