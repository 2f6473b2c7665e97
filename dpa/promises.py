# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about agreements, each with the control that keeps it and a live check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import F, Func, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.limits import HOUR
from accounts.models import Organisation
from accounts.promise import Promise, Result
from accounts.vault import VaultError
from dpa import ending, integrity, texts
from dpa import facts as facts_of
from dpa.facts import Facts
from dpa.models import Agreement, Document, OfferedText
from dpa.press import CONTROLLER, PROCESSOR
from gdpr import seals
from gdpr.documents import BoundedError
from gdpr.seals import SealKeysError

SHOWN = 3
# Signatures are verified in a rotating sample: each takes a second or two.
SAMPLE = 5
Reason = Organisation.SendingReason
# Sub-processors change by notice, the other parts are names and words.
COMPARED = ("periods", "rate", "figures", "processing", "measures")


def figures_are_what_is_enforced() -> Result:
    """Compare every agreement in force with what would be issued now.

    Customers that leave get no new version: nobody could put a difference right.
    """
    terms: dict[str, Facts] = {}
    faults = list[str]()
    rows = _in_force().exclude(organisation__standing__in=Organisation.ENDING)
    for row in rows.iterator():
        # No enforced figure is a customer's own: one reading of them serves all.
        if row.text_language not in terms:
            text = texts.load(row.text_language)
            terms[row.text_language] = facts_of.terms_now(row.organisation, text, clock.now())
        changed = facts_of.differences(row.facts, terms[row.text_language])
        faults += [f"{row.pk}: {name}" for name in changed if name in COMPARED]
    return _result(faults, f"{rows.count()} agreements in force")


def both_have_signed() -> Result:
    """Look for agreements in force without both signatures, and for senders without an agreement.

    Those that send as a demonstration are told, and break nothing.
    """
    now = clock.now()
    faults = [*_altered_bytes(), *_unfit_events(), *_unfit_signatures(now), *_senders_without()]
    shown = _without_agreement().filter(sending_reason=Reason.DEMONSTRATION).count()
    exceptions = f"; {shown} send as a demonstration" if shown else ""
    return _result(faults, f"{_in_force().count()} agreements in force{exceptions}")


def what_ended_is_deleted_in_time() -> Result:
    """Look for customers that closed their organisation and of whom too much is left."""
    left, late = ending.count(clock.now())
    seen = f"{left} customers that ended with something left, {late} past their last day"
    return Result(holds=not late, seen=seen)


def texts_stay() -> Result:
    """Compare each text that was offered with the one on disk."""
    rows = list(OfferedText.objects.all())
    faults = [str(row) for row in rows if texts.digest(row.language, row.version) != row.digest]
    return _result(faults, f"{len(rows)} texts offered")


def _in_force() -> QuerySet[Agreement]:
    rows = Agreement.objects.filter(state=Agreement.State.IN_FORCE)
    return rows.select_related("organisation").order_by("pk")


def _altered_bytes() -> Iterator[str]:
    """Yield documents that do not have their checksum; the database adds it up itself."""
    kept = Document.objects.filter(agreement__state=Agreement.State.IN_FORCE)
    own = Func(F("content"), function="sha256")
    for pk, kind in kept.exclude(sha256=own).values_list("agreement_id", "kind"):
        yield f"{pk}: the bytes {kind} were altered"


def _unfit_events() -> Iterator[str]:
    """Yield agreements whose events are not whole, or tell of other documents than are kept."""
    for row in _in_force().prefetch_related("events").iterator(chunk_size=100):
        kept = dict(row.documents.values_list("kind", "sha256"))
        told = {event.act: event.evidence for event in row.events.all()}
        for kind, act in integrity.EVENT_OF.items():
            if kind not in kept:
                yield f"{row.pk} lacks what is {kind}"
            elif f"document:{bytes(kept[kind]).hex()}" not in told.get(act, ()):
                yield f"{row.pk}: the document {kind} is not the one of its event"
        yield from (f"{row.pk}: {fault}" for fault in integrity.faults(row))


def _unfit_signatures(now: datetime) -> Iterator[str]:
    """Verify the signatures of some agreements, others in the next hour."""
    keys = _in_force().values_list("pk", flat=True)
    count = keys.count()
    start = int(now.timestamp()) // HOUR * SAMPLE % count if count else 0
    chosen = [*keys[start : start + SAMPLE], *keys[: max(0, start + SAMPLE - count)]]
    for document in Document.objects.filter(agreement__in=chosen, kind=Document.Kind.COMPLETE):
        try:
            found = seals.verify(bytes(document.content), now=now)
        except (BoundedError, SealKeysError, VaultError) as fault:
            yield f"{document.agreement_id} was not verified: {type(fault).__name__}"
            continue
        fields = {signature.field for signature in found.signatures}
        if not (found.sound and {CONTROLLER, PROCESSOR} <= fields):
            yield f"{document.agreement_id} does not have two sound signatures"


def _senders_without() -> Iterator[str]:
    for row in _without_agreement().exclude(sending_reason=Reason.DEMONSTRATION):
        yield f"{row.pk} sends without one"


def _without_agreement() -> QuerySet[Organisation]:
    """Return who may send although no agreement is in force; who is leaving sends nothing."""
    agreed = Q(pk__in=_in_force().values("organisation_id"))
    senders = Organisation.objects.filter(~agreed, sending_allowed=True)
    return senders.exclude(standing__in=Organisation.ENDING)


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
        control="dpa.sealing opens for live mail; organisations that staff let in are told here",
        switched_off_by="keep other octets as the complete document, under a checksum that fits",
        check=both_have_signed,
    ),
    Promise(
        id="D11.1",
        words=_("What a customer leaves behind is gone within the agreed days."),
        control="the log's period, dpa.ending for routes; the operator's people return and confirm",
        switched_off_by="leave mail of an organisation that closed until its last day is over",
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
