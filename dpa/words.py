# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the pages say of an agreement's parts and of a file that was checked."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dpa.checking import Extent, Judgement, OnFile
from dpa.models import Document
from dpa.press import CONTROLLER, PROCESSOR, TIME_STAMP
from gdpr import inventory
from gdpr.erasing import certificate
from gdpr.letters import drafts
from gdpr.seals import Changes, Coverage, Signature, Trust, Verification

# The parts of an agreement that two versions can differ in.
PARTS: dict[str, Promise] = {
    "text": gettext_lazy("the wording"),
    "controller": gettext_lazy("your organisation's name or address"),
    "processor": gettext_lazy("our name or address"),
    "court": gettext_lazy("the court"),
    "periods": gettext_lazy("time limits"),
    "rate": gettext_lazy("the price of assistance"),
    "figures": gettext_lazy("figures of security and deletion"),
    "processing": gettext_lazy("the data processed and how long they are kept"),
    "subprocessors": gettext_lazy("sub-processors"),
    "measures": gettext_lazy("security measures"),
    "statements": gettext_lazy("our statements on security"),
}
FIELDS: dict[str, Promise] = {
    CONTROLLER: gettext_lazy("Signature of the data controller"),
    PROCESSOR: gettext_lazy("Seal of the data processor"),
    TIME_STAMP: gettext_lazy("Time stamp"),
    certificate.FIELD: gettext_lazy("Seal of the operator"),
    drafts.FIELD: gettext_lazy("Seal of the operator"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in one sentence, and what follows from it; `tone` as the notices name it."""

    tone: str
    words: str
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said of one signature."""

    title: str
    signature: Signature
    good: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What is said of a kind of paper that we seal alone; `model` has its period."""

    field: str
    model: str
    whole: Promise
    start: Promise
    untrusted: Promise
    period: Promise

    @property
    def kept(self) -> str:
        keep = inventory.entry(self.model).keep
        assert keep is not None
        return str(self.period) % {"period": keep.words}


CERTIFICATE = Paper(
    field=certificate.FIELD,
    model="gdpr.Erasure",
    whole=gettext_lazy("This is the very certificate on file, and its seal holds."),
    start=gettext_lazy("It begins with a certificate of erasure on file, and goes on otherwise."),
    untrusted=gettext_lazy("This is the certificate on file, but its seal is not trusted here."),
    period=gettext_lazy("Certificates of erasure are kept here: %(period)s."),
)
LETTER = Paper(
    field=drafts.FIELD,
    model="gdpr.Letter",
    whole=gettext_lazy("This is the very letter on file, and its seal holds."),
    start=gettext_lazy("It begins with a letter on file, and goes on otherwise."),
    untrusted=gettext_lazy("This is the letter on file, but its seal is not trusted here."),
    period=gettext_lazy("Letters are kept here: %(period)s."),
)


def verdict(judgement: Judgement) -> Verdict:
    """Return the answer about a file: the first of these that fits."""
    if judgement.genuine:
        return Verdict(
            "success",
            _("This is the very document on file, signed by both parties."),
            _on_file(judgement.on_file),
        )
    if judgement.on_file:
        return _verdict_on_file(judgement.on_file, judgement)
    for paper, extent in ((CERTIFICATE, judgement.certificate), (LETTER, judgement.letter)):
        if extent is not Extent.NONE:
            return _verdict_on_paper(paper, extent, judgement)
    return _verdict_elsewhere(judgement)


def _verdict_on_paper(paper: Paper, extent: Extent, judgement: Judgement) -> Verdict:
    """Return the answer about a file that is a sealed paper on file, or begins with one."""
    if extent is Extent.START:
        return Verdict(
            "error",
            _("Something was changed or added after this document left us."),
            str(paper.start),
        )
    if judgement.certified:
        return Verdict("success", str(paper.whole), paper.kept)
    return Verdict("warning", str(paper.untrusted), paper.kept)


def _verdict_elsewhere(judgement: Judgement) -> Verdict:
    """Return the answer about a file that is not on file as it is."""
    if judgement.begins_with:
        return Verdict(
            "error",
            _("Something was changed or added after this document left us."),
            _on_file(judgement.begins_with, start=True),
        )
    if not judgement.verification.readable:
        return Verdict(
            "error",
            _("This file cannot be read as a PDF."),
            _("It may be damaged. It is not a document on file."),
        )
    for paper in (CERTIFICATE, LETTER):
        if _is_sealed_as(paper, judgement.verification):
            return Verdict(
                "warning",
                _("Its seal holds, but this is not a document on file."),
                _("It was changed where no seal looks, or it is no longer kept.")
                + " "
                + paper.kept,
            )
    return Verdict(
        "error",
        _("This is not a document on file."),
        _("It was changed, or it was never ours. What its signatures say stands below."),
    )


def _is_sealed_as(paper: Paper, verification: Verification) -> bool:
    """Whether it is sealed as these are: one seal that holds, in their field alone."""
    fields = [signature.field for signature in verification.signatures]
    return verification.sound and fields == [paper.field]


def _verdict_on_file(on_file: OnFile, judgement: Judgement) -> Verdict:
    if on_file.kind == Document.Kind.COMPLETE:
        return Verdict(
            "warning",
            _("This is the document on file, but its signatures are not trusted here."),
            _on_file(on_file),
        )
    return Verdict(
        "warning",
        _("This document is on file, but it was not signed by both parties when it was saved."),
        _on_file(on_file),
    )


def _on_file(on_file: OnFile | None, *, start: bool = False) -> str:
    assert on_file is not None
    values = {
        "number": on_file.number,
        "kind": on_file.kind.label,
        "state": on_file.state.label,
    }
    if start:
        return _("It begins with version %(number)s, %(kind)s, and goes on otherwise.") % values
    return _("Version %(number)s of an agreement, %(kind)s. The agreement is: %(state)s.") % values


def finding(signature: Signature) -> Finding:
    words = (_integrity(signature), _trust(signature), _later(signature))
    title = str(FIELDS.get(signature.field, signature.field))
    return Finding(title, signature, signature.sound, tuple(words))


def _integrity(signature: Signature) -> str:
    if signature.intact:
        return _("What it covers is unchanged.")
    return _("What it covers was changed: the signature is broken.")


def _trust(signature: Signature) -> str:
    return {
        Trust.TRUSTED: _("Its certificate leads to an authority that we trust."),
        Trust.EXPIRED: _("Its certificate has expired."),
        Trust.UNKNOWN: _("Its certificate leads to nobody whom we know."),
    }[signature.trust]


def _later(signature: Signature) -> str:
    if signature.coverage is Coverage.WHOLE_FILE:
        return _("Nothing was added after it.")
    return {
        Changes.NONE: _("Nothing that counts was added after it."),
        Changes.ARCHIVAL: _("Only a time stamp was added after it."),
        Changes.FORM_FILLING: _("After it, only a further signature was set in its field."),
        Changes.OTHER: _("After it, something was added that it forbids."),
    }[signature.changes]
