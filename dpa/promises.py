# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about agreements, each with the control that keeps it and a live check."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.models import Organisation
from accounts.promise import Promise, Result
from dpa import ending, lineage, texts
from dpa import facts as facts_of
from dpa.models import Agreement, Document, OfferedText

SHOWN = 3
# Sub-processors change by notice, the other parts are names and words.
COMPARED = ("periods", "rate", "figures", "processing", "measures")


def figures_are_what_is_enforced() -> Result:
    """Compare every agreement in force with what would be issued now."""
    rows = _in_force()
    faults = [fault for row in rows for fault in _differences(row)]
    return _result(faults, f"{len(rows)} agreements in force")


def both_have_signed() -> Result:
    """Look for agreements in force without both signatures' bytes, and senders without one."""
    rows = _in_force()
    faults = [fault for row in rows for fault in _faults(row)]
    reason = Organisation.SendingReason.AGREEMENT
    by_agreement = Organisation.objects.filter(sending_allowed=True, sending_reason=reason)
    agreed = {row.organisation_id for row in rows}
    faults += [f"{row.pk} sends without one" for row in by_agreement if row.pk not in agreed]
    return _result(faults, f"{len(rows)} agreements in force")


def what_ended_is_deleted_in_time() -> Result:
    """Look for customers that closed their organisation and whose data should be gone by now."""
    ended, late = ending.count(clock.now())
    return Result(holds=not late, seen=f"{ended} customers ended, {late} past their last day")


def texts_stay() -> Result:
    """Compare each text that was offered with the one on disk."""
    rows = list(OfferedText.objects.all())
    faults = [str(row) for row in rows if texts.digest(row.language, row.version) != row.digest]
    return _result(faults, f"{len(rows)} texts offered")


def _in_force() -> list[Agreement]:
    rows = Agreement.objects.filter(state=Agreement.State.IN_FORCE)
    return list(rows.select_related("organisation", "signatory"))


def _differences(row: Agreement) -> list[str]:
    text = texts.load(row.text_language)
    now = facts_of.terms_now(row.organisation, text, clock.now())
    changed = facts_of.differences(row.facts, now)
    return [f"{row.pk}: {name}" for name in changed if name in COMPARED]


def _faults(row: Agreement) -> Iterator[str]:
    kept = {document.kind: document for document in row.documents.all()}
    for kind in (Document.Kind.SIGNED, Document.Kind.COMPLETE):
        if kind not in kept:
            yield f"{row.pk} lacks what is {kind}"
        elif sha256(kept[kind].content).digest() != bytes(kept[kind].sha256):
            yield f"{row.pk}: the bytes {kind} were altered"
    yield from (f"{row.pk}: {fault}" for fault in lineage.faults(row))


def _result(faults: list[str], seen: str) -> Result:
    return Result(holds=not faults, seen="; ".join(faults[:SHOWN]) or seen)


PROMISES: tuple[Promise, ...] = (
    Promise(
        id="D1.1",
        words=_(
            "What agreements say of the data, their deletion and the measures built in is what the"
            " service goes by; their time limits and prices are the ones that we offer today."
        ),
        control="dpa.facts reads figures where they are enforced; people keep the time limits",
        switched_off_by="shorten relay.models.messages.LOG_DAYS after signing",
        check=figures_are_what_is_enforced,
    ),
    Promise(
        id="D13.1",
        words=_("An agreement is in force, and live mail accepted, when both have signed."),
        control="dpa.signing",
        switched_off_by="set an agreement's state to in_force without its documents",
        check=both_have_signed,
    ),
    Promise(
        id="D11.1",
        words=_("What a customer leaves behind is gone within the agreed days."),
        control="the operator's people; dpa.ending tells how many days are left",
        switched_off_by="leave an organisation that closed until its last day is over",
        check=what_ended_is_deleted_in_time,
    ),
    Promise(
        id="D-g",
        words=_("A text that was offered is never changed; a change is a new version."),
        control="dpa.offering refuses to issue a text with another checksum",
        switched_off_by="change a word of a text that was offered",
        check=texts_stay,
    ),
)
