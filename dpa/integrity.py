# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a version still says what was signed: its page is composed anew each time it is read.

The bytes are the agreement; what the page is made of (text on disk, facts, names) is held against
the checksums that were kept when the version was issued.
"""

from __future__ import annotations

from collections.abc import Iterator

from dpa import facts as facts_of
from dpa import lineage, texts
from dpa.models import Agreement, AgreementEvent, Document

State = Agreement.State
Act = AgreementEvent.Act
# The state that each event leaves an agreement in.
LEFT_IN = {
    Act.OFFERED: State.OFFERED,
    Act.SIGNED: State.SIGNED,
    Act.SEALED: State.IN_FORCE,
    Act.SUPERSEDED: State.SUPERSEDED,
    Act.WITHDRAWN: State.WITHDRAWN,
    Act.REFUSED: State.WITHDRAWN,
    Act.ENDED: State.ENDED,
}
# The event that tells of each document.
EVENT_OF = {
    Document.Kind.OFFERED: Act.OFFERED,
    Document.Kind.SIGNED: Act.SIGNED,
    Document.Kind.COMPLETE: Act.SEALED,
}


def faults(row: Agreement) -> Iterator[str]:
    """Yield what differs from what was issued or signed; nothing when all is as it was."""
    yield from lineage.faults(row)
    if row.state != _told_state(row):
        yield "its state is not that of its last event"
    told = {event.act for event in row.events.all()}
    for kind in row.documents.order_by("pk").values_list("kind", flat=True):
        if EVENT_OF[Document.Kind(kind)] not in told:
            yield f"no event tells of the document {kind}"
    if texts.digest(row.text_language, row.text_version) != row.facts["text"]["digest"]:
        yield "the text is not the one that was issued"
    if f"facts:{facts_of.digest(row.facts)}" not in _issued(row):
        yield "what fills the text is not what was issued"
    if row.facts["signatory"] != {
        "name": row.signatory_name,
        "title": row.signatory_title,
    }:
        yield "the signatory is not the one who is named in it"


def _told_state(row: Agreement) -> State | None:
    last = max(row.events.all(), key=lambda event: event.sequence, default=None)
    return LEFT_IN[Act(last.act)] if last else None


def _issued(row: Agreement) -> list[str]:
    """Return the evidence of the first event."""
    issued = (event for event in row.events.all() if event.act == Act.OFFERED)
    return next((event.evidence for event in issued), [])
