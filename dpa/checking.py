# SPDX-License-Identifier: AGPL-3.0-or-later
"""Judging a PDF that somebody holds: its signatures, what changed since, and whether it is on file.

The answer names no customer but those whom the file itself names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from hashlib import sha256
from itertools import islice

from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.limits import HOUR, MINUTE, Limit, TooMany
from accounts.refusals import Refused
from accounts.turns import place
from dpa.models import Agreement, Document
from gdpr import seals
from gdpr.documents import BoundedError
from gdpr.erasing import certificate
from gdpr.letters import drafts
from gdpr.seals import Verification

LARGEST = 5 * 1024 * 1024
# A check holds a thread of the portal for so many seconds at most, and half a gigabyte.
PATIENCE_SECONDS = 30
AT_ONCE = 2
BUSY_SECONDS = 20
CHECKS = Limit("agreement-checks", ((10, 5 * MINUTE), (60, HOUR)))
# A file of ours has three revisions: offered, signed, sealed; time stamps add one each.
MOST_REVISIONS = 16

_END = re.compile(rb"%%EOF(\r\n|\n|\r)?")
_LOOK_UP = "SELECT kind, state, number, created_at FROM dpa_document_for_digest(%s)"


class NoPdf(Refused):
    text: Promise = _("This is not a PDF. Choose the file as you got it, not a picture or a ZIP.")


class TooLarge(Refused):
    text: Promise = _("The file is larger than any of our documents, so it is none of them.")


class TooHard(Refused):
    text: Promise = _("The file could not be read with the time and memory that a check may take.")


class Busy(TooMany):
    text: Promise = _("Other files are being checked just now. Wait half a minute, then try again.")

    def __init__(self) -> None:
        super().__init__(BUSY_SECONDS)


@dataclass(frozen=True, slots=True)
class OnFile:
    """A document as it is kept here."""

    kind: Document.Kind
    state: Agreement.State
    number: int
    created_at: datetime


class Extent(Enum):
    """How much of the file is a paper of one kind that is kept here."""

    NONE = "none"
    START = "start"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`on_file` is the whole file as kept here; `begins_with` what stands on file of its start."""

    verification: Verification
    on_file: OnFile | None
    begins_with: OnFile | None
    # A certificate of erasure, which names nobody, and a letter about somebody's request.
    certificate: Extent = Extent.NONE
    letter: Extent = Extent.NONE

    @property
    def genuine(self) -> bool:
        """Whether the file is, octet for octet, a document that both parties have signed."""
        complete = self.on_file is not None and self.on_file.kind == Document.Kind.COMPLETE
        return complete and self.verification.sound

    @property
    def certified(self) -> bool:
        """Whether the file is, octet for octet, a certificate or a letter under our seal."""
        return Extent.WHOLE in (self.certificate, self.letter) and self.verification.sound


def judge(pdf: bytes, now: datetime) -> Judgement:
    """Return what there is to say. Raises NoPdf, TooLarge, TooHard, Busy, seals.SealKeysError."""
    if len(pdf) > LARGEST:
        raise TooLarge
    # ISO 32000-1, 7.5.2; readers tolerate a preamble, our own documents have none.
    if not pdf.startswith(b"%PDF-"):
        raise NoPdf
    with place("agreement-check", AT_ONCE) as mine:
        if not mine:
            raise Busy
        try:
            verification = seals.verify(pdf, now=now, patience=PATIENCE_SECONDS)
        except BoundedError:
            raise TooHard from None
    return judged(pdf, verification)


def judged(pdf: bytes, verification: Verification) -> Judgement:
    """Return what the signatures say together with what is on file."""
    on_file = _look_up(sha256(pdf).digest())
    begins_with = None if on_file else _longest_start(pdf)
    return Judgement(
        verification,
        on_file,
        begins_with,
        certificate=_extent(pdf, certificate.is_on_file),
        letter=_extent(pdf, drafts.is_on_file),
    )


def _extent(pdf: bytes, is_on_file: Callable[[bytes], bool]) -> Extent:
    if is_on_file(sha256(pdf).digest()):
        return Extent.WHOLE
    starts = any(is_on_file(digest) for digest in _revisions(pdf))
    return Extent.START if starts else Extent.NONE


def _longest_start(pdf: bytes) -> OnFile | None:
    found = None
    for digest in _revisions(pdf):
        found = _look_up(digest) or found
    return found


def _revisions(pdf: bytes) -> Iterator[bytes]:
    """Yield the digest of the file up to each place where a revision may end."""
    found = islice(_END.finditer(pdf), MOST_REVISIONS)
    ends = {end for match in found for end in (match.start() + 5, match.end())}
    total, start = sha256(), 0
    for end in sorted(ends):
        total.update(pdf[start:end])
        start = end
        yield total.copy().digest()


def _look_up(digest: bytes) -> OnFile | None:
    with connection.cursor() as cursor:
        cursor.execute(_LOOK_UP, [digest])
        row = cursor.fetchone()
    if row is None:
        return None
    kind, state, number, created_at = row
    return OnFile(Document.Kind(kind), Agreement.State(state), number, created_at)
