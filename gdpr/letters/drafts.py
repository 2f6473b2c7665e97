# SPDX-License-Identifier: AGPL-3.0-or-later
"""A complete letter in its three forms, with the same words in each: text, HTML, PDF.

The PDF of a kind that matters is sealed, goes with the mail and is kept, encrypted, with the
request, for the person and for staff.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid4

from django.db import connection
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import vault
from accounts.emails import Enclosure
from accounts.refusals import Refused
from gdpr import documents, seals
from gdpr.bounded import BoundedError
from gdpr.letters import posting
from gdpr.letters.filling import Filled
from gdpr.letters.kinds import Kind
from gdpr.letters.wording import KINDS
from gdpr.models import Letter, RequestedRight
from gdpr.sealkeys import SealKeysError

logger = logging.getLogger(__name__)

DOCUMENT = "gdpr/documents/letter.html"
FIELD = "letter"
PDF_TYPE = "application/pdf"


class NotSealed(Refused):
    text: Promise = gettext_lazy("The letter could not be sealed, so nothing was sent. Try again.")


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter that could leave as it is. `pdf` is empty until it is finished."""

    kind: Kind
    filled: Filled
    language: str
    name: str
    address: str = field(repr=False)
    right: RequestedRight | None = None
    id: UUID = field(default_factory=uuid4)
    pdf: bytes = field(default=b"", repr=False)
    issued_at: datetime | None = None


def typeset(draft: Draft, now: datetime) -> bytes:
    """Return the PDF without its seal, as a preview shows it. Raises BoundedError."""
    return documents.render(
        DOCUMENT,
        {"letter": draft.filled, "name": draft.name, "field": FIELD},
        language=draft.language,
        title=draft.filled.title,
        identifier=f"letter-{draft.id}",
        issued_at=now,
    )


def finish(draft: Draft | None, now: datetime) -> Draft | None:
    """Return the letter with its sealed PDF, where its kind has one. It takes seconds: call it
    before the audit trail is locked. Raises NotSealed.
    """
    if draft is None or not draft.kind.is_sealed:
        return draft
    with translation.override(draft.language):
        reason = _("Certifies the letter")
    try:
        pdf = typeset(draft, now)
        sealed = seals.seal(pdf, field=FIELD, reason=reason, language=draft.language, now=now)
    except (BoundedError, SealKeysError) as error:
        logger.warning("letter %s not sealed: %s", draft.kind.name, type(error).__name__)
        raise NotSealed from error
    return replace(draft, pdf=sealed, issued_at=now)


def send(draft: Draft | None) -> None:
    """Post the letter, and keep its PDF. Nothing where nobody is left to write to: the account was
    erased, and the certificate is the answer.
    """
    if draft is None:
        return
    assert bool(draft.pdf) is draft.kind.is_sealed, "finished first"
    enclosures = []
    if draft.right is not None and draft.pdf:
        name = file_name(draft.right, draft.kind.name)
        enclosures.append(Enclosure(name, PDF_TYPE, draft.pdf))
        _keep(draft)
    posting.letter(draft.address, draft.language, draft.filled, enclosures)


def content(letter: Letter) -> bytes:
    """Return the PDF of a letter that is kept. Raises vault.VaultError."""
    return vault.unseal(_purpose(letter.pk), letter.sealed)


def is_on_file(digest: bytes) -> bool:
    """Return whether a file of this sha256 is a letter that is kept here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT gdpr_is_letter(%s)", [digest.hex()])
        (found,) = cursor.fetchone()
    return bool(found)


def title(letter: Letter) -> str:
    """Return what a letter that is kept is called, in the active language."""
    return str(KINDS[letter.kind].title)


def _keep(draft: Draft) -> None:
    assert draft.right is not None
    assert draft.issued_at is not None, "finished first"
    Letter.objects.create(
        id=draft.id,
        right=draft.right,
        kind=draft.kind.name,
        language=draft.language,
        issued_at=draft.issued_at,
        sealed=vault.seal(_purpose(draft.id), draft.pdf),
        sha256=sha256(draft.pdf).hexdigest(),
    )


def file_name(right: RequestedRight, kind: str) -> str:
    return f"brevdue-{right.request.reference}-{kind}.pdf"


def _purpose(letter_id: UUID) -> str:
    return f"letter|{letter_id}"
